/*
 * What other models say of the face that is chosen in a view (photo.js): a row for each. They are at
 * the server, which is sent the face's crop; one's own face at a click alone.
 */

import { Classes, percent } from "../common/classes.js";
import { sharedDevice } from "../common/device.js";
import { makeElement, makeIcon, makeVisitorId } from "../common/dom.js";
import { viewOf } from "../photo/photo.js";
import { arrange, bestOf, describeMatrix } from "./matrix.js";

const N_BARS = 3;
const MARKS = { correct: "\u2713 ", missed: "\u2717 " };
const NONE = "No other models are available right now.";
const LOST = "No answer came from the server. Try again.";

/** Names the models by their number, where it is known. */
const nameModels = (n) => (n === null ? "other models" : `${n} other models`);

function makeCell(tag, className, ...children) {
  const cell = makeElement(tag, className, ...children);
  if (tag === "th") cell.scope = "row";
  return cell;
}

/** Makes a bar with a probability beside it. */
function makeBar(p, color) {
  const fill = makeElement("span", "fill");
  fill.style.width = `${100 * p}%`;
  fill.style.background = color;
  return [makeElement("span", "percent", percent(p)), makeElement("span", "track", fill)];
}

/** Makes the rows of a table, in the colours of the page's classes. */
class Rows {
  #classes;
  #n = 0;
  #id;

  constructor(classes, id) {
    this.#classes = classes;
    this.#id = id;
  }

