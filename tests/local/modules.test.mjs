/* The pure modules of fer/web/local beside Python's answers; tests/web/test_local.py makes them and
 * says in GOLDEN in which folder they are. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { roundTo, toAnswer } from "../../fer/web/local/answer.js";
import { decide } from "../../fer/web/local/classify.js";
import { readConfig } from "../../fer/web/local/config.js";
import { cropFace, toModelInput } from "../../fer/web/local/crop.js";
import { openEngine } from "../../fer/web/local/engine.js";
import {
  N_PLACES,
  ROWS_AT_ONCE,
  drawExplanation,
  explainRows,
  spreadGrid,
} from "../../fer/web/local/explain.js";
import { rollOf } from "../../fer/web/local/geometry.js";
import {
  fromRgba,
  joinRows,
  resize,
  shrink,
  stretch,
  toGray,
  warpAffine,
} from "../../fer/web/local/image.js";
import { asLocalError } from "../../fer/web/local/errors.js";
import { checkBrowser, checkHash, unpack, YUNET_SHA256 } from "../../fer/web/local/load.js";
import { averageRest } from "../../fer/web/live/resting.js";
import { compare } from "../../fer/web/local/resting.js";
import { checkLogits, drawTest } from "../../fer/web/local/self_test.js";
import { lookFast, lookOnce, search } from "../../fer/web/local/search.js";
import { readState, step, writeState } from "../../fer/web/local/track.js";
import { decode, freeSizes } from "../../fer/web/local/yunet.js";

const folder = process.env.GOLDEN;
const golden = JSON.parse(readFileSync(`${folder}/golden.json`, "utf-8"));
const bytes = (name) => new Uint8Array(readFileSync(`${folder}/${name}`));
const picture = ({ file, width, height, channels }) => ({
  width,
  height,
  channels,
  data: bytes(file),
});

/** Holds that two pictures have the same bytes, but for `share` of them that differ by one. */
function assertSame(got, wanted, share = 0) {
  assert.deepEqual([got.width, got.height], [wanted.width, wanted.height]);
  let n = 0;
  got.data.forEach((value, i) => {
    const gap = Math.abs(value - wanted.data[i]);
    assert.ok(gap <= 1, `${wanted.file || ""} byte ${i}: ${value}, not ${wanted.data[i]}`);
    n += gap;
  });
  assert.ok(n <= share * got.data.length, `${n} of ${got.data.length} bytes differ`);
}

test("pictures are resized as OpenCV does", () => {
  for (const { from, to } of golden.resize) {
    assertSame(resize(picture(from), to.width, to.height), picture(to));
  }
});

test("the bytes of a canvas become RGB, whatever the number of pixels", () => {
  for (let n = 1; n < 10; n += 1) {
    const rgba = Uint8ClampedArray.from({ length: 4 * n }, (_, i) => (37 * i + 200) % 256);
    const rgb = rgba.filter((_, i) => i % 4 < 3);
    const { width, height, channels, data } = fromRgba(rgba, n, 1);
    assert.deepEqual([width, height, channels, [...data]], [n, 1, 3, [...rgb]]);
  }
});

test("pictures are reduced for the screen, and strips of them joined", () => {
  for (const { from, to } of golden.shrink) {
    const image = picture(from);
    assertSame(shrink(image, 192), picture(to));
    const cut = 7 * from.width * 3;
    const [above, below] = [image.data.slice(0, cut), image.data.slice(cut)];
    const strips = [
      { ...image, height: 7, data: above },
      { ...image, height: from.height - 7, data: below },
    ];
    assert.deepEqual(joinRows(strips), image);
  }
});

test("a face is explained as in Python, part by part", async () => {
  for (const { crop, config, weights, index, heat, lowers, raises, map } of golden.explain) {
    const engine = {
      config,
      inputLogits: async ({ data, dims: [n] }) =>
        Array.from({ length: n }, (_, i) => {
          const row = data.subarray((i * data.length) / n, ((i + 1) * data.length) / n);
          return weights.map((each) => row.reduce((sum, value, j) => sum + value * each[j], 0));
        }),
    };
    const image = picture(crop);
    const grid = [];
    for (let from = 0; from < N_PLACES; from += ROWS_AT_ONCE)
      grid.push(...(await explainRows(engine, image, index, from, from + ROWS_AT_ONCE)));
    spreadGrid(grid, crop.width, crop.height).forEach((value, i) => {
      assert.ok(Math.abs(value - heat[i]) < 1e-4, `${i}: ${value}, not ${heat[i]}`);
    });
    const drawn = drawExplanation(image, grid);
    assertSame(drawn.map, picture(map), 0.05);
    assert.ok(Math.abs(drawn.lowers - lowers) < 1e-4 && Math.abs(drawn.raises - raises) < 1e-4);
    assert.ok(lowers + raises > 0.02);
  }
});

