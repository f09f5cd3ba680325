/*
 * The view of one picture's result. `props.value` is what `Pictures.show` returned. Which face is
 * selected is known to the browser alone; for its explanation the crop of the face is sent.
 */

import { Classes, faceTitle, percent } from "../common/classes.js";
import { download, makeElement, makeIcon, makeVisitorId } from "../common/dom.js";
import { Explanations, describeExplanation } from "./explanations.js";
import { acceptPictures } from "./input.js";
import { MAX_ZOOM, ZOOM_STEP, makeZoom } from "./zoom.js";

const SMALL_PX = 64; // boxes narrower than this have their label when they are selected
const NO_FACE = "No face was found. Faces should be large, well lit and turned towards the camera.";

const probOf = (face) => face.probs[face.label];
const countFaces = (faces) => (faces.length === 1 ? "1 face" : `${faces.length} faces`);
const spokenName = (face, i) => `Face ${i + 1}, ${faceTitle(face)}, ${percent(probOf(face))}`;

function makeButton(className, ...children) {
  const button = makeElement("button", className, ...children);
  button.type = "button";
  return button;
}

function makeImage(url) {
  const image = makeElement("img");
  image.src = url;
  image.alt = "";
  return image;
}

/** Returns the index that a key of a row with `n` entries moves to; undefined for other keys. */
export function moveIndex(key, index, n) {
  return {
    ArrowRight: (index + 1) % n,
    ArrowDown: (index + 1) % n,
    ArrowLeft: (index + n - 1) % n,
    ArrowUp: (index + n - 1) % n,
    Home: 0,
    End: n - 1,
  }[key];
}

/**
 * Starts the view.
 *
 * @param {Object} context
 * @param {HTMLElement} context.element holds photo.html
 * @param {Object} context.props `value`, `input_id`, `endings`, and those of `Classes`
 * @param {{explain_face: (request: Object) => Promise<Object>}} context.server
 * @param {(name: string, callback: () => void) => void} context.watch calls back when a prop changes
 */
