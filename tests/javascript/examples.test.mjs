/* What models say of one face, and of an example. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  arrange,
  bestOf,
  describeExample,
  describeMatrix,
  describeTest,
} from "../../fer/web/examples/matrix.js";

const FACE = { label: "happy", uncertain: false, probs: { happy: 0.7, sad: 0.2, angry: 0.1 } };

const model = (title, label, p, more = {}) => {
  const rest = { happy: 0.1, sad: 0.1, angry: 0.1 };
  const told = { title, idea: "Tries it.", top1: 50, n_classes: 3, uncertain: false };
  return { ...told, label, probs: { ...rest, [label]: p }, ...more };
};

const TOLD = {
  own: { title: "Main model", idea: "All of it.", top1: 70.44, n_classes: 3 },
  others: [
    model("a", "sad", 0.5),
    model("b", "happy", 0.6),
    model("c", "happy", 0.9),
    model("d", "angry", 0.8, { probs: { angry: 0.8, sad: 0.2 } }),
  ],
};

const titles = (rows) => rows.map((row) => row.title);

test("the page's own model comes first, then who agrees, then who differs, the surest first", () => {
  const { own, same, differing } = arrange(FACE, TOLD);
  assert.equal(own.title, "Main model");
  assert.deepEqual([own.label, own.probs], [FACE.label, FACE.probs]);
  assert.deepEqual(titles(same), ["c", "b"]);
  assert.deepEqual(titles(differing), ["d", "a"]);
  assert.deepEqual([differing[0].lacks, differing[1].lacks], ["happy", ""]);
  assert.equal(arrange(FACE, { own: null, others: [] }).own.title, "The model of this page");
});

test("right and wrong are told only where an expression was set", () => {
  const verdicts = (options) => {
    const { own, same, differing } = arrange(FACE, TOLD, options);
    return [own, ...same, ...differing].map((row) => row.verdict);
  };
  assert.deepEqual(verdicts({}), ["", "", "", "", ""]);
  const missed = ["missed", "missed", "missed"];
  assert.deepEqual(verdicts({ expression: "sad" }), [...missed, "missed", "correct"]);
  assert.deepEqual(verdicts({ expression: "happy" }).slice(3), ["has no happy", "missed"]);
});

test("a sum says how many agree, and how many are right", () => {
  assert.match(describeMatrix(arrange(FACE, TOLD)), /^2 of 4 .* happy\.$/);
  const options = { expression: "happy" };
  assert.match(describeMatrix(arrange(FACE, TOLD, options), "happy"), /3 of all 5/);
  const doubt = arrange({ ...FACE, uncertain: true }, TOLD);
  assert.match(describeMatrix(doubt), /unsure/);
});

test("of a face that is turned too far no answer is certain", () => {
  const { own, same } = arrange(FACE, TOLD, { isTurned: true });
  assert.ok([own, ...same].every((row) => row.uncertain));
});

test("a row tells its best classes and its accuracy, where that is known", () => {
  assert.deepEqual(bestOf(FACE, 2), [
    ["happy", 0.7],
    ["sad", 0.2],
  ]);
  assert.match(describeTest(TOLD.own), /70\.4 %, 3 classes/);
  assert.equal(describeTest({ top1: null, n_classes: 7 }), "");
});

test("an example is right, missed, or not judged", () => {
  const rendered = { caption: "Set to: happy", detail: "rendered", expression: "happy" };
  assert.match(describeExample(rendered, [FACE]).mark, /Correct/);
  const missed = describeExample({ ...rendered, expression: "sad" }, [FACE]);
  assert.match(missed.mark, /missed/);
  assert.match(missed.text, /happy 70 %/);
  for (const [example, faces] of [
    [{ ...rendered, expression: "" }, [FACE]],
    [rendered, []],
    [rendered, [FACE, FACE]],
    [{ ...rendered, expression: "bored" }, [FACE]],
  ])
    assert.deepEqual(describeExample(example, faces), {
      text: "Set to: happy, rendered",
      mark: "",
    });
});