test("pictures become gray as OpenCV does", () => {
  for (const { from, to } of golden.gray) assertSame(toGray(picture(from)), picture(to));
});

test("patches are turned as OpenCV does", () => {
  for (const { from, matrix, to } of golden.warp) {
    assertSame(warpAffine(picture(from), matrix, to.width), picture(to));
  }
});

test("contrast is stretched as numpy does", () => {
  for (const { from, percent, to } of golden.stretch)
    assertSame(stretch(picture(from), percent), picture(to));
});

test("crops and the network's input are those of Python", () => {
  for (const { from, face, config, to, input } of golden.crop) {
    const crop = cropFace(picture(from), face, config);
    assertSame(crop, picture(to), 1e-3);
    const { data, dims } = toModelInput([crop], config);
    assert.deepEqual(dims.slice(1), [input.height, input.width, input.channels]);
    assertSame({ ...picture(input), data }, picture(input), 0.01);
    assert.ok(Math.abs(rollOf(face.landmarks, face.box) - face.roll) < 1e-3);
  }
});

test("boxes are YuNet's after non-maximum suppression", () => {
  const { outputs, rows, columns, faces } = golden.yunet;
  const found = decode(outputs, rows, columns);
  assert.equal(found.length, faces.length);
  found.forEach((face, i) => {
    [...face.box, face.score, ...face.landmarks.flat()].forEach((value, k) =>
      assert.ok(Math.abs(value - faces[i][k]) < 1e-3),
    );
  });
  assert.throws(() => freeSizes(Uint8Array.of(58, 200, 1, 1)), { code: "model" });
});

test("no detector sees a thin picture, and boxes lie in the picture for a quarter", async () => {
  const landmarks = Array(5).fill([0, 0]);
  const face = (...box) => ({ box, score: 0.9, landmarks });
  const boxes = [face(-20, 10, 20, 50), face(-32, 60, 8, 100), face(700, 10, 740, 50)];
  for (const look of [search, lookOnce, lookFast]) {
    for (const [width, height] of [
      [1, 1],
      [640, 8],
      [1000, 40],
      [30, 20000],
      [640, 640],
    ]) {
      const data = new Uint8Array(3 * width * height);
      const found = await look({ width, height, channels: 3, data }, (seen) => {
        assert.ok(Math.min(seen.width, seen.height) >= 64);
        return width === height && width > 1 ? boxes : [];
      });
      assert.equal(found.length, width === 640 && height === 640 ? 1 : 0);
    }
  }
});

test("a frame without a face is looked at sideways", async () => {
  const landmarks = Array(5).fill([10, 20]);
  const face = { box: [10, 20, 40, 60], score: 0.9, landmarks };
  const frame = { width: 300, height: 200, channels: 3, data: new Uint8Array(3 * 300 * 200) };
  frame.data[3 * (300 * 10 + 299)] = 9; // at the right, ten from the top
  const seen = [];
  const found = await search(frame, ({ width, height, data }) => {
    if (width !== 200) return [];
    seen.push(data.findIndex(Boolean) / 3);
    return seen.length === 1 ? [face, { ...face, score: 0.7, box: [90, 90, 120, 120] }] : [];
  });
  assert.deepEqual(seen, [10, 200 * 299 + 189]); // to the left, and to the right
  assert.deepEqual(found, [
    { box: [240, 10, 280, 40], score: 0.9, landmarks: Array(5).fill([280, 10]) },
  ]);
});

test("the decision makes probabilities of logits", () => {
  for (const { logits, decision, probs } of golden.decide) {
    decide(logits, decision).forEach((p, i) => assert.ok(Math.abs(p - probs[i]) < 1e-7));
  }
});

test("numbers are rounded as Python rounds them", () => {
  for (const [value, digits, rounded] of golden.round)
    assert.equal(roundTo(value, digits), rounded);
});

