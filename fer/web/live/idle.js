/* The stage before the start: a frame of the sample clip as the page would show it. */

import { makeFigure, paintFaces } from "./paint.js";

// The still is painted so much larger than it is, that its text is crisp.
const SCALE = 2;

/**
 * Paints a picture and its faces on a canvas; where it cannot be loaded the canvas stays empty.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} url of the picture
 * @param {Object} answer with the faces of it
 * @param {Classes} classes
 */
export async function paintStill(canvas, url, answer, classes) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch (error) {
    console.warn(error);
    return;
  }
  const { width, height } = answer.frame;
  [canvas.width, canvas.height] = [SCALE * width, SCALE * height];
  const context = canvas.getContext("2d");
  context.scale(SCALE, SCALE);
  context.drawImage(image, 0, 0, width, height);
  const figures = answer.faces.map((face) => makeFigure(face, answer.frame, classes));
  const pen = { context, width, height, classes, isMirrored: false, hasBars: true };
  paintFaces(pen, figures);
}
