/* A drawing with known logits: a device that computes others must not answer visitors. */

import { LocalError } from "./errors.js";

// Far more than float16 weights move the logits of this drawing: tests/web/test_local.py measures that.
export const TOLERANCE = 0.25;

/** Returns the drawing as an RGB picture: slopes and squares, as fer/web/self_test.py draws it. */
export function drawTest(side) {
  const data = new Uint8Array(3 * side * side);
  for (let y = 0, i = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const square = ((x >> 4) + (y >> 4)) % 2;
      for (let channel = 0; channel < 3; channel += 1, i += 1) {
        data[i] = (x + y + 60 * square + 10 * channel) % 256;
      }
    }
  }
  return { width: side, height: side, channels: 3, data };
}

/** Throws "self_test" unless `found` are the `expected` logits. */
export function checkLogits(found, expected) {
  const gap = (value, i) => Math.abs(value - expected[i]);
  if (found.length === expected.length && found.every((value, i) => gap(value, i) <= TOLERANCE))
    return;
  throw new LocalError("self_test", "The recogniser gives wrong results on this device.");
}