  makeAnswer(label, isDoubt) {
    const path = this.#classes.iconOf(label);
    const text = isDoubt ? `${label}?` : label;
    const answer = makeElement("span", "answer", ...(path ? [makeIcon(path)] : []), text);
    answer.classList.toggle("doubt", isDoubt);
    answer.style.setProperty("--color", this.#classes.colorOf(label));
    answer.style.setProperty("--ink", this.#classes.inkOf(label));
    if (isDoubt) answer.title = "unsure";
    return answer;
  }

  makeSet(expression) {
    const says = makeCell("td", "says", this.makeAnswer(expression, false));
    return makeElement("tr", "set", makeCell("th", "", "Set to"), says, makeCell("td", ""));
  }

  makeHead(text) {
    const head = makeCell("th", "", text);
    head.colSpan = 3;
    head.scope = "colgroup";
    return makeElement("tr", "group", head);
  }

  /** Makes the row of a model, and the one below it that is shown at a click on its name. */
  makeRow(row, kind) {
    const more = this.#makeMore(row);
    const button = makeElement("button", "model", row.title);
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", more.id);
    button.addEventListener("click", () => {
      more.hidden = !more.hidden;
      button.setAttribute("aria-expanded", String(!more.hidden));
    });
    const verdict = row.verdict || (row.lacks && `has no ${row.lacks}`);
    const mark = makeElement("span", "verdict", `${MARKS[row.verdict] || ""}${verdict}`);
    const answer = this.makeAnswer(row.label, row.uncertain);
    const says = makeCell("td", "says", answer, ...(verdict ? [" ", mark] : []));
    const color = this.#classes.colorOf(row.label);
    const sure = makeCell("td", "sure", ...makeBar(row.probs[row.label], color));
    return [makeElement("tr", kind, makeCell("th", "", button), says, sure), more];
  }

  #makeMore(row) {
    const bars = bestOf(row, N_BARS).map(([name, p]) => {
      const [number, track] = makeBar(p, this.#classes.colorOf(name));
      return makeElement("div", "fer-bar", makeElement("span", "", name), track, number);
    });
    const about = [row.idea, row.test].filter(Boolean).join(" ");
    const cell = makeCell("td", "", makeElement("p", "", about), ...bars);
    cell.colSpan = 3;
    const more = makeElement("tr", "more", cell);
    more.id = `${this.#id}-more-${this.#n++}`;
    more.hidden = true;
    return more;
  }
}

function makeColumns() {
  const heads = ["Model", "Says", "How sure"].map((text) => {
    const head = makeElement("th", "", text);
    head.scope = "col";
    return head;
  });
  return makeElement("thead", "", makeElement("tr", "", ...heads));
}

/** Returns how many rows do something: "1 differs", "2 differ". */
const nameGroup = ({ length: n }, verb, rest = "") =>
  `${n} ${n === 1 ? `${verb}s` : verb} ${rest}`.trim();

/** Makes the table of what `arrange` gives. */
function makeMatrix(arranged, expression, rows) {
  const { own, same, differing } = arranged;
  const body = makeElement("tbody");
  const add = (list, kind) => body.append(...list.flatMap((row) => rows.makeRow(row, kind)));
  if (expression) body.append(rows.makeSet(expression));
  add([own], "own");
  if (same.length) body.append(rows.makeHead(nameGroup(same, "agree", "with the main model")));
  add(same, "same");
  if (differing.length) body.append(rows.makeHead(nameGroup(differing, "differ")));
  add(differing, "differs");
  const table = makeElement("table", "", makeColumns(), body);
  table.setAttribute("aria-label", "What each model says of this face");
  return table;
}

/**
 * Starts the comparison.
 *
 * @param {Object} context
 * @param {HTMLElement} context.element holds compare.html
 * @param {Object} context.props `view_id` of the view; `at_click`, whether the face is the
 *   visitor's own; `n_others`, null where only the server knows; `expressions` that were set, by the
 *   names of pictures; `uncertain_below` of the page's model; `engine`, see `sharedDevice`; and those
 *   of `Classes`
 * @param {{compare: (request: Object) => Promise<Object>}} context.server
 */
export function start({ element, props, server }) {
  const classes = new Classes(props);
  const device = sharedDevice(props.engine);
  const visitor = makeVisitorId();
  const find = (selector) => element.querySelector(selector);
  const details = find(".compare");
  let chosen = null; // the face in the view
  let asked = null; // the face that the server was sent last

  /** Whether the face may be sent at all: one's own may not where this device is the choice. */
  const maySend = () => Boolean(chosen) && !(props.at_click && device.choice === "device");

  function showWhether() {
    details.hidden = !maySend();
    if (details.hidden && props.at_click) details.open = false;
  }

  function choose(face) {
    chosen = face;
    asked = null;
    show({});
    if (props.at_click) details.open = false;
    showWhether();
    ask();
  }

  function show({ problem = "", isWorking = false, content = [] }) {
    find(".working").hidden = !isWorking;
    find(".fer-error").hidden = !problem;
    find(".fer-error").textContent = problem;
    find(".matrix").replaceChildren(...content);
  }

  async function ask() {
    if (!details.open || !maySend() || asked === chosen) return;
    const face = chosen;
    asked = face;
    show({ isWorking: true });
    viewOf(props.view_id).sent();
    let answer;
    try {
      answer = await server.compare({ crop: face.crop, visitor });
    } catch (error) {
      console.warn(error);
      answer = { error: { message: LOST } };
    }
    // Meanwhile another face may have been chosen.
    if (face === chosen) showAnswer(face, answer);
  }

  function showAnswer(face, answer) {
    if (answer.error) {
      asked = null; // opened again, it is asked again
      show({ problem: answer.error.message });
    } else if (!answer.others.length) {
      show({ problem: props.at_click ? NONE : "" });
      details.hidden = !props.at_click;
    } else {
      show({ content: makeContent(face, answer) });
    }
  }

  function makeContent({ face, name, index, count }, answer) {
    const set = count === 1 && props.expressions ? props.expressions[name] : "";
    const expression = set && set in face.probs ? set : "";
    const isTurned = face.uncertain && face.probs[face.label] >= props.uncertain_below;
    const arranged = arrange(face, answer, { expression, isTurned });
    const number = count > 1 ? `Face ${index + 1} of ${count}. ` : "";
    const sum = makeElement("p", "sum", number + describeMatrix(arranged, expression));
    sum.setAttribute("role", "status");
    const notes = ["Choose a model to see what it is."];
    if (answer.missing.length) notes.push(`Not available: ${answer.missing.join(", ")}.`);
    const rows = new Rows(classes, props.view_id);
    const table = makeMatrix(arranged, expression, rows);
    return [sum, table, makeElement("p", "notes", notes.join(" "))];
  }

  const models = nameModels(props.n_others);
  find(".title").textContent = props.at_click ? `Compare with ${models}` : `What ${models} say`;
  find(".sends").textContent = props.at_click ? "Sends this face to the server." : "";
  details.open = !props.at_click;
  details.addEventListener("toggle", ask);
  device.addEventListener("change", showWhether);
  document.addEventListener("fer-face", ({ detail: { view_id, chosen: face } }) => {
    if (view_id === props.view_id) choose(face);
  });
  const view = viewOf(props.view_id); // which tells of later faces itself
  if (view) choose(view.chosen());
}
