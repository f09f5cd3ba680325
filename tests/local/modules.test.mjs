/* The pure modules of fer/web/local beside Python's answers; tests/test_local.py makes them and
 * says in GOLDEN in which folder they are. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { roundTo, toAnswer } from "../../fer/web/local/answer.js";
import { decide } from "../../fer/web/local/classify.js";
import { readConfig } from "../../fer/web/local/config.js";
import { cropFace, toModelInput } from "../../fer/web/local/crop.js";
import { rollOf } from "../../fer/web/local/geometry.js";
import { resize, stretch, toGray, warpAffine } from "../../fer/web/local/image.js";
import { asLocalError } from "../../fer/web/local/errors.js";
import { checkBrowser, checkHash, unpack, YUNET_SHA256 } from "../../fer/web/local/load.js";
import { checkLogits, drawTest } from "../../fer/web/local/self_test.js";
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

test("faces become the JSON that Python makes of them, uncertain ones marked", () => {
  const { faces, config, answer } = golden.answer;
  assert.deepEqual(toAnswer(answer.frame, faces, config), answer);
});

test("fer.json of both versions is read, and others are told", () => {
  for (const { text, class_names, served } of golden.config) {
    const config = readConfig(text);
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
  assert.throws(() => readConfig("{"), { code: "config", message: /must be JSON/ });
  assert.throws(() => read({ ...one, class_names: ["a", "a"] }), {
    code: "config",
    message: /class_names/,
  });
  assert.throws(() => read({ ...one, files: {} }), { code: "config", message: /model_web\.onnx/ });
  assert.throws(() => read(one, "balanced"), { code: "config", message: /decision/ });
  assert.throws(() => read({ ...two, version: 1 }), { code: "config", message: /heads/ });
  for (const [key, value] of [
    ["input_size", 8],
    ["align", 1],
    ["stretch_percentile", 30],
    ["crop_margin", "1"],
  ]) {
    assert.throws(() => read({ ...one, [key]: value }), {
      code: "config",
      message: new RegExp(key),
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
    message: /x\.onnx must/,
  });
  const full = [
    new RangeError("WebAssembly.Memory(): could not allocate memory"),
    "std::bad_alloc",
  ];
  for (const each of full) assert.equal(asLocalError(each, "model", "").code, "memory");
  assert.equal(
    asLocalError(new Error("bad graph"), "model", "No.").message,
    "No. Received: bad graph",
  );
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
