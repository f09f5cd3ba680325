/* What a file is by its first bytes, as far as that helps to say why it cannot be opened. */

import { LocalError } from "../local/errors.js";

const HEAD_BYTES = 1024;
// Tab, line feed, form feed, carriage return and escape.
const TEXT_CONTROLS = [9, 10, 12, 13, 27];
const OPENED = "JPEG, PNG, WebP, GIF, BMP or AVIF";

// Each kind with what its files hold at a place; of those that browsers open, and others.
const KINDS = [
  ["JPEG", 0, "\xff\xd8\xff", true],
  ["PNG", 0, "\x89PNG", true],
  ["GIF", 0, "GIF8", true],
  ["WebP", 8, "WEBP", true],
  ["BMP", 0, "BM", true],
  ["AVIF", 8, "avi", true],
  ["TIFF", 0, "II*\0", false],
  ["TIFF", 0, "MM\0*", false],
  ["HEIC", 4, "ftyp", false],
  ["JPEG 2000", 0, "\xff\x4f\xff\x51", false],
  ["JPEG 2000", 4, "jP  ", false],
];

/** Says that a file is no picture. */
export const describeUnopened = (name) =>
  `${name} isn't a picture we can open. Try JPEG, PNG or WebP.`;

const describeDamaged = (name) => `${name} is damaged or cut off. Try another picture.`;

// What fer/image.py says to programs as well, by how it goes on after the name of the file.
const SAID = [
  [/^(.+) must be a (?:whole picture|picture that can be decoded)\b/s, describeDamaged],
  [/^(.+) must be a picture\b/s, describeUnopened],
];

/** Returns a message of the server as a visitor reads it. */
export function describeProblem(message) {
  for (const [pattern, describe] of SAID) {
    const [, name] = pattern.exec(message) || [];
    if (name) return describe(name);
  }
  return message;
}

/** Whether a file begins as text does: with no other control characters. */
export function isText(head) {
  const isUtf16 = (head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff);
  return isUtf16 || head.every((byte) => byte >= 32 || TEXT_CONTROLS.includes(byte));
}

/** Says why a browser does not open a file with this beginning, as the end of a sentence. */
export function explainUnopened(head) {
  const text = String.fromCharCode(...head.subarray(0, 16));
  const [kind, , , isOpened] = KINDS.find(([, at, mark]) => text.startsWith(mark, at)) || [];
  if (!kind) return `it is no ${OPENED}`;
  return isOpened ? "it is cut off or damaged" : `it is of the kind ${kind}, not ${OPENED}`;
}

/** Returns the first bytes of a file. */
export const readHead = async (blob) =>
  new Uint8Array(await blob.slice(0, HEAD_BYTES).arrayBuffer());

/** Throws "no_picture" for a file that is empty or holds text, as an SVG does. */
export async function refuseText(blob, name) {
  const head = await readHead(blob);
  if (head.length && !isText(head)) return;
  throw new LocalError("no_picture", describeUnopened(name));
}
