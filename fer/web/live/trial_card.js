/* The card of "Try all seven", a picture to keep: what was recognised, and what was not. */

import { percent } from "../common/classes.js";
import { drawGuess } from "../common/guess.js";
import { FONT, drawIcon } from "./canvas.js";

const TILE = { width: 250, height: 300, face: 190, gap: 20 };
const HEAD = 130;
const FOOT = 60;
const PAD = 40;
const INK = "#111827";
const PALE = "#4b5563";

/** Returns what the card says of a class. */
export function describeTry({ best, wasSure, done }) {
  if (done !== null) return `recognised, ${percent(done)}`;
  if (wasSure) return `not held (at best ${percent(best)})`;
  return best > 0 ? `not recognised (at best ${percent(best)})` : "not tried";
}

/** Returns how many columns make the most even rows of at most four tiles. */
export const countColumns = (n) => Math.ceil(n / Math.ceil(n / 4));

/** Cuts the square around a face out of a picture that is as mirrored as its box is not. */
export function cutFace(frame, face, frameWidth, isMirrored, side = TILE.face) {
  const scale = frame.width / frameWidth;
  let [x0, y0, x1, y1] = face.box_xyxy.map((value) => value * scale);
  if (isMirrored) [x0, x1] = [frame.width - x1, frame.width - x0];
  const size = 1.4 * Math.max(x1 - x0, y1 - y0);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * side;
  const context = canvas.getContext("2d");
  const [left, top] = [(x0 + x1 - size) / 2, (y0 + y1 - size) / 2];
  context.drawImage(frame, left, top, size, size, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/**
 * Draws the card.
 *
 * @param {Object} trial a `Trial`
 * @param {Map<string, HTMLCanvasElement>} faces by the class that each was recognised as
 * @param {Classes} classes
 * @param {Date} date
 */
export function drawCard(trial, faces, classes, date) {
  const n = trial.names.length;
  const columns = countColumns(n);
  const rows = Math.ceil(n / columns);
  const width = 2 * PAD + columns * (TILE.width + TILE.gap) - TILE.gap;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(width, 600);
  canvas.height = HEAD + rows * (TILE.height + TILE.gap) + FOOT;
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = INK;
  context.font = `700 40px ${FONT}`;
  context.fillText(`${trial.nDone} of ${n} expressions recognised`, PAD, 66);
  context.fillStyle = PALE;
  context.font = `22px ${FONT}`;
  const day = date.toLocaleDateString(undefined, { dateStyle: "long" });
  context.fillText(`An expression counts when it is held for a second. ${day}`, PAD, 102);
  trial.names.forEach((name, i) => {
    const x = PAD + (i % columns) * (TILE.width + TILE.gap);
    const y = HEAD + Math.floor(i / columns) * (TILE.height + TILE.gap);
    drawTile(context, x, y, { name, tried: trial.of(name), face: faces.get(name), classes });
  });
  drawGuess(context);
  return canvas;
}

function drawTile(context, x, y, { name, tried, face, classes }) {
  const color = classes.colorOf(name);
  const left = x + (TILE.width - TILE.face) / 2;
  const isDone = tried.done !== null;
  context.fillStyle = "#f3f4f6";
  context.beginPath();
  context.roundRect(x, y, TILE.width, TILE.height, 16);
  context.fill();
  if (isDone && face) {
    context.save();
    context.beginPath();
    context.roundRect(left, y + 18, TILE.face, TILE.face, 12);
    context.clip();
    context.drawImage(face, left, y + 18, TILE.face, TILE.face);
    context.restore();
  } else {
    drawIcon(context, classes.iconOf(name), x + (TILE.width - 110) / 2, y + 50, 110, "#9ca3af");
  }
  context.lineWidth = isDone ? 6 : 2;
  context.strokeStyle = isDone ? color : "#9ca3af";
  context.setLineDash(isDone ? [] : [8, 6]);
  context.beginPath();
  context.roundRect(left, y + 18, TILE.face, TILE.face, 12);
  context.stroke();
  context.setLineDash([]);
  context.textAlign = "center";
  context.fillStyle = INK;
  context.font = `600 24px ${FONT}`;
  context.fillText(name, x + TILE.width / 2, y + 246, TILE.width - 16);
  context.fillStyle = PALE;
  context.font = `18px ${FONT}`;
  context.fillText(describeTry(tried), x + TILE.width / 2, y + 276, TILE.width - 16);
  context.textAlign = "left";
}
