/* What is written beside the video: a card for each face, and the label that is read out. */

import { faceTitle, percent } from "../common/classes.js";
import { makeElement, makeIcon } from "../common/dom.js";

const MAX_CARDS = 4;

/** Returns the first faces by id, so that their order does not jump. */
const firstFaces = (faces) =>
  [...faces].sort((a, b) => a.track_id - b.track_id).slice(0, MAX_CARDS);

/** Returns what a screen reader says of the faces; no percentages, they change all the time. */
export function describeFaces(faces) {
  const who = (face) => (faces.length > 1 ? `face ${face.track_id} ` : "");
  const label = (face) => (face.uncertain ? "uncertain, perhaps " : "") + face.label;
  return (
    firstFaces(faces)
      .map((face) => who(face) + label(face))
      .join(", ") || "no face"
  );
}

function makeBarRow(name, color) {
  const fill = makeElement("span", "fill");
  fill.style.background = color;
  const track = makeElement("span", "track", fill);
  return makeElement(
    "div",
    "fer-bar",
    makeElement("span", "", name),
    track,
    makeElement("span", "percent"),
  );
}

function makeCard(classes) {
  const rows = classes.names.map((name) => makeBarRow(name, classes.colorOf(name)));
  return makeElement("div", "fer-card", makeElement("div", "fer-card-head"), ...rows);
}

function fillCard(card, face, classes) {
  const head = card.querySelector(".fer-card-head");
  const key = `${faceTitle(face)} ${face.track_id}`;
  if (head.dataset.key !== key) {
    head.dataset.key = key;
    const number = makeElement("small", "", `face ${face.track_id}`);
    const name = makeElement("span", "", faceTitle(face), number);
    head.replaceChildren(makeIcon(classes.iconOf(face.label)), name);
  }
  const rows = card.querySelectorAll(".fer-bar");
  classes.probsOf(face).forEach((p, i) => {
    rows[i].querySelector(".fill").style.width = `${100 * p}%`;
    rows[i].querySelector(".percent").textContent = percent(p);
  });
}

/** Shows a card for each of the first faces in `panel`; `emptyText` if there is no face. */
export function showFaces(panel, faces, classes, emptyText) {
  const shown = firstFaces(faces);
  const empty = panel.querySelector(".none");
  empty.hidden = shown.length > 0;
  empty.textContent = emptyText;
  const cards = [...panel.querySelectorAll(".fer-card")];
  while (cards.length > shown.length) cards.pop().remove();
  while (cards.length < shown.length) {
    cards.push(makeCard(classes));
    panel.append(cards.at(-1));
  }
  shown.forEach((face, i) => fillCard(cards[i], face, classes));
}
