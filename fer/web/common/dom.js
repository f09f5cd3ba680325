/* Small helpers for the page's elements. */

/** Makes an element with children, which may be strings. */
export function makeElement(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Makes an icon from SVG path data of 24 x 24 units; page.css strokes it. */
export function makeIcon(path) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "fer-icon");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(namespace, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

/** Lets the visitor save a Blob under a name. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Browsers read the URL after the click; ten seconds are enough for all of them.
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Returns a random id, by which the server can drop an older request of the same visitor. */
export function makeVisitorId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-");
}
