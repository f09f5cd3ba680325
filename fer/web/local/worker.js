/*
 * The engine beside a page: a module worker that fer.js talks to. A message is {id, method,
 * argument}; the answer {id, result} or {id, error: {code, message, detail}}, and {progress} while
 * opening. {cancel: id} ends the work for a picture.
 */

import { asLocalError } from "./errors.js";
import { fromRgba, joinRows } from "./image.js";
import { openLocal } from "./load.js";

let engine = null;
// One call after the other: sessions are for one picture at a time.
let turn = Promise.resolve();
// Of the calls that wait or are at work, by their id.
const controls = new Map();

// Frames of a stream have one size, so their canvas is kept; that of a large photo is not.
const MAX_KEPT_PIXELS = 2_100_000;
let kept = null;
// Pixels that are read from a canvas at once: phones refuse a canvas of a whole photograph.
const STRIP_PIXELS = 4_000_000;

function contextOf(width, height) {
  if (kept && kept.canvas.width === width && kept.canvas.height === height) return kept;
  const options = { alpha: false, willReadFrequently: true };
  const context = new OffscreenCanvas(width, height).getContext("2d", options);
  if (width * height <= MAX_KEPT_PIXELS) kept = context;
  return context;
}

/** Returns an ImageData, ImageBitmap or VideoFrame in RGB; what is transparent becomes white. */
function toPicture(source) {
  if (source instanceof ImageData) return fromRgba(source.data, source.width, source.height);
  const width = source.displayWidth || source.width;
  const height = source.displayHeight || source.height;
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const context = contextOf(width, rows);
  const strips = [];
  for (let top = 0; top < height; top += rows) {
    const n = Math.min(rows, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, n);
    context.drawImage(source, 0, -top);
    strips.push(fromRgba(context.getImageData(0, 0, width, n).data, width, n));
  }
  source.close();
  return joinRows(strips);
}

const METHODS = {
  async open({ base, ...options }) {
    engine = await openLocal(base, {
      ...options,
      onProgress: (progress) => postMessage({ progress }),
    });
    return engine.config;
  },
  picture(source, signal) {
    if (!signal.aborted) return engine.picture(toPicture(source), signal);
    return source.close();
  },
  explain: (request) => engine.explain(request),
  image: (source) => engine.image(toPicture(source)),
  live_frame: ({ image, ...rest }) => engine.live_frame({ ...rest, image: toPicture(image) }),
};

self.onmessage = ({ data: { id, method, argument, cancel } }) => {
  if (cancel !== undefined) {
    const control = controls.get(cancel);
    if (control) control.abort();
    return;
  }
  const control = new AbortController();
  controls.set(id, control);
  turn = turn.then(async () => {
    try {
      postMessage({ id, result: await METHODS[method](argument, control.signal) });
    } catch (error) {
      const { code, message, detail } = asLocalError(error, "internal", "The recogniser failed.");
      postMessage({ id, error: { code, message, detail } });
    } finally {
      controls.delete(id);
    }
  });
};
