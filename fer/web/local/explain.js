/*
 * Where in a face the answer comes from, by occlusion, and the picture of that map: fer/explain.py.
 */

import { decide } from "./classify.js";
import { toModelInput } from "./crop.js";
import { blank, roundEven } from "./image.js";

/** Covered is a square of a quarter of the input's side, at each of so many places squared. */
export const N_PLACES = 12;
/** Rows of places for one call of `explainRows`: with the face itself 25 inputs. */
export const ROWS_AT_ONCE = 2;
const COVER = 0.25;
const FOR = [118, 42, 131];
const AGAINST = [27, 120, 55];
const OPACITY = 0.75;
// A map that nowhere reaches this is drawn fainter.
const FULL_COLOR = 0.15;
const f = Math.fround;

/** Lists [start, stop] in pixels of the squares along one side. */
function coverEdges(side) {
  const clip = (value) => Math.min(side, Math.max(0, roundEven(value)));
  return Array.from({ length: N_PLACES }, (_, i) => {
    const center = ((i + 0.5) * side) / N_PLACES;
    return [clip(center - (COVER * side) / 2), clip(center + (COVER * side) / 2)];
  });
}

/** Returns copies of an input, one for each place of the rows `from` to `to`, and itself first. */
function coverInput({ data, dims: [, side, , channels] }, from, to) {
  const edges = coverEdges(side);
  const gray = roundEven(data.reduce((sum, value) => sum + value, 0) / data.length);
  const n = 1 + (to - from) * N_PLACES;
  const covered = new Float32Array(n * data.length);
  for (let i = 0; i < n; i += 1) covered.set(data, i * data.length);
  let at = data.length;
  for (const [top, bottom] of edges.slice(from, to)) {
    for (const [left, right] of edges) {
      for (let y = top; y < bottom; y += 1) {
        const row = at + y * side * channels;
        covered.fill(gray, row + left * channels, row + right * channels);
      }
      at += data.length;
    }
  }
  return { data: covered, dims: [n, side, side, channels] };
}

/**
 * Returns by how much the probability of a class falls where a place of a crop is covered.
 *
 * @param {Object} engine of engine.js
 * @param {Object} crop picture of a face
 * @param {number} classIndex
 * @param {number} from first row of places
 * @param {number} to row after the last
 * @returns {Promise<number[]>} `N_PLACES` numbers a row
 */
export async function explainRows(engine, crop, classIndex, from = 0, to = N_PLACES) {
  const input = coverInput(toModelInput([crop], engine.config), from, to);
  const rows = await engine.inputLogits(input);
  const [whole, ...probs] = rows.map((row) => decide(row, engine.config.served)[classIndex]);
  return probs.map((prob) => f(whole - prob));
}

/** Returns for each pixel of a line its weights of linear interpolation between cells. */
function spread(n) {
  return Array.from({ length: n }, (_, i) => {
    const place = ((i + 0.5) / n) * N_PLACES - 0.5;
    const inside = Math.min(Math.max(place, 0), N_PLACES - 1);
    const left = Math.min(Math.floor(inside), N_PLACES - 2);
    return [left, inside - left];
  });
}

/** Returns the map of a picture's size from a grid of `N_PLACES` squared. */
export function spreadGrid(grid, width, height) {
  const columns = spread(width);
  const heat = new Float32Array(width * height);
  spread(height).forEach(([top, down], y) => {
    const line = Array.from({ length: N_PLACES }, (_, i) => {
      const [upper, lower] = [grid[top * N_PLACES + i], grid[(top + 1) * N_PLACES + i]];
      return upper * (1 - down) + lower * down;
    });
    columns.forEach(([left, right], x) => {
      heat[y * width + x] = line[left] * (1 - right) + line[left + 1] * right;
    });
  });
  return heat;
}

/** Draws a map on the gray crop: purple for the class, green against it. */
export function overlayHeat({ width, height, data }, heat) {
  const out = blank(width, height, 3);
  const most = heat.reduce((max, value) => Math.max(max, Math.abs(value)), FULL_COLOR);
  heat.forEach((value, i) => {
    const [r, g, b] = data.subarray(3 * i, 3 * i + 3);
    const gray = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16; // as Pillow has it
    const color = value > 0 ? FOR : AGAINST;
    const alpha = (OPACITY * Math.abs(value)) / most;
    for (let k = 0; k < 3; k += 1)
      out.data[3 * i + k] = roundEven(gray + alpha * (color[k] - gray));
  });
  return out;
}

/** Returns the answer of the server's `explain_face` for a whole grid, with `map` as a picture. */
export function drawExplanation(crop, grid) {
  const heat = spreadGrid(grid, crop.width, crop.height);
  return {
    map: overlayHeat(crop, heat),
    lowers: heat.reduce((max, value) => Math.max(max, value), 0),
    raises: heat.reduce((max, value) => Math.max(max, -value), 0),
  };
}
