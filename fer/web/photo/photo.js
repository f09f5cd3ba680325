/*
 * The view of one picture's result, and the ways to give a picture. It is analysed on this device
 * (device.js), or `props.value` is what `Pictures.show` returned for it on the server. Which face is
 * selected is known to the browser alone; the server is sent a face's crop for its explanation.
 */

import { Classes } from "../common/classes.js";
import { bindChoice, sharedDevice } from "../common/device.js";
import { download, makeVisitorId } from "../common/dom.js";
import { bindMenu } from "../common/menu.js";
import { MAX_PIXELS, analysePicture, explainDataUrl } from "./device.js";
import { makeDetail } from "./detail.js";
import { describeCount } from "./faces.js";
import { acceptPictures, acceptShots, sendToServer } from "./input.js";
import { describeProblem, refuseText } from "./kinds.js";
import { makePeople } from "./people.js";
import { describeResult, describeRoute, describeSent, routePicture, staysHere } from "./route.js";
import { offerExamples } from "./tries.js";
import { MAX_ZOOM, ZOOM_STEP, makeZoom } from "./zoom.js";

const HERE = "Analysing ...";
const SERVER_PATIENCE_MS = 180_000; // a minute in the queue, and a large picture
const NO_FACE = "No face found. Faces should be large, well lit and turned towards the camera.";

/** Returns a message as a sentence; the name of a file, with which it may begin, stays as it is. */
const asSentence = (text) =>
  text.replace(/^[a-z]+ /, (word) => word[0].toUpperCase() + word.slice(1));

// By `view_id`, for other modules of the page that have pictures.
const views = new Map();
const started = new EventTarget(); // tells of each by an event of its name

/**
 * Returns the view that was started with this `view_id`; undefined before that.
 *
 * @returns {{element: HTMLElement, take: Function, give?: Function}} `element` gets the event
 *   "fer-picture" when a picture, or what is wrong with it, is shown; `take(name, open, send)` shows
 *   the picture that `open()` gives, or has `send()` ask the server for it, and tells whether it was
 *   analysed on this device. `open` is null where the server alone has it, `send` on a page without
 *   one. A last argument is the `index` that the answer of the server must have. `give(file)`, of a
 *   view that takes pictures, does that as if the visitor had chosen the file. `chosen()` is the face
 *   that is selected, as {name, face, crop, index, count}, `index` as the faces are shown; null
 *   without one. It comes with the event "fer-face" in `document`, next to `view_id`. `sent()` tells
 *   the view that this face was sent to the server.
 */
export const viewOf = (id) => views.get(id);

/** Returns the same once it is started. */
export async function whenView(id) {
  if (!views.has(id)) {
    await new Promise((resolve) => started.addEventListener(id, resolve, { once: true }));
  }
  return views.get(id);
}

/**
 * Starts the view.
 *
 * @param {Object} context
 * @param {HTMLElement} context.element holds photo.html
 * @param {Object} context.props `view_id`; `value`, the server's answer; `takes_pictures`, whether
 *   the visitor gives them here; `input_id` of Gradio's component that takes them to the server;
 *   `endings` of their names; `tries`, see `offerExamples`; `engine`, see `sharedDevice`; and those
 *   of `Classes`
 * @param {?{explain_face: (request: Object) => Promise<Object>}} context.server null on a page
 *   without one
 * @param {(name: string, callback: () => void) => void} context.watch calls back when a prop changes
 */
