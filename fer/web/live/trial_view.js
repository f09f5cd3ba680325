/* "Try all seven" beside the video: a tile for each expression, ticked when it was recognised. */

import { percent } from "../common/classes.js";
import { download, makeElement, makeIcon } from "../common/dom.js";
import { fileName } from "./record.js";
import { toBlob } from "./snapshot.js";
import { Trial, findPlayer, trialTitle } from "./trial.js";
import { cutFace, drawCard } from "./trial_card.js";

const RULE = "Play each face for a second, in any order.";
const FIRST = "Start the camera, then play each face for a second.";

function makeButton(text, act) {
  const button = makeElement("button", "", text);
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}

function makeTile(name, classes) {
  const icon = classes.iconOf(name);
  const tile = makeElement(
    "li",
    "",
    ...(icon ? [makeIcon(icon)] : []),
    makeElement("span", "", name),
    makeElement("b", ""),
  );
  tile.style.setProperty("--color", classes.colorOf(name));
  return tile;
}

/**
 * Makes the game.
 *
 * @param {HTMLElement} section an empty one
 * @param {Classes} classes
 * @param {(isMirrored: boolean) => HTMLCanvasElement} copy copies the frame that is shown
 * @returns {{add: Function, setOn: Function, startOver: Function}} `add(answer, time, isMirrored)`
 *   looks at an answer; `setOn(isOn)` tells whether there is a video; `startOver()` forgets all
 */
export function makeTrial(section, classes, copy) {
  const trial = new Trial(classes.names);
  const faces = new Map(); // by the class as which each was recognised
  let isPlayed = false;
  let isOn = false;

  const tiles = new Map(classes.names.map((name) => [name, makeTile(name, classes)]));
  const count = makeElement("span", "count");
  const said = makeElement("p", "said");
  said.setAttribute("role", "status");
  const begin = makeButton(trialTitle(classes.names.length), toggle);
  begin.className = "begin";
  const board = makeElement("div", "board", makeElement("ul", "", ...tiles.values()), said);
  const save = makeButton("Save card", saveCard);
  board.append(makeElement("div", "row", save, makeButton("Start over", startOver)));
  section.append(makeElement("div", "row", begin, count), board);

  function toggle() {
    isPlayed = !isPlayed;
    update();
    said.textContent = isOn ? RULE : FIRST;
  }

  function startOver() {
    trial.clear();
    faces.clear();
    update();
    said.textContent = isOn ? RULE : FIRST;
  }

  function update() {
    begin.setAttribute("aria-expanded", String(isPlayed));
    board.hidden = !isPlayed;
    count.textContent = isPlayed || trial.nDone ? `${trial.nDone} of ${trial.names.length}` : "";
    const { name: heldName, share } = trial.held;
    for (const [name, tile] of tiles) {
      const { done } = trial.of(name);
      tile.classList.toggle("done", done !== null);
      tile.style.setProperty("--held", done !== null ? 1 : name === heldName ? share : 0);
      const text = done === null ? "" : `✓ ${percent(done)}`;
      if (tile.lastChild.textContent !== text) tile.lastChild.textContent = text;
    }
  }

  function add(answer, time, isMirrored) {
    if (!isPlayed) return;
    const name = trial.add(answer.faces, time);
    if (name) {
      const player = findPlayer(answer.faces);
      faces.set(name, cutFace(copy(isMirrored), player, answer.frame.width, isMirrored));
      const left = trial.names.filter((each) => trial.of(each).done === null);
      said.textContent = left.length
        ? `${name} recognised. Still to play: ${left.join(", ")}.`
        : `All ${trial.names.length} recognised.`;
    }
    update();
  }

  function setOn(value) {
    isOn = value;
    if (isPlayed && !trial.nDone) said.textContent = isOn ? RULE : FIRST;
    // What was held before a pause is not held any more.
    if (!isOn) trial.add([], 0);
    update();
  }

  async function saveCard() {
    const card = drawCard(trial, faces, classes, new Date());
    download(await toBlob(card), fileName(new Date(), "_card.png"));
  }

  update();
  return { add, setOn, startOver };
}
