/*
 * The recogniser for any web page, without a server of its own:
 *
 *   import { open } from "https://<host>/fer.js";
 *   const recogniser = await open("https://<host>/");
 *   const faces = await recogniser.image(document.querySelector("img"));
 *
 * Pictures stay on the visitor's device. `faces` are as in the answers of `/live_frame`.
 */

import { LocalError } from "./errors.js";

export { LocalError };

function startWorker() {
  const url = new URL("./worker.js", import.meta.url);
  if (url.origin === location.origin) return new Worker(url, { type: "module" });
  // A worker must be of the page's own origin; what it imports need not be.
  const text = `import ${JSON.stringify(url.href)};`;
  const blob = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  return new Worker(blob, { type: "module" });
}

async function toSource(picture) {
  if (picture instanceof ImageData) return picture;
  return createImageBitmap(picture);
}

class Recogniser {
  #calls = new Map();
  #worker = startWorker();
  #n = 0;

  constructor(onProgress) {
    this.#worker.onmessage = ({ data: { id, progress, result, error } }) => {
      if (progress !== undefined) return void (onProgress && onProgress(progress));
      const { resolve, reject } = this.#calls.get(id);
      this.#calls.delete(id);
      if (error) reject(new LocalError(error.code, error.message));
      else resolve(result);
    };
    this.#worker.onerror = (event) => {
      const error = new LocalError(
        "internal",
        `The recogniser stopped. Received: ${event.message || "no reason"}`,
      );
      for (const { reject } of this.#calls.values()) reject(error);
      this.#calls.clear();
    };
  }

  call(method, argument, transfer = []) {
    this.#n += 1;
    const id = this.#n;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, argument }, transfer);
    });
  }

  /** Returns the faces of an image element, canvas, Blob, ImageBitmap or ImageData. */
  async image(picture) {
    return (await this.answer(picture)).faces;
  }

  /** Returns the whole answer for such a picture: `frame`, `class_names`, `faces`, `timing_ms`. */
  async answer(picture) {
    const source = await toSource(picture);
    return this.call("image", source, source instanceof ImageBitmap ? [source] : []);
  }

  /** Answers a frame of a stream: {image, state, time_s, fast}, see engine.js. */
  async live_frame(request) {
    const image = await toSource(request.image);
    return this.call(
      "live_frame",
      { ...request, image },
      image instanceof ImageBitmap ? [image] : [],
    );
  }

  /** Ends the worker and gives its memory back. */
  close() {
    this.#worker.terminate();
  }
}

/**
 * Opens the recogniser in a worker.
 *
 * @param {string} base URL of the folder with fer.json, model_web.onnx and YuNet's file
 * @param {Object} [options] `decision`, `yunet` and `logits` as for `openLocal`; `onProgress(bytes)`
 * @throws {LocalError} with a `code` and one sentence for the visitor
 */
export async function open(base, { onProgress, ...options } = {}) {
  const recogniser = new Recogniser(onProgress);
  try {
    const url = new URL(base, location.href).href;
    recogniser.config = await recogniser.call("open", { ...options, base: url });
    return recogniser;
  } catch (error) {
    recogniser.close();
    throw error;
  }
}
