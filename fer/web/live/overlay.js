/*
 * What moves over the video: the faces of the last answer. Boxes and bars glide towards it; nothing
 * is extrapolated.
 */

import { makeFigure, paintFaces } from "./paint.js";

const GLIDE_MS = 60; // time constant
const FADE_MS = 120; // a face comes and goes
const STALE_MS = 1500; // without an answer, boxes would lie

/**
 * Makes the overlay of a video.
 *
 * @param {HTMLCanvasElement} canvas over the video, of its size
 * @param {Classes} classes
 * @param {() => {isMirrored: boolean, hasBars: boolean}} readStyle of `paintFaces`
 * @returns {{show: Function, clear: Function, draw: Function, paint: Function}} `show(answer)` sets
 *   the aim, `draw(time)` draws one step towards it, `clear()` forgets all, and
 *   `paint(context, width, height)` paints the faces as they are now on another picture
 */
export function makeOverlay(canvas, classes, readStyle) {
  const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");
  const context = canvas.getContext("2d");
  let figures = new Map(); // track_id -> what is drawn of it, and its `target`
  let last = 0;
  let shownAt = 0;

  function show(answer) {
    shownAt = performance.now();
    for (const figure of figures.values()) figure.leaving = true;
    for (const face of answer.faces) {
      const old = figures.get(face.track_id);
      const aim = makeFigure(face, answer.frame, classes);
      figures.set(face.track_id, {
        face,
        target: aim.values,
        values: old ? old.values : aim.values,
        alpha: old ? old.alpha : 0,
        leaving: false,
      });
    }
  }

  function clear() {
    figures = new Map();
    context.clearRect(0, 0, canvas.width, canvas.height);
  }

  /** Moves every figure a step towards its aim; those that have faded are gone. */
  function move(time) {
    const passed = Math.min(1000, time - last);
    last = time;
    const still = reducedMotion.matches;
    const nearer = still ? 1 : 1 - Math.exp(-passed / GLIDE_MS);
    const fade = still ? 1 : passed / FADE_MS;
    for (const [id, figure] of figures) {
      if (time - shownAt > STALE_MS) figure.leaving = true;
      figure.alpha += figure.leaving ? -fade : Math.min(fade, 1 - figure.alpha);
      figure.values = figure.values.map((value, i) => value + (figure.target[i] - value) * nearer);
      if (figure.alpha <= 0 && figure.leaving) figures.delete(id);
    }
  }

  function draw(time) {
    const dpr = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dpr);
    const height = Math.round(canvas.clientHeight * dpr);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    move(time);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(dpr, 0, 0, dpr, 0, 0); // from here in CSS pixels, crisp on any screen
    const pen = { context, width: width / dpr, height: height / dpr, classes, ...readStyle() };
    paintFaces(pen, [...figures.values()]);
  }

  function paint(other, width, height) {
    const there = [...figures.values()].filter((figure) => !figure.leaving);
    const pen = { context: other, width, height, classes, ...readStyle() };
    paintFaces(
      pen,
      there.map((figure) => ({ ...figure, alpha: 1 })),
    );
  }

  return { show, clear, draw, paint };
}
