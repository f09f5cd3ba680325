/*
 * The Live tab. The video never leaves the browser: it is analysed here, or a small JPEG is sent to
 * the server when the last answer is back, with the tracker's state of that answer, so the server
 * stores nothing.
 */

import { Classes } from "../common/classes.js";
import { bindChoice, sharedDevice } from "../common/device.js";
import { download, makeVisitorId } from "../common/dom.js";
import { Engines } from "../common/engines.js";
import { describeError, findObstacle, listCameras } from "../common/camera.js";
import { bindMenu } from "../common/menu.js";
import { bindShortcuts } from "../common/shortcuts.js";
import { findTab, showTab } from "../common/tabs.js";
import { describeEngines, describeStart } from "./engine_switch.js";
import { FrameLoop, NO_ANSWER } from "./frames.js";
import { bindFullScreen } from "./fullscreen.js";
import { paintStill } from "./idle.js";
import { makeOverlay } from "./overlay.js";
import { makeKey, showFaces } from "./panel.js";
import { Record, fileName } from "./record.js";
import { makeResting } from "./resting_view.js";
import { bindShot } from "./shot.js";
import { copyFrame, copyShown, toBlob, withGuess } from "./snapshot.js";
import { watchCamera, watchClip } from "./source.js";
import { Speaker, bindSpeech } from "./speech.js";
import { SpeedMeter } from "./speed.js";
import { describeSession, showSummary } from "./summary.js";
import { drawPicture, drawTimeline, plotHeight } from "./timeline.js";
import { makeTrial } from "./trial_view.js";
import { SmoothVotes } from "./votes.js";

const ROOT = new URL("../", import.meta.url);
const JPEG_QUALITY = 0.7;
const PLOT_MS = 250;
const MAX_STILL_MS = 50; // without a frame of the video, before the boxes are drawn again
const AWAY_MS = 3000; // nobody looks: the camera goes off
const LOOK_MS = 250; // between two looks whether somebody does
const NOTE_MS = 4000; // a note over the video
const NO_ANSWER_HERE = "No answer from this device yet. Retrying ...";
const NOT_RUNNING = "The recogniser does not run, so nothing is analysed.";
const NO_CLIP = "The sample clip could not be loaded.";
const WAS_OFF = "The camera was off while you were away.";
const FAILURES_SHOWN = 3; // in a row, after which the visitor reads why nothing is shown

