/* The faces of a picture as they are shown: in which order, how many of which kind, under which name. */

import { percent } from "../common/classes.js";

export const probOf = (face) => face.probs[face.label];

/** Returns a face's label with its doubt and probability: "happy? 43 %". */
export const shortTitle = (face) =>
  `${face.label}${face.uncertain ? "?" : ""} ${percent(probOf(face))}`;

/** Returns what a control of face `number` is called; 0 where the picture has one face. */
export const spokenName = (face, number) =>
  `Face ${number ? `${number} ` : ""}${shortTitle(face)}${face.uncertain ? ", unsure" : ""}`;

/** Says how many faces there are, and of a single one what it looks like. */
export function describeCount(faces) {
  if (faces.length > 1) return `${faces.length} faces`;
  return `1 face: ${faces[0].uncertain ? "unsure, maybe " : ""}${faces[0].label}`;
}

/**
 * Returns in which order faces are shown: by rows, each from left to right. The face shown as
 * number n is `faces[readingOrder(faces)[n - 1]]`; in JSON and CSV the order of `faces` stays.
 *
 * A row has the highest face that is left, and all whose middle is not below it.
 */
export function readingOrder(faces) {
  const middle = (i) => (faces[i].box_xyxy[1] + faces[i].box_xyxy[3]) / 2;
  const rest = faces.map((_, i) => i).sort((a, b) => middle(a) - middle(b));
  const order = [];
  while (rest.length) {
    const bottom = faces[rest[0]].box_xyxy[3];
    const next = rest.findIndex((i, at) => at > 0 && middle(i) > bottom);
    const row = rest.splice(0, next < 0 ? rest.length : next);
    order.push(...row.sort((a, b) => faces[a].box_xyxy[0] - faces[b].box_xyxy[0]));
  }
  return order;
}

/**
 * Lists the kinds of faces in a picture, the most frequent label first, then those that are unsure.
 *
 * @returns {{label: string, text: string, matches: (face: Object) => boolean}[]} `label` "" for
 *   those that are unsure, which count with their label, too
 */
export function listKinds(faces) {
  const labels = [...new Set(faces.map((face) => face.label))];
  const kinds = labels.map((label) => ({ label, matches: (face) => face.label === label }));
  const count = ({ matches }) => faces.filter(matches).length;
  kinds.sort((a, b) => count(b) - count(a));
  const unsure = { label: "", matches: (face) => face.uncertain };
  return [...kinds, ...(count(unsure) ? [unsure] : [])].map((kind) => ({
    ...kind,
    text: `${count(kind)} ${kind.label || "unsure"}`,
  }));
}
