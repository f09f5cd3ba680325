/* Pictures of the video as it is shown: the last frame, a snapshot, what the visitor saves. */

import { drawGuess } from "../common/guess.js";

const MAX_SCALE = 3;

/** Returns the scale at which a video fills `shownWidth` pixels of the screen, at least 1. */
const scaleFor = (video, shownWidth) =>
  Math.min(MAX_SCALE, Math.max(1, shownWidth / video.videoWidth));

/**
 * Returns the video's frame on a canvas, mirrored where it is shown so.
 *
 * @param {HTMLVideoElement} video
 * @param {boolean} isMirrored
 * @param {number} [shownWidth] so many pixels at least, for what is painted on it
 */
export function copyFrame(video, isMirrored, shownWidth = 0) {
  const scale = scaleFor(video, shownWidth);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(scale * video.videoWidth);
  canvas.height = Math.round(scale * video.videoHeight);
  const context = canvas.getContext("2d");
  if (isMirrored) {
    context.translate(canvas.width, 0);
    context.scale(-1, 1);
  }
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  context.setTransform(1, 0, 0, 1, 0, 0);
  return canvas;
}

/**
 * Returns the frame with its faces, as it is on the screen.
 *
 * @param {HTMLVideoElement} video
 * @param {boolean} isMirrored
 * @param {{paint: Function}} overlay whose faces are painted
 * @param {number} width of the video on the screen, in CSS pixels
 */
export function copyShown(video, isMirrored, overlay, width) {
  const dpr = window.devicePixelRatio || 1;
  const canvas = copyFrame(video, isMirrored, dpr * width);
  const context = canvas.getContext("2d");
  const scale = canvas.width / width;
  context.scale(scale, scale);
  overlay.paint(context, width, canvas.height / scale);
  context.setTransform(1, 0, 0, 1, 0, 0);
  return canvas;
}

/** Returns a copy of a picture that says of itself that it is a guess. */
export function withGuess(picture) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  drawGuess(context);
  return canvas;
}

/** Returns a canvas as a Blob. */
export const toBlob = (canvas, type = "image/png", quality = undefined) =>
  new Promise((resolve) => canvas.toBlob(resolve, type, quality));
