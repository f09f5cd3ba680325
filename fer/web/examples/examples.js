/* The row of examples: a click shows the picture's result in a view of photo.js. */

import { sharedDevice } from "../common/device.js";
import { makeElement } from "../common/dom.js";
import { moveIndex } from "../common/keys.js";
import { whenView } from "../photo/photo.js";
import { describeExample } from "./matrix.js";

const ROOT = new URL("../", import.meta.url);
const N_FIRST = 8; // as in examples.css

async function fetchPicture(url) {
  const reply = await fetch(new URL(url, ROOT));
  if (!reply.ok) throw new Error(`the example cannot be fetched: HTTP ${reply.status}.`);
  return reply.blob();
}

/** Makes the button of an example. */
function makeButton({ caption, detail, thumbnail }) {
  const image = makeElement("img");
  image.loading = "lazy";
  image.alt = "";
  image.src = new URL(thumbnail, ROOT).href;
  const button = makeElement("button", "", image, makeElement("span", "", caption));
  button.type = "button";
  if (detail) button.title = detail;
  button.setAttribute("aria-pressed", "false");
  return button;
}

/**
 * Starts the row.
 *
 * @param {Object} context
 * @param {HTMLElement} context.element holds examples.html
 * @param {Object} context.props `examples`, a list of {name, caption, detail, expression, thumbnail,
 *   url}, addresses from the folder of all modules, `url` null where the server alone has the
 *   picture; `view_id` of the view in which results are shown; `engine`, see `sharedDevice`
 * @param {?(event: string, data: Object) => void} context.trigger tells the server, by "select", that
 *   it shall show the example `index`; null on a page without one
 */
export function start({ element, props, trigger }) {
  const device = sharedDevice(props.engine, Boolean(trigger));
  const strip = element.querySelector(".strip");
  const verdict = element.querySelector(".verdict");
  const more = element.querySelector(".more");
  const view = whenView(props.view_id);
  const buttons = props.examples.map(makeButton);
  let current = null; // index of the example that was chosen last

  const ask = (index) => async () => trigger("select", { index, value: null });

  async function choose(index, isAtServer = false) {
    const { name, url } = props.examples[index];
    current = index;
    verdict.textContent = "";
    buttons.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === index));
      button.tabIndex = i === index ? 0 : -1;
    });
    buttons[index].scrollIntoView({ block: "nearest", inline: "nearest" });
    const open = url && !isAtServer ? () => fetchPicture(url) : null;
    (await view).take(name, open, trigger ? ask(index) : null, 1, index);
  }

  /** Shows the first example without a click, if that is at hand: nothing is loaded for it. */
  function chooseFirst() {
    if (current !== null) return;
    const mayAsk = Boolean(trigger) && device.choice !== "device";
    const isReady = device.state === "ready" && device.choice !== "server";
    if (isReady || mayAsk) choose(0, !isReady);
  }

  function showVerdict(example, { data }) {
    const { text, mark } = data ? describeExample(example, data.faces) : { text: "", mark: "" };
    verdict.replaceChildren(text, ...(mark ? [" ", makeElement("b", "", mark)] : []));
  }

  function showAll(isAll) {
    strip.classList.toggle("all", isAll);
    more.setAttribute("aria-expanded", String(isAll));
    more.textContent = isAll ? "Show fewer" : `Show all ${buttons.length}`;
  }

  function moveFocus(event) {
    const seen = buttons.filter((button) => button.offsetParent);
    const to = moveIndex(event.key, seen.indexOf(event.target.closest("button")), seen.length);
    if (to === undefined) return;
    event.preventDefault();
    seen[to].focus();
  }

  buttons.forEach((button, i) => {
    button.tabIndex = i ? -1 : 0;
    button.addEventListener("click", () => choose(i));
  });
  strip.replaceChildren(...buttons);
  strip.addEventListener("keydown", moveFocus);
  more.hidden = buttons.length <= N_FIRST;
  more.addEventListener("click", () => showAll(!strip.classList.contains("all")));
  showAll(false);
  for (const name of ["pointerover", "focusin"]) strip.addEventListener(name, () => device.load());
  view.then((found) =>
    found.element.addEventListener("fer-picture", ({ detail }) => {
      showVerdict(props.examples[current], detail);
    }),
  );
  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    chooseFirst();
    device.addEventListener("change", chooseFirst);
  });
  watcher.observe(strip);
}
