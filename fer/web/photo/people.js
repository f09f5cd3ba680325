/* The faces of a picture: boxes over it, a strip of cards, and chips that show some of them only. */

import { percent } from "../common/classes.js";
import { makeElement, makeIcon } from "../common/dom.js";
import { moveIndex } from "../common/keys.js";
import { listKinds, probOf, readingOrder, shortTitle, spokenName } from "./faces.js";
import { shiftInto } from "./zoom.js";

const SMALL_PX = 64; // boxes narrower than this have their label when they are selected
const TINY_PX = 22; // and narrower ones no number

function makeButton(className, ...children) {
  const button = makeElement("button", className, ...children);
  button.type = "button";
  return button;
}

/** Returns the number of a face as children of its button; none where it has none. */
const numbered = (number) => (number ? [makeElement("b", "", String(number)), " "] : []);

/**
 * Makes the faces of the pictures that are shown one after the other.
 *
 * @param {HTMLElement} element holds photo.html
 * @param {import("../common/classes.js").Classes} classes
 * @param {Object} options
 * @param {(person: Object) => void} options.onSelect told of the face that is selected: its
 *   `number` on the page, 0 for a single one, `index` in `faces`, `face` itself and `box`
 * @param {(box: HTMLElement) => void} options.reveal brings a box into view
 */
export function makePeople(element, classes, { onSelect, reveal }) {
  const [stage, boxes, cards, chips] = [".stage", ".boxes", ".cards", ".chips"].map((selector) =>
    element.querySelector(selector),
  );
  let people = [];
  let selected = 0; // index in `people`

  /** Shows the faces of a picture, all of them. */
  function show({ data: { faces, frame }, crops }) {
    const order = readingOrder(faces);
    people = order.map((index, i) => {
      const person = { number: order.length > 1 ? i + 1 : 0, index, face: faces[index] };
      person.box = makeBox(person, frame, () => select(i));
      person.card = makeCard(person, crops[index], () => {
        select(i);
        reveal(person.box);
      });
      return person;
    });
    boxes.replaceChildren(...people.map(({ box }) => box));
    cards.replaceChildren(...people.map(({ card }) => card));
    cards.hidden = people.length < 2;
    chips.replaceChildren(...(people.length > 1 ? listKinds(faces).map(makeChip) : []));
    cards.scrollLeft = 0;
    if (people.length) select(0);
  }

  function setUp(button, { number, index, face }, onClick) {
    button.dataset.face = String(index);
    button.setAttribute("aria-label", spokenName(face, number));
    button.style.setProperty("--color", classes.colorOf(face.label));
    button.style.setProperty("--ink", classes.inkOf(face.label));
    button.addEventListener("click", onClick);
    return button;
  }

  function makeBox(person, frame, onClick) {
    const { face, number } = person;
    const [x0, y0, x1, y1] = face.box_xyxy.map((value, axis) => {
      const side = axis % 2 ? frame.height : frame.width;
      return (100 * Math.min(side, Math.max(0, value))) / side;
    });
    const title = makeElement("span", "title", shortTitle(face));
    const box = makeButton("box", makeElement("span", "tag", ...numbered(number), title));
    box.classList.toggle("doubt", face.uncertain);
    box.classList.toggle("plain", !number);
    Object.assign(box.style, {
      left: `${x0}%`,
      top: `${y0}%`,
      width: `${x1 - x0}%`,
      height: `${y1 - y0}%`,
    });
    return setUp(box, person, onClick);
  }

  function makeCard(person, crop, onClick) {
    const image = makeElement("img");
    image.src = crop;
    image.alt = "";
    const { label, uncertain } = person.face;
    const percentage = makeElement("small", "", percent(probOf(person.face)));
    const title = makeElement("span", "", `${label}${uncertain ? "?" : ""} `, percentage);
    return setUp(makeButton("", image, ...numbered(person.number), title), person, onClick);
  }

  function makeChip({ label, text, matches }) {
    const icon = classes.iconOf(label);
    const chip = makeButton("chip", ...(icon ? [makeIcon(icon)] : []), text);
    chip.classList.toggle("doubt", !label);
    if (label) chip.style.setProperty("--color", classes.colorOf(label));
    chip.setAttribute("aria-pressed", "false");
    chip.addEventListener("click", () => {
      const isOn = chip.getAttribute("aria-pressed") === "false";
      for (const each of chips.children)
        each.setAttribute("aria-pressed", String(isOn && each === chip));
      showOnly(isOn ? matches : () => true);
      chip.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
    return chip;
  }

  function showOnly(matches) {
    for (const { face, box, card } of people) box.hidden = card.hidden = !matches(face);
    if (people[selected].box.hidden) select(people.findIndex(({ box }) => !box.hidden));
    placeLabels();
  }

  function select(i) {
    selected = i;
    people.forEach(({ box, card }, j) => {
      for (const button of [box, card]) {
        button.setAttribute("aria-pressed", String(j === i));
        button.tabIndex = j === i ? 0 : -1;
      }
    });
    // Of the strip alone: the page does not move.
    const [outer, inner] = [cards, people[i].card].map((each) => each.getBoundingClientRect());
    cards.scrollLeft -= shiftInto(inner.left, inner.right, outer.left, outer.right);
    onSelect(people[i]);
  }

  /** Keeps labels inside the stage, whole or as the number that is left of them on a small box. */
  function placeLabels() {
    for (const { box } of people) box.classList.remove("small", "tiny");
    const outer = stage.getBoundingClientRect();
    const measured = people.map(({ box }) => {
      const { left, top, width } = box.getBoundingClientRect();
      return { box, top, width, labelRight: left + box.firstChild.offsetWidth };
    });
    for (const { box, top, width, labelRight } of measured) {
      box.classList.toggle("small", width < SMALL_PX);
      box.classList.toggle("tiny", width < TINY_PX);
      box.classList.toggle("top", top - outer.top < 32);
      box.classList.toggle("right", labelRight > outer.right - 4);
    }
  }

  /** Moves the selection with the keys of a row of which Tab reaches one entry. */
  const moveIn = (part) => (event) => {
    const shown = people.filter(({ box }) => !box.hidden);
    const to = moveIndex(event.key, shown.indexOf(people[selected]), shown.length);
    if (to === undefined || !shown.length) return;
    event.preventDefault();
    select(people.indexOf(shown[to]));
    shown[to][part].focus({ preventScroll: part === "box" });
    reveal(shown[to].box);
  };

  boxes.addEventListener("keydown", moveIn("box"));
  cards.addEventListener("keydown", moveIn("card"));
  boxes.addEventListener("focusin", (event) => {
    if (event.target.matches(":focus-visible")) reveal(event.target);
  });
  return {
    show,
    placeLabels,
    /** The face that is selected; undefined where there is none. */
    get selected() {
      return people[selected];
    },
  };
}
