/*
 * The Live tab. The video never leaves the browser: it is analysed here, or a small JPEG is sent to
 * the server when the last answer is back, with the tracker's state of that answer, so the server
 * stores nothing.
 */

import { Classes } from "../common/classes.js";
import { download, makeElement, makeVisitorId } from "../common/dom.js";
import { describeError, findObstacle, listCameras, openCamera } from "./camera.js";
import { describeStart, makeEngines } from "./engine_switch.js";
import { FrameLoop, NO_ANSWER } from "./frames.js";
import { makeOverlay } from "./overlay.js";
import { describeFaces, showFaces } from "./panel.js";
import { Record, fileName } from "./record.js";
import { SpeedMeter } from "./speed.js";
import { showSummary } from "./summary.js";
import { drawPicture, drawTimeline, plotHeight } from "./timeline.js";

const JPEG_QUALITY = 0.7;
const PLOT_MS = 250;
const MIN_ANNOUNCE_MS = 1000; // between two labels that are read out
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
 * @param {Object} context.props as for `Classes`
 * @param {{live_frame: (request: Object) => Promise<Object>}} context.server answers frames
 */
export function start({ element, props, server }) {
  const classes = new Classes(props);
  const find = (selector) => element.querySelector(selector);
  const stage = find(".stage");
  const video = find("video");
  const message = find(".message");
  const startButton = find(".start");
  const stopButton = find(".stop");
  const cameras = find(".camera select");
  const plot = find(".plot");
  const facesPanel = find(".faces");
  const frameCanvas = document.createElement("canvas");
  const emptyText = find(".none").textContent;
  const visitor = makeVisitorId();
  const overlay = makeOverlay(find(".stage canvas"), classes, () =>
    stage.classList.contains("mirrored"),
  );
  const record = new Record(classes.names, CLOCK);
  const engines = makeEngines({
    settings: props.engine,
    server,
    select: find(".engine select"),
    status: find(".where"),
  });

  let stream = null;
  let session = new AbortController(); // aborted when the camera is closed
  let loop = null;
  let speed = new SpeedMeter();
  let announcedAt = 0;

  const isHidden = () => document.hidden || element.offsetParent === null;

  // --- camera ------------------------------------------------------------------------------

  function closeCamera() {
    session.abort();
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    speed = new SpeedMeter();
    overlay.clear();
    showHint("");
  }

  function stopSession(text = describeStart(engines.choice)) {
    const focused = [document.body, startButton, stopButton].includes(document.activeElement);
    closeCamera();
    loop = null;
    record.stop();
    stage.dataset.state = "off";
    stopButton.disabled = true;
    startButton.disabled = false;
    if (focused) startButton.focus({ preventScroll: true });
    message.textContent = text;
    find(".speed").textContent = "";
    find(".spoken").textContent = "";
    showFaces(facesPanel, [], classes, emptyText);
    showPlot();
    showSummary(find(".summary"), record.summary(), classes);
  }

  /** Opens a camera; `switching` from another one keeps the record and the known faces. */
  async function startSession(which, switching = false) {
    const obstacle = findObstacle({
      isSecureContext: window.isSecureContext,
      mediaDevices: navigator.mediaDevices,
    });
    if (obstacle) {
      stopSession(obstacle);
      return;
    }
    const state = switching && loop ? loop.state : null;
    closeCamera();
    session = new AbortController();
    const { signal } = session;
    startButton.disabled = true;
    message.textContent = "Waiting for the camera ...";
    if (switching) showHint(message.textContent);
    try {
      await connect(which, signal);
    } catch (error) {
      // Nobody waits for a camera that was closed meanwhile.
      if (!signal.aborted) stopSession(describeError(error));
    }
    if (signal.aborted) return;
    fitStage();
    showHint("");
    if (!switching) showStarted();
    runSession(signal, state);
  }

  async function connect(which, signal) {
    const opened = await openCamera(which);
    if (signal.aborted) {
      opened.getTracks().forEach((track) => track.stop());
      return;
    }
    stream = opened;
    const track = stream.getVideoTracks()[0];
    track.addEventListener("ended", () => {
      if (!signal.aborted) stopSession("The camera was disconnected.");
    });
    stage.classList.toggle("mirrored", track.getSettings().facingMode !== "environment");
    video.srcObject = stream;
    await video.play();
    await fillCameras(track.getSettings());
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
    stage.dataset.state = "on";
    stopButton.disabled = false;
    stopButton.focus({ preventScroll: true });
    record.start();
    find(".record").hidden = false;
    find(".summary").hidden = true;
  }

  // The stage has the shape of the video, so that the canvas covers it pixel for pixel, also after
  // a phone was turned.
  function fitStage() {
    if (!video.videoWidth) return;
    stage.style.setProperty("--ratio", String(video.videoWidth / video.videoHeight));
  }

  // --- frames and answers ------------------------------------------------------------------

  function runSession(signal, state) {
    loop = new FrameLoop({
      ask: (pace, before, timeS) =>
        engines.live_frame((name) => makeRequest(name, pace, before, timeS)),
      isPaused: isHidden,
      countFrames: () => (video.requestVideoFrameCallback ? speed.nFrames : null),
      onAnswer: showAnswer,
      onFailure: showFailure,
      clock: CLOCK,
      signal,
      state,
    });
    countFrames(signal);
    drawOverlay(signal, performance.now());
    updatePlot(signal, loop);
    loop.run();
    engines.load();
  }

  function countFrames(signal) {
    if (!video.requestVideoFrameCallback) return;
    video.requestVideoFrameCallback((now) => {
      if (signal.aborted) return;
      speed.addFrame(now);
      countFrames(signal);
    });
  }

  async function makeRequest(name, pace, state, timeS) {
    if (name === "server") return { image: grabFrame(pace), state, time_s: timeS, visitor };
    return { image: await createImageBitmap(video), state, time_s: timeS, fast: true };
  }

  function grabFrame(pace) {
    frameCanvas.width = Math.min(pace.width, video.videoWidth);
    frameCanvas.height = Math.round((frameCanvas.width * video.videoHeight) / video.videoWidth);
    const context = frameCanvas.getContext("2d");
    context.drawImage(video, 0, 0, frameCanvas.width, frameCanvas.height);
    return frameCanvas.toDataURL("image/jpeg", JPEG_QUALITY);
  }

  function showAnswer(answer, sentAt, now) {
    showHint("");
    overlay.show(answer);
    record.add(answer, sentAt, video.videoWidth);
    showFaces(facesPanel, answer.faces, classes, "No face in view.");
    speed.addAnswer(now, now - sentAt);
    find(".speed").textContent = speed.describe(loop.pace.current);
    announce(answer.faces, now);
    stage.dataset.answers = Number(stage.dataset.answers || 0) + 1;
    // For programs that measure the page.
    stage.dispatchEvent(new CustomEvent("fer-answer", { detail: { ms: now - sentAt } }));
  }

  function showFailure({ code, message: text }, nFailures) {
    find(".speed").textContent = "";
    if (nFailures >= FAILURES_SHOWN || code === "busy") showHint(text);
    if (nFailures === FAILURES_SHOWN) showFaces(facesPanel, [], classes, text);
  }

  // --- what the visitor sees and hears -----------------------------------------------------

  function drawOverlay(signal, now) {
    if (signal.aborted) return;
    requestAnimationFrame((next) => drawOverlay(signal, next));
    if (!isHidden()) overlay.draw(now);
  }

  /** Shows a text over the video, which goes on; "" hides it. */
  function showHint(text) {
    const hint = find(".hint");
    hint.hidden = !text;
    if (hint.textContent !== text) hint.textContent = text;
  }

  /** Has a screen reader say the labels when they change. */
  function announce(faces, now) {
    if (now - announcedAt < MIN_ANNOUNCE_MS) return;
    const text = describeFaces(faces);
    if (find(".spoken").textContent === text) return;
    find(".spoken").textContent = text;
    announcedAt = now;
  }

  async function updatePlot(signal, running) {
    while (!signal.aborted) {
      if (!isHidden()) showPlot();
      if (running.isLate) showHint(NO_ANSWER);
      await CLOCK.sleep(PLOT_MS);
    }
  }

  function showPlot() {
    if (find(".record").hidden || !plot.clientWidth) return;
    const until = record.elapsed;
    const { bands, nSeen } = record.lastMinute(until);
    const more = nSeen > bands.length ? `, ${bands.length} of ${nSeen} faces` : "";
    find(".record h3").textContent = `Last minute${more}`;
    const dpr = window.devicePixelRatio || 1;
    const [width, height] = [plot.clientWidth, plotHeight(bands.length)];
    plot.style.height = `${height}px`;
    plot.width = Math.round(width * dpr);
    plot.height = Math.round(height * dpr);
    const context = plot.getContext("2d");
    context.scale(dpr, dpr);
    const endText = stream ? "now" : record.end.toLocaleTimeString();
    const ink = getComputedStyle(element).color;
    drawTimeline(context, { bands, until, width, ink, endText, classes });
  }

  function showLegend() {
    const entries = classes.names.map((name) => {
      const mark = makeElement("i");
      mark.style.background = classes.colorOf(name);
      return makeElement("span", "", mark, name);
    });
    find(".legend").replaceChildren(...entries);
  }

  // --- controls ----------------------------------------------------------------------------

  showLegend();
  message.textContent = describeStart(engines.choice);
  find(".engine select").addEventListener("change", () => {
    if (stage.dataset.state === "off") message.textContent = describeStart(engines.choice);
  });
  handleFullScreen(find(".view"), find(".wide"));
  video.addEventListener("resize", fitStage);
  window.addEventListener("resize", showPlot);
  startButton.addEventListener("click", () =>
    startSession(cameras.value ? JSON.parse(cameras.value) : { facingMode: "user" }),
  );
  stopButton.addEventListener("click", () => stopSession());
  cameras.addEventListener("change", () => {
    if (stage.dataset.state === "on") startSession(JSON.parse(cameras.value), true);
  });
  find(".csv").addEventListener("click", () => {
    download(new Blob([record.csv()], { type: "text/csv" }), fileName(record.end, ".csv"));
  });
  find(".png").addEventListener("click", () => {
    const save = (blob) => download(blob, fileName(record.end, ".png"));
    drawPicture(record, classes).toBlob(save, "image/png");
  });
  startButton.disabled = false; // until here a click would be lost
}

/**
 * Lets a button show a view in full screen. iPhones have no full screen for anything but a video:
 * there the view fills the window.
 */
function handleFullScreen(view, button) {
  function update() {
    const isWide = Boolean(document.fullscreenElement) || view.classList.contains("filled");
    button.textContent = isWide ? "Leave full screen" : "Full screen";
    button.setAttribute("aria-pressed", String(isWide));
  }
  function fillWindow(on) {
    view.classList.toggle("filled", on);
    update();
  }
  button.addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (view.classList.contains("filled")) fillWindow(false);
    else if (view.requestFullscreen) view.requestFullscreen().catch(() => fillWindow(true));
    else fillWindow(true);
  });
  document.addEventListener("fullscreenchange", update);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && view.classList.contains("filled")) fillWindow(false);
  });
}
