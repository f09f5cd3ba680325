/* What is written beside the video: a card for each face, or what to do until there is one. */

import { faceTitle, percent } from "../common/classes.js";
import { makeElement, makeIcon } from "../common/dom.js";
import { showVotes } from "./votes.js";

const MAX_CARDS = 4;

/** Returns the first faces by id, so that their order does not jump. */
export const firstFaces = (faces) =>
  [...faces].sort((a, b) => a.track_id - b.track_id).slice(0, MAX_CARDS);

/** Returns a name with the colour of its class. */
export function makeKey(name, classes, tag = "span") {
  const mark = makeElement("i");
  mark.style.background = classes.colorOf(name);
  return makeElement(tag, "", mark, name);
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
  const head = makeElement("div", "fer-card-head", makeElement("span"), makeElement("b"));
  return makeElement("div", "fer-card", head, ...rows);
}

function fillHead(head, face, classes) {
  const key = `${faceTitle(face)} ${face.track_id}`;
  if (head.dataset.key !== key) {
    head.dataset.key = key;
    const number = makeElement("small", "", `face ${face.track_id}`);
    const name = makeElement("span", "", faceTitle(face), number);
    head.replaceChildren(makeIcon(classes.iconOf(face.label)), name, makeElement("b"));
  }
  setText(head.querySelector("b"), percent(face.probs[face.label]));
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Marks where the bar would end, had the face not been compared with its resting face. */
function markRaw(track, { raw, probs }, name) {
  const isCompared = raw && Object.keys(raw).some((each) => raw[each] !== probs[each]);
  if (isCompared) track.style.setProperty("--raw", raw[name]);
  else track.removeAttribute("style");
}

function fillCard(card, face, classes) {
  fillHead(card.querySelector(".fer-card-head"), face, classes);
  const rows = card.querySelectorAll(".fer-bar");
  classes.probsOf(face).forEach((p, i) => {
    rows[i].querySelector(".fill").style.width = `${100 * p}%`;
    markRaw(rows[i].querySelector(".track"), face, classes.names[i]);
    rows[i].classList.toggle("best", classes.names[i] === face.label);
    setText(rows[i].querySelector(".percent"), percent(p));
  });
}

/**
 * Shows a card for each of the first faces in `panel`.
 *
 * @param {HTMLElement} panel
 * @param {Object[]} faces of an answer
 * @param {Classes} classes
 * @param {string} emptyText if there is no face
 * @param {Map<number, Object>} [votes] by track_id, shown in the cards
 */
export function showFaces(panel, faces, classes, emptyText, votes = new Map()) {
  const shown = firstFaces(faces);
  const empty = panel.querySelector(".none");
  empty.hidden = shown.length > 0;
  setText(empty.querySelector(".said"), emptyText);
  const cards = [...panel.querySelectorAll(".fer-card")];
  while (cards.length > shown.length) cards.pop().remove();
  while (cards.length < shown.length) {
    cards.push(makeCard(classes));
    panel.append(cards.at(-1));
  }
  shown.forEach((face, i) => {
    fillCard(cards[i], face, classes);
    showVotes(cards[i], votes.get(face.track_id), classes);
  });
}
