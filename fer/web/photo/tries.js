/* The pictures that a visitor can try: some of the page's examples. */

import { makeElement } from "../common/dom.js";

const ROOT = new URL("../", import.meta.url);

/** Returns the file of an example, whose address is from the folder of all modules. */
export async function fetchExample({ name, url }) {
  const reply = await fetch(new URL(url, ROOT));
  if (!reply.ok) throw new Error(`the example cannot be fetched: HTTP ${reply.status}.`);
  const blob = await reply.blob();
  return new File([blob], name, { type: blob.type });
}

/**
 * Shows thumbnails of examples to try.
 *
 * @param {HTMLElement} element for the thumbnails
 * @param {{name: string, caption: string, thumbnail: string, url: string}[]} examples
 * @param {(name: string, open: () => Promise<File>) => void} onChoose
 */
export function offerExamples(element, examples, onChoose) {
  const buttons = examples.map((example) => {
    const image = makeElement("img");
    image.loading = "lazy";
    image.alt = example.caption;
    image.src = new URL(example.thumbnail, ROOT).href;
    const button = makeElement("button", "", image);
    button.type = "button";
    button.title = example.caption;
    let file = null; // it is fetched once, whoever asks for it
    const open = () => (file ||= fetchExample(example));
    button.addEventListener("click", () => {
      file = null;
      onChoose(example.name, open);
    });
    return button;
  });
  element.replaceChildren(...buttons);
}
