/*
 * The recogniser: frames in, the answers of the server's `/live_frame` out. It knows no browser;
 * `load.js` opens its files, `worker.js` runs it beside a page, and node can run it as well.
 */

import { roundTo, toAnswer } from "./answer.js";
import { decide } from "./classify.js";
import { WEB_NAME } from "./config.js";
import { cropFace, toModelInput } from "./crop.js";
import { detect } from "./detect.js";
import { LocalError, asLocalError, describeFile, describeOpening } from "./errors.js";
import { explainRows } from "./explain.js";
import { shrink } from "./image.js";
import { compare } from "./resting.js";
import { checkLogits, drawTest } from "./self_test.js";
import { MAX_TRACKS, readState, step, writeState } from "./track.js";
import { decode, freeSizes, toPlanes } from "./yunet.js";

// Every tenth frame of a stream without a face is searched in full.
const N_GLANCES = 10;
const MAX_BATCH = 32;
const NO_VOTES = "`votes` must be false: this model does not predict them.";
// As in fer/web/server/jobs.py.
const CROP_PX = 192;

function checkFrame(frame) {
  const { width, height, channels, data } = frame || {};
  if (width >= 1 && height >= 1 && channels === 3 && data && data.length === width * height * 3)
    return;
  throw new LocalError(
    "bad_frame",
    "`image` must be a picture {width, height, channels: 3, data}.",
  );
}

/** Lets the messages in that wait for this thread. */
const breathe = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

/**
 * Returns `work` as it goes on only until `signal` is aborted: a message that aborts it is heard
 * before each call.
 *
 * @throws {DOMException} by `signal`
 */
export function cancellable(work, signal) {
  if (!signal) return work;
  return async (...args) => {
    await breathe();
    signal.throwIfAborted();
    return work(...args);
  };
}

const roundTimes = (timing_ms) =>
  Object.fromEntries(Object.entries(timing_ms).map(([stage, ms]) => [stage, roundTo(ms, 2)]));

