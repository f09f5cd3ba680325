/* Faces on a picture: a box, a label and, where wanted, bars. Lengths are in the pen's pixels. */

import { faceTitle, percent } from "../common/classes.js";
import { FONT, drawIcon } from "./canvas.js";

const BARS_BESIDE = 4; // more faces than this get the small chart only
const SHORT_LABEL_PX = 64; // narrower faces of several: icon and probability, for room
const NO_BARS_PX = 36;
const RIM = "rgba(0, 0, 0, 0.5)"; // is seen on any background

/**
 * A face as it is painted: `values` are its box, in widths of the frame, and its probabilities.
 *
 * @param {Object} face of an answer
 * @param {{width: number}} frame of that answer
 * @param {Classes} classes
 */
export function makeFigure(face, frame, classes) {
  const box = face.box_xyxy.map((value) => value / frame.width);
  return { face, values: [...box, ...classes.probsOf(face)], alpha: 1 };
}

/**
 * Paints faces.
 *
 * @param {Object} pen
 * @param {CanvasRenderingContext2D} pen.context
 * @param {number} pen.width of the picture
 * @param {number} pen.height of the picture
 * @param {Classes} pen.classes
 * @param {boolean} pen.isMirrored whether the picture is
 * @param {boolean} pen.hasBars
 * @param {{face: Object, values: number[], alpha: number}[]} figures
 */
export function paintFaces(pen, figures) {
  const { context } = pen;
  for (const figure of figures) {
    context.globalAlpha = Math.max(0, figure.alpha);
    paintFace({ ...pen, nFaces: figures.length }, figure);
  }
  context.globalAlpha = 1;
}

function paintFace(pen, { face, values }) {
  const { context, width, classes } = pen;
  let [x0, y0, x1, y1] = values.slice(0, 4).map((value) => value * width);
  if (pen.isMirrored) [x0, x1] = [width - x1, width - x0];
  const box = [x0, y0, x1, y1];
  const color = classes.colorOf(face.label);
  context.lineJoin = "round";
  for (const [lineWidth, style] of [
    [5, RIM],
    [3, color],
  ]) {
    context.lineWidth = lineWidth;
    context.strokeStyle = style;
    context.setLineDash(face.uncertain && lineWidth === 3 ? [10, 7] : []);
    context.beginPath();
    context.roundRect(x0, y0, x1 - x0, y1 - y0, 6);
    context.stroke();
  }
  context.setLineDash([]);
  paintLabel(pen, face, color, box);
  if (pen.hasBars) paintBars(pen, values.slice(4), box);
}

function paintLabel(pen, face, color, [x0, y0, x1, y1]) {
  const { context, width, height, classes } = pen;
  const short = pen.nFaces > 2 && x1 - x0 < SHORT_LABEL_PX;
  const size = short ? 12 : Math.max(13, Math.min(20, (x1 - x0) / 8));
  context.font = `600 ${size}px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const icon = classes.iconOf(face.label);
  const named = short && icon ? (face.uncertain ? "?" : "") : faceTitle(face);
  const text = `${named} ${percent(face.probs[face.label])}`.trim();
  const textWidth = context.measureText(text).width;
  context.font = `400 ${0.8 * size}px ${FONT}`;
  const id = face.track_id === null ? "" : `#${face.track_id}`;
  const idWidth = id ? context.measureText(id).width + 0.45 * size : 0;
  const iconWidth = icon ? 1.5 * size : 0;
  const boxWidth = iconWidth + textWidth + idWidth + 0.95 * size;
  const boxHeight = 1.7 * size;
  const left = Math.max(2, Math.min(width - boxWidth - 2, x0 - 1.5));
  const above = y0 - boxHeight - 3;
  const top = above >= 2 ? above : Math.max(2, Math.min(y0 + 4, height - boxHeight - 2));
  context.fillStyle = color;
  context.strokeStyle = RIM;
  context.lineWidth = 2;
  context.beginPath();
  context.roundRect(left, top, boxWidth, boxHeight, 5);
  context.stroke();
  context.fill();
  const ink = classes.inkOf(face.label);
  const middle = top + boxHeight / 2;
  let x = left + 0.45 * size;
  if (icon) {
    drawIcon(context, icon, x, middle - 0.65 * size, 1.3 * size, ink);
    x += iconWidth;
  }
  context.fillStyle = ink;
  context.font = `600 ${size}px ${FONT}`;
  context.fillText(text, x, middle + 0.04 * size);
  context.font = `400 ${0.8 * size}px ${FONT}`;
  context.fillText(id, x + textWidth + 0.45 * size, middle + 0.04 * size);
}

// Named bars beside the face where there is room, bare ones under it otherwise.
function paintBars(pen, probs, [x0, y0, x1, y1]) {
  const { context, width, height, classes } = pen;
  const row = Math.max(13, Math.min(20, width / 55));
  const panel = { width: 9.4 * row, height: row * probs.length + 8 };
  const left = x1 + 8 + panel.width <= width ? x1 + 8 : x0 - 8 - panel.width;
  const room = left >= 2 && panel.height <= height - 4 && pen.nFaces <= BARS_BESIDE;
  if (room && x1 - x0 >= 60) {
    const top = Math.max(2, Math.min(y0, height - panel.height - 2));
    paintPanel(context, left, top, panel.width, panel.height);
    context.font = `${0.8 * row}px ${FONT}`;
    context.textBaseline = "middle";
    probs.forEach((p, i) => {
      const y = top + 4 + row * i;
      context.fillStyle = "#ffffff";
      context.fillText(classes.names[i], left + 6, y + 0.5 * row, 4 * row);
      paintBar(pen, i, left + 4.6 * row, y + 0.22 * row, 4.4 * row, 0.56 * row, p, true);
    });
    return;
  }
  if (x1 - x0 < NO_BARS_PX) return;
  const bar = 7;
  const small = { width: bar * probs.length + 6, height: 30 };
  const x = Math.max(2, Math.min(width - small.width - 2, x0));
  const y = Math.max(2, Math.min(height - small.height - 2, y1 + 4));
  paintPanel(context, x, y, small.width, small.height);
  probs.forEach((p, i) => paintBar(pen, i, x + 3 + bar * i + 1, y + 3, bar - 2, 24, p, false));
}

function paintPanel(context, x, y, width, height) {
  context.fillStyle = "rgba(12, 16, 20, 0.72)";
  context.beginPath();
  context.roundRect(x, y, width, height, 5);
  context.fill();
}

function paintBar({ context, classes }, i, x, y, width, height, p, lying) {
  context.fillStyle = "rgba(255, 255, 255, 0.12)";
  context.fillRect(x, y, width, height);
  context.fillStyle = classes.colorOf(classes.names[i]);
  if (lying) context.fillRect(x, y, width * p, height);
  else context.fillRect(x, y + height * (1 - p), width, height * p);
}
