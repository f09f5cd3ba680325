/*
 * The recogniser for any web page, without a server of its own:
 *
 *   import { open } from "https://<host>/fer.js";
 *   const recogniser = await open();
 *   const faces = await recogniser.image(document.querySelector("img"));
 *
 * Pictures stay on the visitor's device. `faces` are as in the answers of `/live_frame`.
 */

import { LocalError, asLocalError } from "./errors.js";
import { N_PLACES, ROWS_AT_ONCE, drawExplanation } from "./explain.js";

export { LocalError };

function startWorker() {
  const url = new URL("./worker.js", import.meta.url);
  if (url.origin === location.origin) return new Worker(url, { type: "module" });
  // A worker must be of the page's own origin; what it imports need not be.
  const text = `import ${JSON.stringify(url.href)};`;
  const blob = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  return new Worker(blob, { type: "module" });
}

const NO_PICTURE = "`image` must be a picture that is loaded, and that this browser can open.";
const NOT_GIVEN = "The recogniser must not read this picture: it is of another site, or in use.";

/** Returns what the worker can read; all but ImageData are given to it, and closed by it. */
async function toSource(picture) {
  if (picture instanceof ImageData) return picture;
  try {
    return takeFrame(picture) || (await createImageBitmap(picture));
  } catch (error) {
    throw asLocalError(error, "bad_frame", NO_PICTURE);
  }
}

/** Returns a video's frame sooner than an ImageBitmap; null where it may have to be turned. */
function takeFrame(video) {
  if (!globalThis.VideoFrame || !(video instanceof HTMLVideoElement)) return null;
  const frame = new VideoFrame(video);
  const { displayWidth, displayHeight, rotation } = frame;
  const isUpright = displayWidth === video.videoWidth && displayHeight === video.videoHeight;
  if (isUpright && !rotation) return frame;
  frame.close();
  return null;
}

const given = (source) => (source instanceof ImageData ? [] : [source]);

const cancelledError = () => new LocalError("cancelled", "This picture was cancelled.");

const closedError = () => new LocalError("closed", "The recogniser was closed.");

class Recogniser {
  #calls = new Map();
  #worker = startWorker();
  #n = 0;
  #ended = null; // why it answers no more

  constructor(onProgress) {
    this.#worker.onmessage = ({ data: { id, progress, result, error } }) => {
      if (progress !== undefined) return void (onProgress && onProgress(progress));
      const { resolve, reject } = this.#calls.get(id) || {};
      if (!resolve) return;
      this.#calls.delete(id);
      if (error) reject(new LocalError(error.code, error.message, error.detail));
      else resolve(result);
    };
    this.#worker.onerror = (event) => {
      const error = new LocalError(
        "internal",
        `The recogniser stopped. Received: ${event.message || "no reason"}`,
      );
      this.#worker.terminate();
      this.#end(error);
    };
  }

  call(method, argument, transfer = [], signal = null) {
    if (this.#ended) return Promise.reject(this.#ended);
    this.#n += 1;
    const id = this.#n;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      try {
        this.#worker.postMessage({ id, method, argument }, transfer);
      } catch (error) {
        this.#calls.delete(id);
        reject(asLocalError(error, "bad_frame", NOT_GIVEN));
      }
      if (signal) signal.addEventListener("abort", () => this.#cancel(id), { once: true });
    });
  }

  /** Ends the work for a call, which is rejected at once. */
  #cancel(id) {
    const { reject } = this.#calls.get(id) || {};
    if (!reject) return;
    this.#calls.delete(id);
    this.#worker.postMessage({ cancel: id });
    reject(cancelledError());
  }

  /** Returns the faces of an image or video element, canvas, Blob, ImageBitmap or ImageData. */
  async image(picture) {
    return (await this.answer(picture)).faces;
  }

  /** Returns the whole answer for such a picture: `frame`, `class_names`, `faces`, `timing_ms`. */
  async answer(picture) {
    const source = await toSource(picture);
    return this.call("image", source, given(source));
  }

  /** Answers a frame of a stream: {image, state, time_s, baseline, fast}, see engine.js. */
  async live_frame(request) {
    const image = await toSource(request && request.image);
    return this.call("live_frame", { ...request, image }, given(image));
  }

  /**
   * Analyses a picture for a page that shows it.
   *
   * @param {ImageBitmap} bitmap which is taken over
   * @param {AbortSignal} [signal] ends the work, as nobody waits any more
   * @returns {Promise<{data: Object, crops: Object[]}>} `answer`'s, and each face's crop, a picture
   *   {width, height, channels: 3, data} of at most 192 pixels
   */
  async picture(bitmap, signal) {
    if (signal && signal.aborted) {
      bitmap.close();
      throw cancelledError();
    }
    return this.call("picture", bitmap, [bitmap], signal);
  }

  /**
   * Says which regions of a crop of `picture` raise or lower the probability of a class.
   *
   * @param {AbortSignal} [signal] stops it, as nobody waits any more
   * @returns {Promise<Object>} `map`, the crop with the regions in colour, and how much covering
   *   one `lowers` and `raises` the probability at most
   */
  async explain(crop, class_index, signal) {
    const grid = [];
    // In parts, so that it can be stopped, and other calls come between.
    for (let from = 0; from < N_PLACES; from += ROWS_AT_ONCE) {
      if (signal) signal.throwIfAborted();
      grid.push(
        ...(await this.call("explain", { crop, class_index, from, to: from + ROWS_AT_ONCE })),
      );
    }
    return drawExplanation(crop, grid);
  }

  /** Whether it answers no more: it was closed, or its worker stopped. */
  get isClosed() {
    return Boolean(this.#ended);
  }

  #end(error) {
    this.#ended ||= error;
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }

  /** Ends the worker and gives its memory back. */
  close() {
    this.#worker.terminate();
    this.#end(closedError());
  }
}

// Where a page keeps the model beside this module.
const MODEL = new URL("../model/", import.meta.url).href;

/**
 * Opens the recogniser in a worker.
 *
 * @param {string} [base] URL of the folder with fer.json, model_web.onnx and YuNet's file
 * @param {Object} [options] `decision`, `yunet` and `logits` as for `openLocal`; `onProgress(bytes)`
 * @throws {LocalError} with a `code` and one sentence for the visitor
 */
export async function open(base = MODEL, { onProgress, ...options } = {}) {
  let recogniser = null;
  try {
    recogniser = new Recogniser(onProgress);
    const url = new URL(base, location.href).href;
    recogniser.config = await recogniser.call("open", { ...options, base: url });
    return recogniser;
  } catch (error) {
    if (recogniser) recogniser.close();
    throw asLocalError(error, "internal", "The recogniser cannot be started here.");
  }
}
