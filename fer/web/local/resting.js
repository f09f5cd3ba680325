/* A person's resting face: fer/resting.py. A baseline is the JSON of `Baseline.to_json`. */

import { LocalError } from "./errors.js";

const f = Math.fround;

const STRENGTH = 0.75;
const LEAST = 1e-4;
const LEAST_CORRECTED = 1e-12;
const MAX_SUM_ERROR = 0.02;

const logOf = (p, least) => Math.log(Math.max(p, least));

function softmax(logits) {
  const rounded = logits.map(f);
  const largest = Math.max(...rounded);
  const exp = rounded.map((value) => Math.exp(value - largest));
  const total = exp.reduce((sum, value) => sum + value, 0);
  return exp.map((value) => f(value / total));
}

/** Returns what is taken from a person's calibrated logits. */
function findShift(probs, neutral) {
  const isSound =
    Array.isArray(probs) &&
    probs.every((p) => Number.isFinite(p) && p >= 0 && p <= 1) &&
    Math.abs(probs.reduce((sum, p) => sum + p, 0) - 1) <= MAX_SUM_ERROR;
  if (!neutral || !isSound || probs.length !== neutral.length) {
    throw new LocalError("bad_state", "a baseline must have a probability for each class");
  }
  return probs.map((p, k) => STRENGTH * (logOf(p, LEAST) - logOf(neutral[k], LEAST)));
}

/**
 * Compares the face of one track with its resting face; others stay as they are.
 *
 * @param {Object[]} faces each with `track_id` and `probs`
 * @param {?{track_id: number, probs: number[]}} baseline null leaves all as they are
 * @param {?number[]} neutral the average neutral face's probabilities; null where the model does
 *   not say
 * @returns {Object[]} the faces with `raw`, the probabilities before
 */
export function compare(faces, baseline, neutral) {
  if (baseline === null) return faces;
  const shift = findShift(baseline.probs, neutral);
  return faces.map((face) => ({
    ...face,
    raw: face.probs,
    probs:
      face.track_id === baseline.track_id
        ? softmax(face.probs.map((p, k) => logOf(p, LEAST_CORRECTED) - shift[k]))
        : face.probs,
  }));
}
