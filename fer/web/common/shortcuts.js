/*
 * Keys for the whole page, and the list of them that "?" opens. Whoever is disturbed by them, as
 * some who speak to their computer are, switches them off there.
 */

import { makeElement } from "./dom.js";
import { isKeyTaken } from "./keys.js";
import { keepText, readText } from "./storage.js";

const STORED = "fer-keys"; // "off" where the visitor wants none

/** Whether the visitor wants letters and digits to do something. */
export const areKeysOn = () => readText(STORED) !== "off";

// What the space bar works on.
const TAKES_SPACE = "button, a, summary, [role=tab], [role=button]";

/** Whether a key is free for the page, and not meant for what has the focus. */
export const isFree = (event) =>
  !isKeyTaken(event) && !(event.key === " " && event.target.closest?.(TAKES_SPACE));

const nameOf = (key) => (key === " " ? "Space" : key.toUpperCase());

/** Makes the list of keys, with the switch for them. */
function makeDialog(rows, { isOn, onSwitch }) {
  const list = makeElement("dl");
  for (const [keys, text] of rows) {
    list.append(makeElement("dt", "", makeElement("kbd", "", keys)), makeElement("dd", "", text));
  }
  const box = makeElement("input");
  Object.assign(box, { type: "checkbox", checked: isOn });
  box.addEventListener("change", () => onSwitch(box.checked));
  const close = makeElement("button", "", "Close");
  Object.assign(close, { type: "button", autofocus: true });
  const title = makeElement("h2", "", "Keys");
  title.id = "fer-keys-title";
  const dialog = makeElement(
    "dialog",
    "fer-keys",
    title,
    list,
    makeElement("label", "fer-switch", box, "Use these keys"),
    close,
  );
  dialog.setAttribute("aria-labelledby", title.id);
  close.addEventListener("click", () => dialog.close());
  // A click on the dialog itself is one beside its content.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}

/**
 * Lets keys act, and "?" list them.
 *
 * @param {Object} options
 * @param {Object<string, [string, () => boolean]>} options.actions by key, as `event.key` has it:
 *   what it does in words, and the action, which returns whether it did something
 * @param {[string, string][]} [options.others] keys that others handle, and what they do
 * @returns {() => void} opens the list
 */
export function bindShortcuts({ actions, others = [] }) {
  let isOn = areKeysOn();
  let dialog = null;

  function showKeys() {
    if (!dialog) {
      const ours = Object.entries(actions).map(([key, [text]]) => [nameOf(key), text]);
      const onSwitch = (value) => {
        isOn = value;
        keepText(STORED, value ? "on" : "off");
      };
      dialog = makeDialog([...ours, ...others, ["?", "this list"]], { isOn, onSwitch });
      document.querySelector(".gradio-container").append(dialog);
    }
    if (!dialog.open) dialog.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.repeat || !isFree(event)) return;
    if (event.key === "?") {
      event.preventDefault();
      showKeys();
      return;
    }
    const action = isOn && actions[event.key.toLowerCase()];
    if (action && action[1]()) event.preventDefault();
  });
  return showKeys;
}
