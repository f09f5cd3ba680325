/* What tests/web/test_browser_local.py asks of the engine, in a page with a strict policy. */

import { open } from "../app/fer.js";
import { fromRgba } from "../app/image.js";
import { openLocal } from "../app/load.js";

const bytes = async (url) => new Uint8ClampedArray(await (await fetch(url)).arrayBuffer());

async function imageData({ file, width, height }) {
  const rgb = await bytes(file);
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0, j = 0; i < rgb.length; i += 3, j += 4) rgba.set(rgb.subarray(i, i + 3), j);
  return new ImageData(rgba, width, height);
}

window.fer = {
  open,
  async start(base) {
    const seen = [];
    window.recogniser = await open(base, { onProgress: (n) => seen.push(n) });
    const { class_names } = window.recogniser.config;
    return { bytes: seen.at(-1), pieces: seen.length, class_names };
  },
  async pictures(list) {
    const answers = [];
    for (const each of list) answers.push(await window.recogniser.answer(await imageData(each)));
    return answers;
  },
  async stream(list, fast) {
    const answers = [];
    let state = null;
    for (const each of list) {
      const image = await imageData(each);
      const start = performance.now();
      const answer = await window.recogniser.live_frame({
        image,
        state,
        time_s: each.time_s,
        fast,
      });
      answers.push({ ...answer, ms: performance.now() - start });
      state = answer.state;
    }
    return answers;
  },
  /** Probabilities of the faces that Python found, from an engine in the page itself. */
  async classify(base, list) {
    const engine = await openLocal(new URL(base, location.href).href);
    const rows = [];
    for (const each of list) {
      const { data } = await imageData(each);
      const { faces } = await engine.classify(fromRgba(data, each.width, each.height), each.faces);
      rows.push(...faces.map((face) => face.probs));
    }
    return rows;
  },
  async refused(base, options) {
    try {
      await open(base, options);
    } catch (error) {
      return { code: error.code, message: error.message, detail: error.detail };
    }
    return null;
  },
};