export function start({ element, props, server, watch }) {
  const classes = new Classes(props);
  const find = (selector) => element.querySelector(selector);
  const stage = find(".stage");
  const visitor = makeVisitorId();
  const device = sharedDevice(props.engine, Boolean(server));

  let picture = null; // what is shown
  // The last picture, and who analyses it, once that is known: `isSent` to the server, or here.
  let given = { turn: 0, name: "", isRouted: true, isSent: false, reason: "", nFiles: 1 };
  let shown = given; // the same, of the picture that is shown
  let isRefused = false; // whether `shown` has an error instead of a picture
  let taking = new AbortController(); // aborted when nobody waits for the last picture any more

  const zoom = makeZoom(stage, find(".sheet"), (factor) => {
    find(".nearer").disabled = factor >= MAX_ZOOM;
    find(".farther").disabled = find(".whole").disabled = factor <= 1;
    people.placeLabels();
  });
  const detail = makeDetail(element, classes);
  const people = makePeople(element, classes, {
    onSelect: (person) => {
      detail.show(person, picture.crops[person.index], picture.data.faces.length);
      tellChosen();
    },
    reveal: zoom.reveal,
  });

  // --- a new picture -----------------------------------------------------------------------

  /** Has a picture analysed here or by the server, as the visitor's choice and the device allow. */
  async function take(name, open, send, nFiles = 1, index = undefined) {
    const { turn, signal } = nextTurn({ name, isRouted: false, nFiles, index });
    showWorking(HERE);
    showProblem("");
    const analyse = async (isAlone) =>
      analysePicture(await open(), name, { device, classes, isAlone, signal });
    let outcome;
    try {
      if (open) outcome = await routePicture({ device, analyse, send, signal });
      else outcome = { sent: true, value: await send() };
    } catch (error) {
      outcome = { error: error.message };
    }
    const { value = null, sent = false, reason = "", error } = outcome;
    if (turn !== given.turn) {
      if (value) value.release();
      return Boolean(value);
    }
    given = { ...given, isRouted: true, isSent: sent, reason };
    if (sent) {
      waitForServer(turn);
    } else {
      showWorking("");
      show(value || { error: { message: error } });
    }
    return Boolean(value);
  }

  /** Has a file analysed which the visitor gave, or an example that `open` gives. */
  function giveFile(name, open, nFiles) {
    const { endings, input_id } = props;
    const send = async (mayGo) => {
      const file = await open();
      await refuseText(file, name);
      return sendToServer(file, input_id, endings, mayGo);
    };
    return take(name, open, server && input_id ? send : null, nFiles);
  }

  /** Ends the wait for the last picture: its work ends, what is not sent stays here. */
  function nextTurn(values = {}) {
    taking.abort();
    taking = new AbortController();
    const turn = given.turn + 1;
    given = { name: "", isRouted: true, isSent: false, reason: "", nFiles: 1, ...values, turn };
    showWorking("");
    return { turn, signal: taking.signal };
  }

  /** Shows why what was given instead of a picture was not taken. */
  function refuse(text) {
    nextTurn();
    show({ error: { message: text } });
  }

  function waitForServer(turn) {
    showWorking("Analysing on the server ...");
    // Of a connection that was lost nothing is heard.
    setTimeout(() => {
      if (turn !== given.turn || find(".working").hidden) return;
      showWorking("");
      showProblem("No answer came from the server. Try again.");
    }, SERVER_PATIENCE_MS);
  }

  function showWorking(text) {
    find(".working").hidden = !text;
    find(".working .text").textContent = text;
    // It was about the picture before.
    if (text && picture && !picture.data.faces.length) find(".summary").hidden = true;
    arrange();
  }

  /** Makes room for the result, or for the ways to get one; `focused` had the focus before. */
  function arrange(focused = document.activeElement) {
    const isEmpty = !picture && find(".working").hidden;
    const takes = Boolean(props.takes_pictures);
    find(".open").classList.toggle("empty", isEmpty);
    find(".message").hidden = !isEmpty;
    find(".or").hidden = !(isEmpty && takes);
    find(".tries").hidden = !(isEmpty && takes && props.tries && props.tries.length);
    find(".choose").textContent = isEmpty ? "Upload" : "Change picture";
    find(".save").hidden = !(picture && picture.data.faces.length && find(".working").hidden);
    find(".clear").hidden = !(picture && takes);
    keepFocus(focused);
  }

  /** Gives the focus to the way to the next picture, where the control that had it is gone. */
  function keepFocus(focused) {
    const isGone = element.contains(focused) && !focused.getClientRects().length;
    if (!isGone) return;
    const next = [find(".stop"), find(".choose")].find((each) => each.getClientRects().length);
    if (next) next.focus({ preventScroll: true });
  }

  /** Says where the picture that is shown was analysed, or where the next one will be. */
  function showWhere() {
    const isGiven = Boolean(props.takes_pictures);
    const before = isGiven ? describeRoute(device, Boolean(server)) : "";
    const after = isRefused && shown.isSent ? describeSent(shown) : before;
    const text = picture ? describeResult(shown, isGiven) : after;
    if (find(".where").textContent !== text) find(".where").textContent = text;
    if (given.isRouted) return;
    find(".working .text").textContent = device.state === "loading" ? device.progress : HERE;
  }

  function showServerPicture() {
    // Nobody waits for the answer to a picture that was removed, or after which another was given.
    if (!given.isSent || (props.value && props.value.index !== given.index)) return;
    showWorking("");
    show(props.value);
  }

  function show(value) {
    showValue(value);
    if (value) element.dispatchEvent(new CustomEvent("fer-picture", { detail: value }));
  }

  function showValue(value) {
    const focused = document.activeElement; // hidden it would lose the focus
    shown = given;
    const shownBefore = picture;
    picture = value && value.data ? value : null;
    if (shownBefore && shownBefore.release && shownBefore !== picture) shownBefore.release();
    const problem = value && value.error;
    isRefused = Boolean(problem);
    const faces = picture ? picture.data.faces : [];
    const { crops, explain } = picture || {};
    detail.begin(faces.length ? explain || makeAsk(crops) : null);
    showWhere();
    showProblem(problem ? problem.message : "");
    find(".summary").hidden = find(".result").hidden = !picture;
    find(".summary").classList.toggle("none", !faces.length);
    find(".result").classList.toggle("none", !faces.length);
    if (picture) showPicture();
    if (!faces.length) tellChosen();
    arrange(focused);
  }

  function showPicture() {
    const { faces, frame, notes = [] } = picture.data;
    const said = faces.length ? describeCount(faces) : NO_FACE;
    find(".count").textContent = said;
    find(".sheet img").src = picture.shown.url;
    find(".sheet img").alt = `The picture: ${said}`;
    stage.style.setProperty("--ratio", String(frame.width / frame.height));
    find(".notes").hidden = !notes.length;
    find(".notes").textContent = notes.join(". ");
    find(".annotated").href = picture.annotated.url || picture.shown.url;
    find(".annotated").download = picture.annotated.orig_name;
    find(".data pre").textContent = JSON.stringify(picture.data, null, 2);
    people.show(picture);
    zoom.reset();
  }

  /** Explains faces that the server found: there, or here if nothing may be sent any more. */
  const makeAsk =
    (crops) =>
    ({ face, class_index }, signal) => {
      const request = { crop: crops[face], class_index, visitor };
      if (staysHere(device, Boolean(server))) return explainDataUrl(device, request, signal);
      return server.explain_face(request);
    };

  function chosen() {
    const { selected } = people;
    if (!picture || !selected) return null;
    const { number, index, face } = selected;
    const count = picture.data.faces.length;
    return {
      name: picture.name,
      face,
      crop: picture.crops[index],
      index: Math.max(0, number - 1),
      count,
    };
  }

  /** Says from now on that a face of the picture was sent. */
  function sent() {
    shown = { ...shown, isFaceSent: true };
    showWhere();
  }

  function tellChosen() {
    const detail = { view_id: props.view_id, chosen: chosen() };
    document.dispatchEvent(new CustomEvent("fer-face", { detail }));
  }

  // --- controls ----------------------------------------------------------------------------

  function save(text, type, ending) {
    download(new Blob([text], { type }), `${picture.name}_expressions${ending}`);
  }

  /** Zooms by keyboard: the selected face stays in view. */
  function zoomFace(factor) {
    const { selected } = people;
    if (selected) zoom.onto(selected.box, factor);
    else zoom.by(factor);
  }

  /** Zooms by a button; a click without a pointer comes from the keyboard. */
  const zoomBy = (factor) => (event) => (event.detail ? zoom.by(factor) : zoomFace(factor));

  const keys = {
    "+": () => zoomFace(ZOOM_STEP),
    "=": () => zoomFace(ZOOM_STEP),
    "-": () => zoomFace(1 / ZOOM_STEP),
    0: zoom.reset,
    Escape: zoom.reset,
  };

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  find(".nearer").addEventListener("click", zoomBy(ZOOM_STEP));
  find(".farther").addEventListener("click", zoomBy(1 / ZOOM_STEP));
  find(".whole").addEventListener("click", zoom.reset);
  // Excel reads UTF-8 only after a byte order mark.
  find(".csv").addEventListener("click", () => save(`\ufeff${picture.csv}`, "text/csv", ".csv"));
  find(".json").addEventListener("click", () =>
    save(`${JSON.stringify(picture.data, null, 2)}\n`, "application/json", ".json"),
  );
  find(".annotated").addEventListener("click", async (event) => {
    const { make, orig_name } = picture.annotated;
    if (!make) return;
    event.preventDefault();
    try {
      download(await make(), orig_name);
    } catch (error) {
      showProblem(error.message);
    }
  });
  bindMenu(find(".save"));
  find(".clear").addEventListener("click", () => {
    nextTurn();
    props.value = null;
    show(null);
  });
  find(".stop").addEventListener("click", () => {
    nextTurn();
    showWhere();
  });

  function showProblem(text) {
    find(".fer-error").hidden = !text;
    find(".fer-error").textContent = text && asSentence(describeProblem(text));
  }

  function giveWays() {
    const { endings } = props;
    const onPicture = (file, nFiles) => giveFile(file.name, async () => file, nFiles);
    const ways = { endings, onPicture, onRefused: refuse, onProblem: showProblem };
    find(".give").hidden = false;
    acceptPictures(element, ways);
    acceptShots(element, ways);
    offerExamples(find(".tries .pictures"), props.tries || [], giveFile);
    const megapixels = `${MAX_PIXELS / 1e6} megapixels`;
    find(".or").textContent = `Or drop a picture anywhere on this tab. At most ${megapixels}.`;
    bindChoice(find(".engine select"), device, Boolean(server));
    // The recogniser is loaded when the visitor comes near.
    for (const name of ["pointerover", "focusin"])
      find(".open").addEventListener(name, () => device.load());
  }

  if (props.takes_pictures) giveWays();
  const give = props.takes_pictures ? (file) => giveFile(file.name, async () => file) : undefined;
  if (props.view_id) {
    views.set(props.view_id, { element, take, give, chosen, sent });
    started.dispatchEvent(new Event(props.view_id));
  }
  device.addEventListener("change", showWhere);
  watch("value", showServerPicture);
  show(props.value);
}