const CLOCK = {
  now: () => performance.now(),
  utc: () => Date.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/**
 * Starts the tab.
 *
 * @param {Object} context
 * @param {HTMLElement} context.element holds live.html
 * @param {Object} context.props `sample`, {clip, still, answer} or null: addresses from the folder of
 *   all modules, and the answer to the still; `has_votes`, whether the model predicts them; `has_neutral`,
 *   whether a resting face can be compared with; `engine`, see `sharedDevice`; and those of `Classes`
 * @param {?{live_frame: (request: Object) => Promise<Object>}} context.server answers frames; null
 *   on a page without one
 */
export function start({ element, props, server }) {
  const classes = new Classes(props);
  const find = (selector) => element.querySelector(selector);
  const stage = find(".stage");
  const video = find("video");
  const held = find(".held");
  const message = find(".message");
  const startButton = find(".start");
  const sampleButton = find(".sample");
  const stopButton = find(".stop");
  const snapButton = find(".snap");
  const cameras = find(".camera select");
  const plot = find(".plot");
  const facesPanel = find(".faces");
  const frameCanvas = document.createElement("canvas");
  const emptyText = find(".said").textContent;
  const overText = "This session is summed up below.";
  const visitor = makeVisitorId();
  const screen = bindFullScreen(find(".view"), find(".wide"));
  const overlay = makeOverlay(find(".overlay"), classes, () => ({
    isMirrored: isMirrored(),
    hasBars: screen.isOn(), // elsewhere the cards have them
  }));
  const record = new Record(classes.names, CLOCK);
  const device = sharedDevice(props.engine, Boolean(server));
  const engines = new Engines({ server, device });
  const speaker = new Speaker((text) => (find(".spoken").textContent = text));
  const votes = new SmoothVotes();
  const shot = bindShot(find(".shot"));
  const resting = makeResting(find(".resting"), showNote);
  const trial = makeTrial(find(".trial"), classes, (mirrored) => copyFrame(video, mirrored));

  const countsFrames = Boolean(video.requestVideoFrameCallback);

  let source = null; // what the video shows: see source.js
  let session = new AbortController(); // aborted when that is closed
  let loop = null;
  let speed = new SpeedMeter();
  let welcomed = ""; // the text before the start
  let failure = null; // the code of the last frame's error; null once frames are answered
  let noteUntil = 0; // a note over the video stays until then
  let isPlayer = false; // whether `trial` has the faces of the visitor, not of the clip
  let last = null; // the last frame of a session that was stopped, with its faces

  const isOn = () => stage.dataset.state === "on";
  const isHidden = () => document.hidden || element.offsetParent === null;
  const wantsVotes = () => find(".ask-votes").checked;
  const isMirrored = () => stage.classList.contains("mirrored");

  // --- camera or clip ----------------------------------------------------------------------

  function closeSource() {
    session.abort();
    if (source) source.close();
    source = null;
    speed = new SpeedMeter();
    overlay.clear();
    noteUntil = 0;
    showHint("");
  }

  function stopSession(problem = "") {
    const focused = [document.body, startButton, stopButton].includes(document.activeElement);
    const wasCamera = source && source.isCamera;
    if (isOn() && record.hasRows) keepLast();
    closeSource();
    [loop, failure] = [null, null];
    if (isOn()) record.stop();
    stage.dataset.state = "off";
    stopButton.disabled = snapButton.disabled = true;
    startButton.disabled = sampleButton.disabled = false;
    startButton.textContent = last && wasCamera ? "Start again" : "Start camera";
    if (focused) startButton.focus({ preventScroll: true });
    const summary = record.hasRows ? describeSession(record.summary()) : "";
    message.textContent = [problem, summary].filter(Boolean).join(" ") || showWelcome();
    for (const way of element.querySelectorAll(".to")) {
      way.hidden = !problem || !findTab(way.dataset.tab);
    }
    find(".speed").textContent = "";
    speaker.clear();
    trial.setOn(false);
    resting.setOn(false);
    showFaces(facesPanel, [], classes, record.hasRows ? overText : emptyText);
    showPlot();
    showSummary(find(".summary"), record.summary(), classes);
    showEngines();
  }

  /** Shows what the page would show of a face, where it has a picture for that. */
  function showStill() {
    stage.classList.remove("kept");
    if (!props.sample) return;
    const { still, answer } = props.sample;
    paintStill(held, new URL(still, ROOT).href, answer, classes);
  }

  /** Keeps the frame that is shown, and shows it when the video is gone. */
  function keepLast() {
    if (!video.videoWidth) return;
    last = copyShown(video, isMirrored(), overlay, stage.clientWidth);
    [held.width, held.height] = [last.width, last.height];
    held.getContext("2d").drawImage(last, 0, 0);
    stage.classList.add("kept");
  }

  /** Opens what `open` gives; `switching` from another one keeps the record and the known faces. */
  async function startSession(open, waiting, switching = false) {
    const state = switching && loop ? loop.state : null;
    closeSource();
    session = new AbortController();
    const { signal } = session;
    startButton.disabled = sampleButton.disabled = true;
    message.textContent = waiting;
    if (switching) showHint(waiting);
    let opened = null;
    try {
      opened = await open(signal);
    } catch (error) {
      // Nobody waits for what was closed meanwhile.
      if (!signal.aborted) stopSession(error.message);
    }
    if (signal.aborted) {
      if (opened && source !== opened) opened.close();
      return;
    }
    source = opened;
    stage.classList.toggle("mirrored", source.isMirrored);
    fitStage();
    showHint("");
    if (!switching) showStarted();
    runSession(signal, state);
    if (source.isCamera) watchVisitor(signal);
  }

  function startCamera(which, switching = false) {
    const obstacle = findObstacle({
      isSecureContext: window.isSecureContext,
      mediaDevices: navigator.mediaDevices,
    });
    if (obstacle) {
      stopSession(obstacle);
      return undefined;
    }
    const open = async (signal) => {
      const onLost = () => stopSession("The camera was disconnected.");
      try {
        const opened = await watchCamera(video, which, { signal, onLost });
        if (opened) await fillCameras(opened.settings);
        return opened;
      } catch (error) {
        throw new Error(describeError(error), { cause: error });
      }
    };
    return startSession(open, "Waiting for the camera ...", switching);
  }

  function startSample() {
    const open = () =>
      watchClip(video, new URL(props.sample.clip, ROOT).href).catch((error) => {
        throw new Error(NO_CLIP, { cause: error });
      });
    return startSession(open, "Loading the clip ...");
  }

  /** Starts the camera that the visitor chose. */
  const startChosen = () =>
    startCamera(cameras.value ? JSON.parse(cameras.value) : { facingMode: "user" });

  /** Switches the camera off when nobody looks any more, and on when somebody does. */
  async function watchVisitor(signal) {
    let seenAt = CLOCK.now();
    while (!signal.aborted) {
      if (!isHidden()) seenAt = CLOCK.now();
      else if (CLOCK.now() - seenAt > AWAY_MS) return rest();
      await CLOCK.sleep(LOOK_MS);
    }
    return undefined;
  }

  async function rest() {
    closeSource();
    session = new AbortController();
    const { signal } = session;
    while (!signal.aborted && isHidden()) await CLOCK.sleep(LOOK_MS);
    if (signal.aborted) return;
    await startCamera(cameras.value ? JSON.parse(cameras.value) : { facingMode: "user" }, true);
    if (source) showNote(WAS_OFF);
  }

  async function fillCameras(used) {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const options = listCameras(devices, used).map(
      ({ text, which, chosen }) => new Option(text, JSON.stringify(which), false, chosen),
    );
    cameras.replaceChildren(...options);
    find(".camera").hidden = options.length < 2;
  }

  function showStarted() {
    last = null;
    shot.drop();
    // The faces of the clip are not the visitor's.
    if (source.isCamera !== isPlayer) trial.startOver();
    isPlayer = source.isCamera;
    stage.dataset.state = "on";
    if (stage.classList.contains("kept")) showStill();
    stopButton.disabled = snapButton.disabled = false;
    stopButton.focus({ preventScroll: true });
    video.setAttribute("aria-label", source.isCamera ? "Your camera" : "Sample clip");
    record.start();
    trial.setOn(true);
    resting.setOn(true);
    find(".save").hidden = true; // until there is an answer to keep
    find(".summary").hidden = true;
    showEngines();
  }

  // The stage has the shape of the video, so that the canvas covers it pixel for pixel, also after
  // a phone was turned.
  function fitStage() {
    if (!video.videoWidth) return;
    element.style.setProperty("--ratio", String(video.videoWidth / video.videoHeight));
  }

  // --- frames and answers ------------------------------------------------------------------

  function runSession(signal, state) {
    loop = new FrameLoop({
      ask: (pace, before, timeS) =>
        engines.live_frame((name) => makeRequest(name, pace, before, timeS)),
      isPaused: isHidden,
      countFrames: () => (countsFrames ? speed.nFrames : null),
      onAnswer: showAnswer,
      onFailure: showFailure,
      clock: CLOCK,
      signal,
      state,
    });
    countFrames(signal);
    drawOverlay(signal, performance.now());
    updatePlot(signal, loop);
    // What failed may succeed now: nobody else would answer.
    device.load(!server);
    loop.run();
  }

  function countFrames(signal) {
    if (!countsFrames) return;
    video.requestVideoFrameCallback(() => {
      if (signal.aborted) return;
      speed.addFrame();
      countFrames(signal);
    });
  }

  function makeRequest(name, pace, state, timeS) {
    const more = { baseline: resting.baseline, ...(wantsVotes() && { votes: true }) };
    if (name === "server")
      return { image: grabFrame(pace), state, time_s: timeS, visitor, ...more };
    return { image: video, state, time_s: timeS, fast: true, ...more };
  }

  function grabFrame(pace) {
    frameCanvas.width = Math.min(pace.width, video.videoWidth);
    frameCanvas.height = Math.round((frameCanvas.width * video.videoHeight) / video.videoWidth);
    const context = frameCanvas.getContext("2d");
    context.drawImage(video, 0, 0, frameCanvas.width, frameCanvas.height);
    return frameCanvas.toDataURL("image/jpeg", JPEG_QUALITY);
  }

  function showAnswer(answer, sentAt, now) {
    failure = null;
    showHint("");
    overlay.show(answer);
    record.add(answer, sentAt, video.videoWidth);
    find(".save").hidden = !record.hasRows;
    const smooth = votes.add(wantsVotes() ? answer.faces : []);
    showFaces(facesPanel, answer.faces, classes, "No face in view.", smooth);
    speed.addAnswer(now, now - sentAt);
    find(".speed").textContent = speed.describe(loop.pace.current);
    speaker.update(answer.faces, now);
    trial.add(answer, sentAt / 1000, isMirrored());
    resting.add(answer, now);
    stage.dataset.answers = Number(stage.dataset.answers || 0) + 1;
    // For programs that measure the page.
    stage.dispatchEvent(new CustomEvent("fer-answer", { detail: { ms: now - sentAt } }));
  }

  function showFailure({ code, message: text }, nFailures) {
    find(".speed").textContent = "";
    failure = code;
    // Ids start anew.
    if (code === "bad_state") resting.setOn(true);
    // Why is told under the video, and stays there.
    const said = code === "failed" ? NOT_RUNNING : describeSilence(text);
    const isLasting = code === "failed" || nFailures >= FAILURES_SHOWN;
    if (isLasting || code === "busy") showHint(said);
    if (isLasting) showFaces(facesPanel, [], classes, said);
  }

  /** Names who is silent: `NO_ANSWER` is about the server. */
  function describeSilence(text) {
    return text === NO_ANSWER && engines.active === "device" ? NO_ANSWER_HERE : text;
  }

  // --- what the visitor sees and hears -----------------------------------------------------

  // Screens show 60 pictures a second and more, cameras give 30: boxes move with the video's. The
  // clock draws where it has stopped, so that old boxes fade.
  function drawOverlay(signal, now, drawn = { nFrames: null, at: 0 }) {
    if (signal.aborted) return;
    requestAnimationFrame((next) => drawOverlay(signal, next, drawn));
    const isSame = countsFrames && drawn.nFrames === speed.nFrames;
    if (isHidden() || (isSame && now - drawn.at < MAX_STILL_MS)) return;
    Object.assign(drawn, { nFrames: speed.nFrames, at: now });
    overlay.draw(now);
  }

  /** Shows a text over the video, which goes on; "" hides it. */
  function showHint(text) {
    if (CLOCK.now() < noteUntil) return;
    const hint = find(".hint");
    hint.hidden = !text;
    if (hint.textContent !== text) hint.textContent = text;
  }

  /** Shows a text over the video for a while. */
  function showNote(text) {
    showHint(text);
    noteUntil = CLOCK.now() + NOTE_MS;
  }

  /** Returns what is said before the start. */
  function showWelcome() {
    welcomed = describeStart(engines);
    return welcomed;
  }

  /** Says who analyses, which a choice on another tab changes, too. */
  function showEngines() {
    const text = describeEngines(engines, isOn());
    if (find(".where").textContent !== text) find(".where").textContent = text;
    // Another text, as why there is no camera, stays.
    const isWelcome = message.textContent === welcomed;
    if (isWelcome && !isOn()) message.textContent = showWelcome();
    const isOver =
      failure === "loading" ? engines.active : failure === "failed" && !engines.problem;
    if (!isOver) return;
    failure = null;
    showHint("");
    showFaces(facesPanel, [], classes, emptyText);
  }

  async function updatePlot(signal, running) {
    while (!signal.aborted) {
      if (!isHidden()) showPlot();
      if (running.isLate) showHint(describeSilence(NO_ANSWER));
      await CLOCK.sleep(PLOT_MS);
    }
  }

  function showPlot() {
    if (!plot.clientWidth) return;
    const until = record.elapsed;
    const { bands, nSeen } = record.lastMinute(until);
    const more = nSeen > bands.length ? `, ${bands.length} of ${nSeen} faces` : "";
    find(".record h2").textContent = `Last minute${more}`;
    const dpr = window.devicePixelRatio || 1;
    const [width, height] = [plot.clientWidth, plotHeight(bands.length)];
    plot.style.height = `${height}px`;
    plot.width = Math.round(width * dpr);
    plot.height = Math.round(height * dpr);
    const context = plot.getContext("2d");
    context.scale(dpr, dpr);
    const endText = isOn() ? "now" : record.hasRows ? record.end.toLocaleTimeString() : "";
    const ink = getComputedStyle(element).color;
    drawTimeline(context, { bands, until, width, ink, endText, classes });
  }

  function showNames() {
    find(".legend").replaceChildren(...classes.names.map((name) => makeKey(name, classes)));
    find(".names").replaceChildren(...classes.names.map((name) => makeKey(name, classes, "li")));
  }

  // --- what the visitor keeps --------------------------------------------------------------

  /** Returns the frame with its faces: the last one, or that of now. */
  const copyNow = () => last || copyShown(video, isMirrored(), overlay, stage.clientWidth);

  async function takeShot() {
    if (!isOn() || !video.videoWidth) return false;
    const plain = copyFrame(video, isMirrored());
    shot.show({
      name: fileName(new Date(), ".png"),
      shown: await toBlob(withGuess(copyNow())),
      plain: await toBlob(plain, "image/jpeg", 0.95),
    });
    return true;
  }

  async function savePicture() {
    download(await toBlob(withGuess(copyNow())), fileName(record.end, ".png"));
  }

  async function saveTimeline() {
    const picture = await toBlob(drawPicture(record, classes));
    download(picture, fileName(record.end, "_timeline.png"));
  }

  function saveTable() {
    download(new Blob([record.csv()], { type: "text/csv" }), fileName(record.end, ".csv"));
  }

  // --- controls ----------------------------------------------------------------------------

  /** Returns what a key does while the tab is shown. */
  const whileShown = (act) => () => !isHidden() && act() !== false;

  function toggleSession() {
    if (isOn()) stopSession();
    else if (!startButton.disabled) startChosen();
  }

  showNames();
  bindChoice(find(".engine select"), device, Boolean(server));
  message.textContent = showWelcome();
  showEngines();
  showPlot();
  device.addEventListener("change", showEngines);
  bindMenu(find(".save"));
  bindSpeech(find(".speak"), speaker);
  const showKeys = bindShortcuts({
    actions: {
      " ": ["start or stop the camera", whileShown(toggleSession)],
      s: ["take a snapshot", whileShown(() => isOn() && void takeShot())],
      f: ["full screen", whileShown(screen.toggle)],
    },
    others: [["1 2 3 4", "go to a tab"]],
  });
  sampleButton.hidden = !props.sample;
  find(".ask-votes").parentElement.hidden = !props.has_votes;
  find(".resting").hidden = !props.has_neutral;
  showStill();
  video.addEventListener("resize", fitStage);
  window.addEventListener("resize", showPlot);
  startButton.addEventListener("click", startChosen);
  sampleButton.addEventListener("click", startSample);
  stopButton.addEventListener("click", () => stopSession());
  cameras.addEventListener("change", () => {
    if (isOn() && source && source.isCamera) startCamera(JSON.parse(cameras.value), true);
  });
  for (const way of element.querySelectorAll(".to")) {
    way.addEventListener("click", () => showTab(way.dataset.tab));
  }
  snapButton.addEventListener("click", takeShot);
  find(".keys").addEventListener("click", showKeys);
  find(".picture").addEventListener("click", savePicture);
  find(".png").addEventListener("click", saveTimeline);
  find(".csv").addEventListener("click", saveTable);
  startButton.disabled = false; // until here a click would be lost
}