test("tracks and their JSON are those of Python, frame after frame", () => {
  for (const frames of golden.track) {
    let state = null;
    frames.forEach(({ faces, time_s, width, ids, probs, state: wanted }, n) => {
      const after = step(readState(state), faces, time_s, width);
      state = writeState(after.state);
      assert.deepEqual(
        after.faces.map((face) => face.track_id),
        ids,
        `frame ${n}`,
      );
      after.faces.forEach((face, i) =>
        face.probs.forEach((p, k) => assert.ok(Math.abs(p - probs[i][k]) < 2e-5)),
      );
      assert.deepEqual(Object.keys(state).sort(), Object.keys(wanted).sort());
      for (const key of ["time_s", "next_id", "n_empty"]) assert.equal(state[key], wanted[key]);
      state.tracks.forEach((track, i) => {
        assert.deepEqual([track.id, track.seen_s], [wanted.tracks[i].id, wanted.tracks[i].seen_s]);
        [...track.box, ...track.probs].forEach((value, k) =>
          assert.ok(
            Math.abs(value - [...wanted.tracks[i].box, ...wanted.tracks[i].probs][k]) < 3e-5,
          ),
        );
      });
      state = wanted; // what the server would have sent
    });
  }
  const cases = [{}, { tracks: [{ id: 1 }] }, 3, { tracks: new Array(33) }];
  for (const state of cases) assert.throws(() => readState(state), { code: "bad_state" });
});

test("a face is compared with its resting face as in Python", () => {
  for (const { rows, text, baseline, faces, answer } of golden.rest) {
    const config = readConfig(text);
    averageRest(rows).forEach((p, k) => assert.ok(Math.abs(p - baseline.probs[k]) < 3e-6));
    const compared = compare(faces, baseline, config.neutral);
    const got = toAnswer(answer.frame, compared, { ...config, uncertain_below: 0.6 });
    got.faces.forEach((face, i) => {
      const wanted = answer.faces[i];
      assert.deepEqual([face.label, face.raw], [wanted.label, wanted.raw]);
      for (const name of config.class_names)
        assert.ok(Math.abs(face.probs[name] - wanted.probs[name]) < 2e-4, name);
    });
    assert.deepEqual(compare(faces, null, null), faces);
    const bad = [
      [baseline, null],
      [{ ...baseline, probs: [0.5, 0.5] }, config.neutral],
      [{ ...baseline, probs: [0.5, 0.5, 0.5, 0.5] }, config.neutral],
      [{ ...baseline, probs: "1" }, config.neutral],
      [{ track_id: 2 }, config.neutral],
    ];
    for (const [each, neutral] of bad)
      assert.throws(() => compare(faces, each, neutral), { code: "bad_state" });
  }
});

test("faces become the JSON that Python makes of them, uncertain ones marked", () => {
  const { faces, config, answer } = golden.answer;
  assert.deepEqual(toAnswer(answer.frame, faces, config, true), answer);
  const { vote_names, ...plain } = answer;
  assert.deepEqual(vote_names, config.votes.class_names);
  plain.faces = answer.faces.map(({ votes, ...face }) => (assert.ok(votes), face));
  assert.deepEqual(toAnswer(answer.frame, faces, config), plain);
});

/** A runtime whose detector finds one face in any picture, and whose network has two heads. */
function makeRuntime() {
  const detect = ({ input: { dims } }) => {
    const outputs = {};
    for (const stride of [8, 16, 32]) {
      const n = (dims[2] / stride) * (dims[3] / stride);
      for (const [name, width] of Object.entries({ cls: 1, obj: 1, bbox: 4, kps: 10 })) {
        outputs[`${name}_${stride}`] = { data: new Float32Array(n * width) };
      }
    }
    outputs.cls_32.data[0] = outputs.obj_32.data[0] = 1;
    outputs.bbox_32.data.set([0.5, 0.5, 0, 0]);
    return outputs;
  };
  const classify = ({ pixels: { dims } }) => {
    return { votes: rowsOf(dims[0], [0, 1, 2]), labels: rowsOf(dims[0], [1, 0]) };
  };
  const sessions = [
    { inputNames: ["input"], outputNames: [], run: async (given) => detect(given) },
    {
      inputNames: ["pixels"],
      outputNames: ["votes", "labels"],
      run: async (given) => classify(given),
    },
  ];
  return {
    InferenceSession: { create: async () => sessions.shift() },
    Tensor: class {
      constructor(_, data, dims) {
        Object.assign(this, { data, dims });
      }
    },
  };
}

const rowsOf = (n, values) => ({
  data: Float32Array.from(Array.from({ length: n }, () => values).flat()),
  dims: [n, values.length],
});

