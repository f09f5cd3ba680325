/* The plot of the last minute: a band of stacked probabilities for each face. */

import { FONT } from "./canvas.js";
import { GAP_S, SHOWN_S } from "./record.js";

const BAND_PX = 64;
const AXIS_PX = 22;
const NAME_PX = 62;
const TICK_S = 15;

/** Returns the plot's height in CSS pixels for a number of bands. */
export const plotHeight = (nBands) => Math.max(1, nBands) * BAND_PX + AXIS_PX;

/**
 * Splits rows where a face was away, and drops rows that are too close to be seen apart.
 *
 * @param {Array<{time: number}>} rows by time
 * @param {number} leastS seconds between two rows; a single row is widened to twice as much
 */
export function splitRuns(rows, leastS) {
  const runs = [];
  let run = [];
  for (const row of rows) {
    const last = run.at(-1);
    if (last && row.time - last.time < leastS) continue;
    if (!last || row.time - last.time > GAP_S) {
      run = [];
      runs.push(run);
    }
    run.push(row);
  }
  return runs.map((one) =>
    one.length > 1 ? one : [one[0], { ...one[0], time: one[0].time + 2 * leastS }],
  );
}

/**
 * Draws the plot.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Object} plot
 * @param {Array} plot.bands as of `Record.lastMinute`
 * @param {number} plot.until seconds since the start, at the right edge
 * @param {number} plot.width in CSS pixels
 * @param {string} plot.ink colour of text and lines
 * @param {string} plot.endText what is written at the right edge
 * @param {Classes} plot.classes
 */
export function drawTimeline(context, { bands, until, width, ink, endText, classes }) {
  const span = width - NAME_PX - 6;
  const xOf = (time) => NAME_PX + span * (1 - (until - time) / SHOWN_S);
  context.font = `12px ${FONT}`;
  context.textBaseline = "middle";
  bands.forEach(([id, rows], k) => {
    const top = k * BAND_PX + 4;
    const height = BAND_PX - 10;
    drawFrame(context, `face ${id}`, top, height, span, ink);
    for (const run of splitRuns(rows, SHOWN_S / span)) {
      drawStack(context, run, classes, xOf, (p) => top + height * (1 - p));
    }
  });
  drawAxis(context, xOf, {
    bottom: Math.max(1, bands.length) * BAND_PX,
    until,
    width,
    ink,
    endText,
  });
}

function drawFrame(context, name, top, height, span, ink) {
  context.fillStyle = ink;
  context.textAlign = "left";
  context.fillText(name, 2, top + height / 2, NAME_PX - 8);
  context.globalAlpha = 0.3; // an outline only: a filled band would look like gray data
  context.lineWidth = 1;
  context.strokeStyle = ink;
  context.strokeRect(NAME_PX + 0.5, top - 0.5, span - 1, height + 1);
  context.globalAlpha = 1;
}

function drawStack(context, run, classes, xOf, yOf) {
  const floor = run.map(() => 0);
  classes.names.forEach((name, i) => {
    context.fillStyle = classes.colorOf(name);
    context.beginPath();
    run.forEach((row, j) => context.lineTo(xOf(row.time), yOf(floor[j] + row.probs[i])));
    for (let j = run.length - 1; j >= 0; j -= 1) {
      context.lineTo(xOf(run[j].time), yOf(floor[j]));
      floor[j] += run[j].probs[i];
    }
    context.fill();
  });
}

function drawAxis(context, xOf, { bottom, until, width, ink, endText }) {
  const endLeft = width - 2 - context.measureText(endText).width;
  context.fillStyle = ink;
  context.textAlign = "center";
  for (let ago = 0; ago <= SHOWN_S; ago += TICK_S) {
    const x = xOf(until - ago);
    const text = `-${ago} s`;
    context.globalAlpha = 0.35;
    context.fillRect(x - 0.5, 2, 1, bottom - 4);
    context.globalAlpha = 1;
    // On a phone `endText`, a clock time, reaches to where this tick has its text.
    const fits = x + context.measureText(text).width / 2 < endLeft - 4;
    if (ago && fits) context.fillText(text, x, bottom + 8);
  }
  context.textAlign = "left";
  context.fillText(endText, endLeft, bottom + 8);
}

/** Draws the last minute of a record with a title and a legend on a canvas of its own. */
export function drawPicture(record, classes) {
  const until = record.elapsed;
  const { bands } = record.lastMinute(until);
  const [width, head] = [960, 64];
  const canvas = document.createElement("canvas");
  canvas.width = 2 * width;
  canvas.height = 2 * (head + plotHeight(bands.length));
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, canvas.height);
  const ink = "#111111";
  context.fillStyle = ink;
  context.font = `600 15px ${FONT}`;
  const when = record.end.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  context.fillText(`Apparent expression, the minute before ${when}`, 8, 22);
  context.font = `13px ${FONT}`;
  let x = 8;
  for (const name of classes.names) {
    context.fillStyle = classes.colorOf(name);
    context.fillRect(x, 36, 13, 13);
    context.fillStyle = ink;
    context.fillText(name, x + 18, 47);
    x += context.measureText(name).width + 36;
  }
  context.translate(0, head);
  const endText = record.end.toLocaleTimeString();
  drawTimeline(context, { bands, until, width, ink, endText, classes });
  return canvas;
}
