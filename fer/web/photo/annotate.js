/* A picture with the boxes of its faces, as fer/annotate.py draws it. */

import { percent } from "../common/classes.js";

const FONT = "system-ui, sans-serif";
// Height of letters with their tails, in sizes of the font.
const LETTERS = 1.15;

/** Returns line and letters of a box in pixels: they grow with the face. */
function sizesOf(boxWidth, width) {
  const line = Math.min(12, Math.max(2, Math.round(boxWidth / 60)));
  const font = Math.min(0.06 * Math.max(width, 200), Math.max(11, boxWidth / 7));
  return { line, font: Math.round(font) };
}

function drawPlate(context, text, { line, font }, [x0, y0], [color, ink], width) {
  context.font = `${font}px ${FONT}`;
  context.textBaseline = "middle";
  const plateWidth = Math.ceil(context.measureText(text).width) + 2 * line + 1;
  const plateHeight = Math.round(LETTERS * font) + 2 * line + 1;
  const left = Math.max(0, Math.min(x0, width - plateWidth));
  const top = y0 < plateHeight ? y0 : y0 - plateHeight;
  context.fillStyle = color;
  context.fillRect(left, top, plateWidth, plateHeight);
  context.fillStyle = ink;
  context.fillText(text, left + line, top + plateHeight / 2);
}

/**
 * Draws boxes and labels into a canvas that holds the picture.
 *
 * @param {CanvasRenderingContext2D} context in pixels of the picture
 * @param {Object} data the answer: `frame`, `faces`
 * @param {import("../common/classes.js").Classes} classes
 */
export function drawFaces(context, { frame: { width, height }, faces }, classes) {
  for (const face of faces) {
    const [x0, y0, x1, y1] = face.box_xyxy.map((value, axis) =>
      Math.round(Math.min(axis % 2 ? height : width, Math.max(0, value))),
    );
    if (x1 - x0 < 1 || y1 - y0 < 1) continue;
    const sizes = sizesOf(x1 - x0, width);
    const colors = [classes.colorOf(face.label), classes.inkOf(face.label)];
    const across = Math.min(sizes.line, x1 - x0);
    const down = Math.min(sizes.line, y1 - y0);
    [context.fillStyle] = colors;
    context.fillRect(x0, y0, x1 - x0, down);
    context.fillRect(x0, y1 - down, x1 - x0, down);
    context.fillRect(x0, y0, across, y1 - y0);
    context.fillRect(x1 - across, y0, across, y1 - y0);
    const text = `${face.label}${face.uncertain ? "?" : ""} ${percent(face.probs[face.label])}`;
    drawPlate(context, text, sizes, [x0, y0], colors, width);
  }
}
