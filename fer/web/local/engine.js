/*
 * The recogniser: frames in, the answers of the server's `/live_frame` out. It knows no browser;
 * `load.js` opens its files, `worker.js` runs it beside a page, and node can run it as well.
 */

import { toAnswer } from "./answer.js";
import { decide } from "./classify.js";
import { cropFace, toModelInput } from "./crop.js";
import { detect } from "./detect.js";
import { LocalError, asLocalError } from "./errors.js";
import { checkLogits, drawTest } from "./self_test.js";
import { MAX_TRACKS, readState, step, writeState } from "./track.js";
import { decode, freeSizes, toPlanes } from "./yunet.js";

// Every tenth frame of a stream without a face is searched in full.
const N_GLANCES = 10;
const MAX_BATCH = 32;

function checkFrame(frame) {
  const { width, height, channels, data } = frame || {};
  if (width >= 1 && height >= 1 && channels === 3 && data && data.length === width * height * 3)
    return;
  throw new LocalError(
    "bad_frame",
    "`image` must be a picture {width, height, channels: 3, data}.",
  );
}

async function openSession(runtime, bytes, what) {
  try {
    return await runtime.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  } catch (error) {
    throw asLocalError(error, "model", `${what} cannot be opened.`);
  }
}

/** Answers frames; `openEngine` makes one. Calls must not overlap: await each. */
class Engine {
  constructor(runtime, detector, classifier, config) {
    Object.assign(this, { runtime, detector, classifier, config });
    this.find = (image) => this.#find(image);
  }

  async #run(session, name, { data, dims }) {
    const input = new this.runtime.Tensor("float32", data, dims);
    try {
      return await session.run({ [name]: input });
    } catch (error) {
      throw asLocalError(error, "model", "The recogniser failed on a picture.");
    }
  }

  async #find(image) {
    const input = toPlanes(image);
    const outputs = await this.#run(this.detector, "input", input);
    const values = Object.fromEntries(
      Object.entries(outputs).map(([key, each]) => [key, each.data]),
    );
    return decode(values, input.dims[2], input.dims[3]);
  }

  /** Returns the labels' logits of each crop, as the network gives them. */
  async logits(crops) {
    const [source] = this.classifier.inputNames;
    const names = this.classifier.outputNames;
    const labels = names.length > 1 ? "labels" : names[0];
    const rows = [];
    for (let start = 0; start < crops.length; start += MAX_BATCH) {
      const input = toModelInput(crops.slice(start, start + MAX_BATCH), this.config);
      const { data, dims } = (await this.#run(this.classifier, source, input))[labels];
      for (let i = 0; i < dims[0]; i += 1) rows.push(data.slice(i * dims[1], (i + 1) * dims[1]));
    }
    return rows;
  }

  /** Throws "self_test" unless the network gives these logits for the drawing of self_test.js. */
  async check(expected) {
    const [found] = await this.logits([drawTest(this.config.input_size)]);
    checkLogits(found, expected);
  }

  /** Returns `faces` with `probs`, and the milliseconds that crop and network took. */
  async classify(frame, faces) {
    const start = performance.now();
    const crops = faces.map((face) => cropFace(frame, face, this.config));
    const cropped = performance.now();
    const rows = await this.logits(crops);
    const probs = rows.map((row) => decide(row, this.config.served));
    const timing_ms = { crop: cropped - start, classify: performance.now() - cropped };
    return { faces: faces.map((face, i) => ({ ...face, probs: probs[i] })), timing_ms };
  }

  async #analyse(frame, way, max_faces) {
    checkFrame(frame);
    const start = performance.now();
    const found = (await detect(frame, this.find, way)).slice(0, max_faces);
    const spent = performance.now() - start;
    const { faces, timing_ms } = await this.classify(frame, found);
    return { faces, timing_ms: { detect: spent, ...timing_ms } };
  }

  /** Returns the answer for a single picture, without `state`; every `track_id` is null. */
  async image(frame) {
    const { faces, timing_ms } = await this.#analyse(frame, "full");
    return { ...toAnswer(frame, faces, this.config), timing_ms };
  }

  /**
   * Answers one frame of a stream as the server's `/live_frame` does. It never throws.
   *
   * @param {Object} request
   * @param {Object} request.image a picture {width, height, channels: 3, data}
   * @param {Object} [request.state] of the answer before
   * @param {number} [request.time_s] when it was taken, in seconds
   * @param {boolean} [request.fast] look at 320 pixels, where the server looks at 640
   * @returns the answer, or {error: {code, message}}
   */
  async live_frame({ image, state = null, time_s = Date.now() / 1000, fast = false }) {
    try {
      const before = readState(state);
      const isFull = before.n_empty % N_GLANCES === N_GLANCES - 1;
      const way = isFull ? "full" : fast ? "fast" : "glance";
      const { faces, timing_ms } = await this.#analyse(image, way, MAX_TRACKS);
      const start = performance.now();
      const after = step(before, faces, time_s, image.width);
      timing_ms.track = performance.now() - start;
      return {
        ...toAnswer(image, after.faces, this.config),
        timing_ms: { wait: 0, ...timing_ms },
        state: writeState(after.state),
      };
    } catch (error) {
      const { code, message } = asLocalError(
        error,
        "internal",
        "This frame could not be analysed.",
      );
      return { error: { code, message } };
    }
  }
}

/**
 * Returns an engine.
 *
 * @param {Object} runtime onnxruntime-web
 * @param {Object} files {config, detector, classifier}: from `readConfig`, and bytes of ONNX files
 * @throws {LocalError} "model" or "memory"
 */
export async function openEngine(runtime, { config, detector, classifier }) {
  const yunet = await openSession(runtime, freeSizes(detector), "The face detector");
  const network = await openSession(runtime, classifier, "The network");
  const engine = new Engine(runtime, yunet, network, config);
  const side = config.input_size;
  const blank = { width: side, height: side, channels: 3, data: new Uint8Array(3 * side * side) };
  const [row] = await engine.logits([blank]);
  if (row.length !== config.class_names.length) {
    const n = config.class_names.length;
    throw new LocalError(
      "config",
      `The network must give ${n} logits, one for each class. Received: ${row.length}`,
    );
  }
  await engine.find({ ...blank });
  return engine;
}