async function openSession(runtime, bytes, what) {
  try {
    return await runtime.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  } catch (error) {
    throw asLocalError(error, "model", describeOpening(what));
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

  /** Returns the logits of each head for each row of the network's input, as the network gives them. */
  async #headLogits(input) {
    const [source] = this.classifier.inputNames;
    const names = this.classifier.outputNames;
    const outputs = await this.#run(this.classifier, source, input);
    const rowsOf = ({ data, dims: [n, k] }) =>
      Array.from({ length: n }, (_, i) => data.slice(i * k, (i + 1) * k));
    const labels = rowsOf(outputs[names.length > 1 ? "labels" : names[0]]);
    return { labels, votes: outputs.votes ? rowsOf(outputs.votes) : [] };
  }

  /** Returns the labels' logits of each row of the network's input. */
  async inputLogits(input) {
    return (await this.#headLogits(input)).labels;
  }

  /** Returns the logits of each head for each crop: {labels, votes}; no votes without that head. */
  async cropLogits(crops, signal) {
    const rows = { labels: [], votes: [] };
    const ask = cancellable((input) => this.#headLogits(input), signal);
    for (let start = 0; start < crops.length; start += MAX_BATCH) {
      const input = toModelInput(crops.slice(start, start + MAX_BATCH), this.config);
      const { labels, votes } = await ask(input);
      rows.labels.push(...labels);
      rows.votes.push(...votes);
    }
    return rows;
  }

  /** Returns the labels' logits of each crop, as the network gives them. */
  async logits(crops) {
    return (await this.cropLogits(crops)).labels;
  }

  /** Throws "self_test" unless the network gives these logits for the drawing of self_test.js. */
  async check(expected) {
    const [found] = await this.logits([drawTest(this.config.input_size)]);
    checkLogits(found, expected);
  }

  /**
   * Returns `faces` with `probs`, and with `votes` if the model has them; their crops, and the
   * milliseconds that crop and network took.
   */
  async classify(frame, faces, signal) {
    const start = performance.now();
    const crops = faces.map((face) => cropFace(frame, face, this.config));
    const cropped = performance.now();
    const rows = await this.cropLogits(crops, signal);
    const probs = rows.labels.map((row) => decide(row, this.config.served));
    const votes = this.config.votes && rows.votes.map((row) => decide(row, this.config.votes));
    const timing_ms = { crop: cropped - start, classify: performance.now() - cropped };
    const given = (i) => ({ probs: probs[i], ...(votes && { votes: votes[i] }) });
    return { faces: faces.map((face, i) => ({ ...face, ...given(i) })), crops, timing_ms };
  }

  async #analyse(frame, way, { max_faces, signal } = {}) {
    checkFrame(frame);
    const start = performance.now();
    const find = cancellable(this.find, signal);
    const found = (await detect(frame, find, way)).slice(0, max_faces);
    const spent = performance.now() - start;
    const { timing_ms, ...classified } = await this.classify(frame, found, signal);
    return { ...classified, timing_ms: { detect: spent, ...timing_ms } };
  }

  /** Returns the answer for a single picture, without `state`; every `track_id` is null. */
  async image(frame) {
    const { faces, timing_ms } = await this.#analyse(frame, "full");
    return { ...toAnswer(frame, faces, this.config), timing_ms };
  }

  /**
   * Returns `image`'s answer as `data`, and each face's crop, reduced for the screen.
   *
   * @throws {DOMException} by `signal`
   */
  async picture(frame, signal) {
    const { faces, crops, timing_ms } = await this.#analyse(frame, "full", { signal });
    return {
      data: { ...toAnswer(frame, faces, this.config), timing_ms: roundTimes(timing_ms) },
      crops: crops.map((crop) => shrink(crop, CROP_PX)),
    };
  }

  /** Explains a part of a crop: see `explainRows` of explain.js. */
  explain({ crop, class_index, from, to }) {
    return explainRows(this, crop, class_index, from, to);
  }

  /**
   * Answers one frame of a stream as the server's `/live_frame` does. It never throws.
   *
   * @param {Object} request
   * @param {Object} request.image a picture {width, height, channels: 3, data}
   * @param {Object} [request.state] of the answer before
   * @param {number} [request.time_s] when it was taken, in seconds
   * @param {boolean} [request.votes] give each face the shares of the votes of ten people
   * @param {?Object} [request.baseline] a resting face, see resting.js
   * @param {boolean} [request.fast] look at 320 pixels, where the server looks at 640
   * @returns the answer, or {error: {code, message}}
   */
  async live_frame({
    image,
    state = null,
    time_s = Date.now() / 1000,
    votes = false,
    baseline = null,
    fast = false,
  }) {
    try {
      if (votes && !this.config.votes) throw new LocalError("bad_frame", NO_VOTES);
      const before = readState(state);
      const isFull = before.n_empty % N_GLANCES === N_GLANCES - 1;
      const way = isFull ? "full" : fast ? "fast" : "glance";
      const { faces, timing_ms } = await this.#analyse(image, way, { max_faces: MAX_TRACKS });
      const start = performance.now();
      const after = step(before, faces, time_s, image.width);
      const compared = compare(after.faces, baseline, this.config.neutral);
      timing_ms.track = performance.now() - start;
      return {
        ...toAnswer(image, compared, this.config, votes),
        timing_ms: { wait: 0, ...timing_ms },
        state: writeState(after.state),
      };
    } catch (error) {
      const said = "This frame could not be analysed.";
      const { code, message, detail } = asLocalError(error, "internal", said);
      return { error: { code, message, ...(detail && { detail }) } };
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
      describeFile(WEB_NAME, "does not fit fer.json"),
      `The network must give ${n} logits, one for each class. Received: ${row.length}`,
    );
  }
  await engine.find({ ...blank });
  return engine;
}
