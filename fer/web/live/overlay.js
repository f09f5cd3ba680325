/*
 * What is drawn over the video: a box, a label and small bars for each face. Boxes and bars glide
 * towards the last answer; nothing is extrapolated.
 */

import { faceTitle, percent } from "../common/classes.js";
import { FONT, drawIcon } from "./canvas.js";

const GLIDE_MS = 60; // time constant
const FADE_MS = 120; // a face comes and goes
const STALE_MS = 1500; // without an answer, boxes would lie
const BARS_BESIDE = 4; // more faces than this get the small chart only
const SHORT_LABEL_PX = 64; // narrower faces of several: icon and probability, for room
const NO_BARS_PX = 36;

/**
 * Makes the overlay of a video.
 *
 * @param {HTMLCanvasElement} canvas over the video, of its size
 * @param {Classes} classes
 * @param {() => boolean} isMirrored whether the video is shown mirrored
 * @returns {{show: Function, clear: Function, draw: Function}} `show(answer)` sets the aim,
 *   `draw(time)` draws one step towards it, `clear()` forgets all
 */
export function makeOverlay(canvas, classes, isMirrored) {
  const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");
  const context = canvas.getContext("2d");
  let figures = new Map(); // track_id -> what is drawn of it
  let last = 0;
  let shownAt = 0;

  function show(answer) {
    shownAt = performance.now();
    const scale = 1 / answer.frame.width; // the size of a frame changes with the pace
    for (const figure of figures.values()) figure.leaving = true;
    for (const face of answer.faces) {
      const box = face.box_xyxy.map((value) => value * scale);
      const probs = classes.probsOf(face);
      const old = figures.get(face.track_id);
      figures.set(face.track_id, {
        face,
        target: [...box, ...probs],
        now: old ? old.now : [...box, ...probs],
        alpha: old ? old.alpha : 0,
        leaving: false,
      });
    }
  }

  function clear() {
    figures = new Map();
    context.clearRect(0, 0, canvas.width, canvas.height);
  }

  function draw(time) {
    const dpr = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dpr);
    const height = Math.round(canvas.clientHeight * dpr);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const passed = Math.min(1000, time - last);
    last = time;
    const still = reducedMotion.matches;
    const nearer = still ? 1 : 1 - Math.exp(-passed / GLIDE_MS);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(dpr, 0, 0, dpr, 0, 0); // from here in CSS pixels, crisp on any screen
    for (const [id, figure] of figures) {
      if (time - shownAt > STALE_MS) figure.leaving = true;
      const fade = still ? 1 : passed / FADE_MS;
      figure.alpha += figure.leaving ? -fade : Math.min(fade, 1 - figure.alpha);
      if (figure.alpha <= 0 && figure.leaving) {
        figures.delete(id);
        continue;
      }
      figure.now = figure.now.map((value, i) => value + (figure.target[i] - value) * nearer);
      context.globalAlpha = Math.max(0, figure.alpha);
      drawFace(figure, width / dpr, height / dpr);
    }
    context.globalAlpha = 1;
  }

  function drawFace(figure, width, height) {
    let [x0, y0, x1, y1] = figure.now.slice(0, 4).map((value) => value * width);
    if (isMirrored()) [x0, x1] = [width - x1, width - x0];
    const color = classes.colorOf(figure.face.label);
    context.lineJoin = "round";
    for (const [lineWidth, style] of [
      [5, "rgba(0, 0, 0, 0.5)"],
      [3, color],
    ]) {
      context.lineWidth = lineWidth; // a dark rim is seen on any background
      context.strokeStyle = style;
      context.setLineDash(figure.face.uncertain && lineWidth === 3 ? [10, 7] : []);
      context.beginPath();
      context.roundRect(x0, y0, x1 - x0, y1 - y0, 6);
      context.stroke();
    }
    context.setLineDash([]);
    drawLabel(figure.face, color, [x0, y0, x1, y1], width, height);
    drawBars(figure.now.slice(4), [x0, y0, x1, y1], width, height);
  }

  function drawLabel(face, color, [x0, y0, x1, y1], width, height) {
    const short = figures.size > 2 && x1 - x0 < SHORT_LABEL_PX;
    const size = short ? 12 : Math.max(13, Math.min(20, (x1 - x0) / 8));
    context.font = "600 " + size + "px " + FONT;
    context.textBaseline = "middle";
    const icon = classes.iconOf(face.label);
    const named = short && icon ? (face.uncertain ? "?" : "") : faceTitle(face);
    const text = (named + " " + percent(face.probs[face.label])).trim();
    const textWidth = context.measureText(text).width;
    context.font = "400 " + 0.8 * size + "px " + FONT;
    const id = "#" + face.track_id;
    const idWidth = context.measureText(id).width;
    const iconWidth = icon ? 1.5 * size : 0;
    const boxWidth = iconWidth + textWidth + idWidth + 1.4 * size;
    const boxHeight = 1.7 * size;
    const left = Math.max(2, Math.min(width - boxWidth - 2, x0 - 1.5));
    const above = y0 - boxHeight - 3;
    const top = above >= 2 ? above : Math.max(2, Math.min(y0 + 4, height - boxHeight - 2));
    context.fillStyle = color;
    context.strokeStyle = "rgba(0, 0, 0, 0.5)";
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
    context.font = "600 " + size + "px " + FONT;
    context.fillText(text, x, middle + 0.04 * size);
    context.font = "400 " + 0.8 * size + "px " + FONT;
    context.fillText(id, x + textWidth + 0.45 * size, middle + 0.04 * size);
  }

  // Named bars beside the face where there is room, bare ones under it otherwise.
  function drawBars(probs, [x0, y0, x1, y1], width, height) {
    const row = Math.max(13, Math.min(20, width / 55));
    const panel = { width: 9.4 * row, height: row * probs.length + 8 };
    const left = x1 + 8 + panel.width <= width ? x1 + 8 : x0 - 8 - panel.width;
    const room = left >= 2 && panel.height <= height - 4 && figures.size <= BARS_BESIDE;
    if (room && x1 - x0 >= 60) {
      const top = Math.max(2, Math.min(y0, height - panel.height - 2));
      drawPanel(left, top, panel.width, panel.height);
      context.font = 0.8 * row + "px " + FONT;
      context.textBaseline = "middle";
      probs.forEach((p, i) => {
        const y = top + 4 + row * i;
        context.fillStyle = "#ffffff";
        context.fillText(classes.names[i], left + 6, y + 0.5 * row, 4 * row);
        drawBar(i, left + 4.6 * row, y + 0.22 * row, 4.4 * row, 0.56 * row, p, true);
      });
      return;
    }
    if (x1 - x0 < NO_BARS_PX) return;
    const bar = 7;
    const small = { width: bar * probs.length + 6, height: 30 };
    const x = Math.max(2, Math.min(width - small.width - 2, x0));
    const y = Math.max(2, Math.min(height - small.height - 2, y1 + 4));
    drawPanel(x, y, small.width, small.height);
    probs.forEach((p, i) => drawBar(i, x + 3 + bar * i + 1, y + 3, bar - 2, 24, p, false));
  }

  function drawPanel(x, y, width, height) {
    context.fillStyle = "rgba(12, 16, 20, 0.72)";
    context.beginPath();
    context.roundRect(x, y, width, height, 5);
    context.fill();
  }

  function drawBar(i, x, y, width, height, p, lying) {
    context.fillStyle = "rgba(255, 255, 255, 0.12)";
    context.fillRect(x, y, width, height);
    context.fillStyle = classes.colorOf(classes.names[i]);
    if (lying) context.fillRect(x, y, width * p, height);
    else context.fillRect(x, y + height * (1 - p), width, height * p);
  }

  return { show, clear, draw };
}
