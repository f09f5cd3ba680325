/*
 * The engine beside a page: a module worker that fer.js talks to. A message is {id, method,
 * argument}; the answer {id, result} or {id, error: {code, message}}, and {progress} while opening.
 */

import { asLocalError } from "./errors.js";
import { fromRgba } from "./image.js";
import { openLocal } from "./load.js";

let engine = null;
// One call after the other: sessions are for one picture at a time.
let turn = Promise.resolve();

/** Returns an ImageData or ImageBitmap as an RGB picture; what is transparent becomes white. */
function toPicture(source) {
  if (!(source instanceof ImageBitmap)) return fromRgba(source.data, source.width, source.height);
  const { width, height } = source;
  const context = new OffscreenCanvas(width, height).getContext("2d", {
    alpha: false,
    willReadFrequently: true,
  });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0);
  source.close();
  return fromRgba(context.getImageData(0, 0, width, height).data, width, height);
}

const METHODS = {
  async open({ base, ...options }) {
    engine = await openLocal(base, {
      ...options,
      onProgress: (progress) => postMessage({ progress }),
    });
    return engine.config;
  },
  image: (source) => engine.image(toPicture(source)),
  live_frame: ({ image, ...rest }) => engine.live_frame({ ...rest, image: toPicture(image) }),
};

self.onmessage = ({ data: { id, method, argument } }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ id, result: await METHODS[method](argument) });
    } catch (error) {
      const { code, message } = asLocalError(error, "internal", "The recogniser failed.");
      postMessage({ id, error: { code, message } });
    }
  });
};