export function start({ element, props, server, watch }) {
  const classes = new Classes(props);
  const find = (selector) => element.querySelector(selector);
  const stage = find(".stage");
  const boxes = find(".boxes");
  const cards = find(".cards");
  const bars = find(".bars");
  const visitor = makeVisitorId();
  const welcomeText = find(".message").textContent;

  let picture = null; // what is shown
  let selected = 0; // index of the face
  let explanations = null; // of this picture

  const zoom = makeZoom(stage, find(".sheet"), (factor) => {
    find(".nearer").disabled = factor >= MAX_ZOOM;
    find(".farther").disabled = find(".whole").disabled = factor <= 1;
    placeLabels();
  });

  // --- a new picture -----------------------------------------------------------------------

  function showPicture() {
    picture = props.value && props.value.data ? props.value : null;
    const problem = props.value && props.value.error;
    if (explanations) explanations.cancel();
    explanations = new Explanations((request) => server.explain_face(request));
    find(".message").hidden = Boolean(picture || problem);
    find(".message").textContent = welcomeText;
    find(".fer-error").hidden = !problem;
    find(".fer-error").textContent = problem ? problem.message : "";
    find(".result").hidden = !picture;
    if (!picture) return;
    const { faces, frame } = picture.data;
    find(".sheet img").src = picture.shown.url;
    find(".sheet img").alt = `The picture, with ${countFaces(faces)}`;
    stage.style.setProperty("--ratio", String(frame.width / frame.height));
    find(".count").textContent = faces.length ? countFaces(faces) : NO_FACE;
    const notes = picture.data.notes || [];
    find(".notes").hidden = !notes.length;
    find(".notes").textContent = notes.join(". ");
    find(".annotated").href = picture.annotated.url;
    find(".annotated").download = picture.annotated.orig_name;
    find(".data pre").textContent = JSON.stringify(picture.data, null, 2);
    find(".result").classList.toggle("lone", !faces.length);
    find(".detail").hidden = !faces.length;
    boxes.replaceChildren(...faces.map((face, i) => makeBox(face, i, frame)));
    cards.hidden = faces.length < 2;
    cards.replaceChildren(...(faces.length > 1 ? faces.map(makeCard) : []));
    zoom.reset();
    if (faces.length) selectFace(0);
  }

  function setColors(target, face) {
    target.style.setProperty("--color", classes.colorOf(face.label));
    target.style.setProperty("--ink", classes.inkOf(face.label));
  }

  function makeBox(face, i, frame) {
    const [x0, y0, x1, y1] = face.box_xyxy.map((value, axis) => {
      const side = axis % 2 ? frame.height : frame.width;
      return (100 * Math.min(side, Math.max(0, value))) / side;
    });
    const label = makeElement("span", "", `${faceTitle(face)} ${percent(probOf(face))}`);
    const box = makeButton("box", label);
    box.classList.toggle("doubt", face.uncertain);
    box.setAttribute("aria-label", spokenName(face, i));
    Object.assign(box.style, {
      left: `${x0}%`,
      top: `${y0}%`,
      width: `${x1 - x0}%`,
      height: `${y1 - y0}%`,
    });
    setColors(box, face);
    box.addEventListener("click", () => selectFace(i));
    return box;
  }

  function makeCard(face, i) {
    const name = face.label + (face.uncertain ? "?" : "");
    const small = makeElement("small", "", `${percent(probOf(face))} · #${i + 1}`);
    const card = makeButton("", makeImage(picture.crops[i]), makeElement("span", "", name, small));
    card.setAttribute("aria-label", spokenName(face, i));
    setColors(card, face);
    card.addEventListener("click", () => {
      selectFace(i);
      zoom.reveal(boxes.children[i]);
      find(".detail").scrollIntoView({ block: "nearest" });
    });
    return card;
  }

  /** Keeps labels inside the stage and off small boxes. */
  function placeLabels() {
    const outer = stage.getBoundingClientRect();
    for (const box of boxes.children) {
      const inner = box.getBoundingClientRect();
      box.classList.toggle("small", inner.width < SMALL_PX);
      box.classList.toggle("top", inner.top - outer.top < 32);
      const labelWidth = box.firstChild.offsetWidth;
      box.classList.toggle("right", inner.left + labelWidth > outer.right - 4);
    }
  }

  // --- one face ----------------------------------------------------------------------------

  function selectFace(i) {
    selected = i;
    const { faces } = picture.data;
    const face = faces[i];
    for (const row of [boxes, cards]) {
      [...row.children].forEach((button, j) => {
        button.setAttribute("aria-pressed", String(j === i));
        button.tabIndex = j === i ? 0 : -1;
      });
    }
    const number = faces.length > 1 ? [`face ${i + 1} of ${faces.length}`] : [];
    const icon = classes.iconOf(face.label);
    const name = `${faceTitle(face)} ${percent(probOf(face))}`;
    find(".detail h3").replaceChildren(
      ...(icon ? [makeIcon(icon)] : []),
      makeElement("span", "", name, makeElement("small", "", ...number)),
    );
    find(".crop").src = picture.crops[i];
    bars.replaceChildren(...classes.names.map((each) => makeBar(each, face.probs[each])));
    explain(face.label);
  }

  function makeBar(name, p) {
    const fill = makeElement("span", "fill");
    fill.style.width = `${100 * p}%`;
    fill.style.background = classes.colorOf(name);
    const bar = makeButton(
      "fer-bar",
      makeElement("span", "", name),
      makeElement("span", "track", fill),
      makeElement("span", "percent", percent(p)),
    );
    bar.dataset.name = name;
    bar.addEventListener("click", () => explain(name));
    return bar;
  }

  function explain(name) {
    const crop = picture.crops[selected];
    for (const bar of bars.children) {
      bar.setAttribute("aria-pressed", String(bar.dataset.name === name));
    }
    find(".legend span").textContent = `supports ${name}`;
    const known = explanations.request(
      `${selected}:${name}`,
      () => ({ crop, class_index: classes.indexOf(name), visitor }),
      (answer) => showExplanation(name, answer),
    );
    if (known) return;
    find(".map img").src = crop;
    find(".map").dataset.state = "asked";
    find(".busy").hidden = false;
    find(".why").textContent = "";
  }

  function showExplanation(name, answer) {
    find(".busy").hidden = true;
    find(".map").dataset.state = answer.map ? "shown" : "failed";
    find(".why").textContent = answer.map
      ? describeExplanation(name, answer)
      : answer.error.message;
    if (!answer.map) return;
    find(".map img").src = answer.map;
    find(".map img").alt = `Regions of this face that support ${name} or oppose it`;
  }

  // --- controls ----------------------------------------------------------------------------

  function save(text, type, ending) {
    download(new Blob([text], { type }), `${picture.name}_expressions${ending}`);
  }

  /** Moves the selection with the keys of a row of which Tab reaches one entry. */
  function moveSelection(event, row) {
    const to = moveIndex(event.key, selected, row.children.length);
    if (to === undefined || !row.children.length) return;
    event.preventDefault();
    selectFace(to);
    row.children[to].focus({ preventScroll: row === boxes });
    zoom.reveal(boxes.children[to]);
  }

  const keys = {
    "+": () => zoom.by(ZOOM_STEP),
    "=": () => zoom.by(ZOOM_STEP),
    "-": () => zoom.by(1 / ZOOM_STEP),
    0: zoom.reset,
    Escape: zoom.reset,
  };

  boxes.addEventListener("keydown", (event) => moveSelection(event, boxes));
  boxes.addEventListener("focusin", (event) => {
    if (event.target.matches(":focus-visible")) zoom.reveal(event.target);
  });
  cards.addEventListener("keydown", (event) => moveSelection(event, cards));
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  find(".nearer").addEventListener("click", () => zoom.by(ZOOM_STEP));
  find(".farther").addEventListener("click", () => zoom.by(1 / ZOOM_STEP));
  find(".whole").addEventListener("click", zoom.reset);
  // Excel reads UTF-8 only after a byte order mark.
  find(".csv").addEventListener("click", () => save(`\ufeff${picture.csv}`, "text/csv", ".csv"));
  find(".json").addEventListener("click", () =>
    save(`${JSON.stringify(picture.data, null, 2)}\n`, "application/json", ".json"),
  );
  find(".clear").hidden = !props.input_id;
  find(".clear").addEventListener("click", () => {
    props.value = null;
    showPicture();
  });
  if (props.input_id) acceptPictures(element, props.input_id, props.endings);
  watch("value", showPicture);
  showPicture();
}
