/* The card of the selected face: its probabilities, and a map of what mattered for one of them. */

import { percent } from "../common/classes.js";
import { makeElement, makeIcon } from "../common/dom.js";
import { Explanations, describeExplanation } from "./explanations.js";
import { shortTitle } from "./faces.js";

/**
 * Makes the card.
 *
 * @param {HTMLElement} element holds photo.html
 * @param {import("../common/classes.js").Classes} classes
 */
export function makeDetail(element, classes) {
  const find = (selector) => element.querySelector(`.detail ${selector}`);
  const bars = find(".bars");
  let explanations = null; // of the faces of one picture
  let shown = null; // {person, crop}

  /**
   * Begins with the faces of another picture, or of none.
   *
   * @param {?(request: {face: number, class_index: number}, signal: AbortSignal) =>
   *   Promise<Object>} ask explains a face, see `Explanations`
   */
  function begin(ask) {
    if (explanations) explanations.cancel();
    explanations = ask && new Explanations(ask);
    element.querySelector(".detail").hidden = !ask;
  }

  /** Shows a face of people.js; `of` is the number of faces. */
  function show(person, crop, of) {
    const { face, number } = person;
    shown = { person, crop };
    const icon = classes.iconOf(face.label);
    const more = [face.uncertain && "unsure", number && `face ${number} of ${of}`].filter(Boolean);
    find("h2").replaceChildren(
      ...(icon ? [makeIcon(icon)] : []),
      makeElement("span", "", shortTitle(face), makeElement("small", "", more.join(", "))),
    );
    find(".crop").src = crop;
    bars.replaceChildren(...classes.names.map((name) => makeBar(name, face)));
    explain(face.label);
  }

  function makeBar(name, face) {
    const fill = makeElement("span", "fill");
    fill.style.width = `${100 * face.probs[name]}%`;
    fill.style.background = classes.colorOf(name);
    const bar = makeElement(
      "button",
      "fer-bar",
      makeElement("span", "", name),
      makeElement("span", "track", fill),
      makeElement("span", "percent", percent(face.probs[name])),
    );
    bar.type = "button";
    bar.dataset.name = name;
    bar.classList.toggle("best", name === face.label);
    bar.addEventListener("click", () => explain(name));
    return bar;
  }

  function explain(name) {
    const { person, crop } = shown;
    for (const bar of bars.children)
      bar.setAttribute("aria-pressed", String(bar.dataset.name === name));
    find(".more").textContent = `makes it more ${name}`;
    find(".less").textContent = `makes it less ${name}`;
    const known = explanations.request(
      `${person.index}:${name}`,
      () => ({ face: person.index, class_index: classes.indexOf(name) }),
      (answer) => showExplanation(name, person.face.probs[name], answer),
    );
    if (known) return;
    find(".map img").src = crop;
    find(".map").dataset.state = "asked";
    find(".busy").hidden = false;
    find(".why").textContent = "";
  }

  function showExplanation(name, p, answer) {
    find(".busy").hidden = true;
    find(".map").dataset.state = answer.map ? "shown" : "failed";
    const text = answer.map ? describeExplanation(name, p, answer) : answer.error.message;
    find(".why").textContent = text.replaceAll(" %", "\u00a0%");
    if (!answer.map) return;
    find(".map img").src = answer.map;
    find(".map img").alt = `The parts of the face that make it more or less ${name}`;
  }

  const mix = find(".mix input");
  mix.addEventListener("input", () =>
    find(".pair").style.setProperty("--mix", String(mix.value / 100)),
  );
  return { begin, show };
}