test("votes are given where they are asked for, by a model that has them", async () => {
  const text = golden.config[1].text;
  const [detector, classifier] = [new Uint8Array(), new Uint8Array()];
  const open = (config) => openEngine(makeRuntime(), { config, detector, classifier });
  const engine = await open(readConfig(text));
  const image = { width: 96, height: 64, channels: 3, data: new Uint8Array(3 * 96 * 64) };
  const answer = await engine.live_frame({ image, votes: true });
  assert.deepEqual(answer.vote_names, ["a", "b", "c"]);
  const [face] = answer.faces;
  assert.ok(face.votes.c > face.votes.b && face.votes.b > face.votes.a);
  assert.ok(Math.abs(Object.values(face.votes).reduce((sum, p) => sum + p) - 1) < 1e-3);
  assert.equal((await engine.live_frame({ image })).faces[0].votes, undefined);
  const without = await open({ ...readConfig(text), votes: null });
  const { error } = await without.live_frame({ image, votes: true });
  assert.match(error.message, /does not predict them/);
});

test("fer.json of both versions is read, and others are told", () => {
  for (const { text, class_names, served, vote_names } of golden.config) {
    const config = readConfig(text);
    assert.deepEqual(config.votes ? config.votes.class_names : [], vote_names);
    assert.deepEqual(config.class_names, class_names);
    assert.deepEqual(config.served, served);
  }
  const [one, two] = golden.config.map(({ text }) => JSON.parse(text));
  const read = (values, decision) => readConfig(JSON.stringify(values), decision);
  assert.equal(read(two, "dataset").decision, "dataset");
  assert.throws(() => read({ ...two, version: 3 }), {
    code: "newer",
    message: /version 3.*up to 2/,
  });
  assert.throws(() => readConfig("{"), { code: "config", detail: /must be JSON/ });
  assert.throws(() => read({ ...one, class_names: ["a", "a"] }), {
    code: "config",
    detail: /class_names/,
  });
  assert.throws(() => read({ ...one, files: {} }), { code: "config", detail: /model_web\.onnx/ });
  assert.throws(() => read(one, "balanced"), { code: "config", detail: /decision/ });
  assert.throws(() => read({ ...two, version: 1 }), { code: "config", detail: /heads/ });
  for (const [key, value] of [
    ["input_size", 8],
    ["align", 1],
    ["stretch_percentile", 30],
    ["crop_margin", "1"],
    ["neutral_logits", [1, 2]],
  ]) {
    assert.throws(() => read({ ...one, [key]: value }), {
      code: "config",
      message: /^The recogniser's file fer\.json cannot be used\. Reload the page; if .*host\.$/,
      detail: new RegExp(key),
    });
  }
});

test("a browser without WebAssembly or SIMD, and damaged files are told in one sentence", async () => {
  checkBrowser();
  const real = globalThis.WebAssembly;
  try {
    globalThis.WebAssembly = undefined;
    assert.throws(checkBrowser, { code: "no_wasm" });
    globalThis.WebAssembly = { validate: () => false };
    assert.throws(checkBrowser, { code: "no_simd", message: /Safari 16\.4/ });
  } finally {
    globalThis.WebAssembly = real;
  }
  assert.equal(YUNET_SHA256, golden.yunet_sha256);
  await assert.rejects(checkHash(Uint8Array.of(1), "00", "x.onnx"), {
    code: "hash",
    message: /^The recogniser's file x\.onnx is damaged, or of another version\. Reload/,
    detail: /x\.onnx must have sha256 00\. Received: \w{64}/,
  });
  const full = [
    new RangeError("WebAssembly.Memory(): could not allocate memory"),
    "std::bad_alloc",
  ];
  for (const each of full) assert.equal(asLocalError(each, "model", "").code, "memory");
  const { message, detail } = asLocalError(new Error("bad graph"), "model", "No.");
  assert.deepEqual([message, detail], ["No.", "bad graph"]);
  const whole = bytes("packed.gz");
  assert.equal(new TextDecoder().decode(await unpack(whole, "x.gz")).length, 5000);
  await assert.rejects(unpack(whole.slice(0, 20), "x.gz"), {
    code: "cut_off",
    message: /x\.gz is cut off/,
  });
});

test("the drawing of the self-test is Python's", () => {
  assertSame(drawTest(96), picture(golden.drawing));
  checkLogits([1, 2], [1.1, 2]);
  for (const found of [[1, 3], [1], [1, NaN]]) {
    assert.throws(() => checkLogits(found, [1, 2]), { code: "self_test" });
  }
});
