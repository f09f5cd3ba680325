/* The pure modules of the Live tab's newer parts: speech, keys, session, "Try all seven". */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isFree } from "../../fer/web/common/shortcuts.js";
import { SPEECH_MS, Speaker, describeFaces } from "../../fer/web/live/speech.js";
import { describeSession } from "../../fer/web/live/summary.js";
import { HOLD_S, Trial, findPlayer, trialTitle } from "../../fer/web/live/trial.js";
import { SmoothVotes, countVotes, describeVotes } from "../../fer/web/live/votes.js";
import { countColumns, describeTry } from "../../fer/web/live/trial_card.js";

const makeFace = (label, p, more = {}) => ({
  track_id: 1,
  label,
  uncertain: false,
  box_xyxy: [0, 0, 10, 10],
  probs: { calm: 1 - p, wild: 1 - p, [label]: p },
  ...more,
});

test("faces are read out by id, with their percentage", () => {
  assert.equal(describeFaces([]), "no face");
  assert.equal(describeFaces([makeFace("calm", 0.75)]), "calm 75 %");
  const two = [
    makeFace("wild", 0.8, { track_id: 2 }),
    makeFace("calm", 0.4, { track_id: 1, uncertain: true }),
  ];
  assert.equal(describeFaces(two), "face 1 unsure, perhaps calm 40 %, face 2 wild 80 %");
});

test("an update is spoken when a label changes, at most every three seconds", () => {
  const said = [];
  const speaker = new Speaker((text) => said.push(text));
  speaker.update([makeFace("calm", 0.7)], 0);
  speaker.update([makeFace("calm", 0.9)], 5000); // another percentage only
  speaker.update([makeFace("wild", 0.9)], 5100);
  speaker.update([makeFace("calm", 0.8)], 5100 + SPEECH_MS - 1);
  assert.deepEqual(said, ["calm 70 %", "wild 90 %"]);
  speaker.update([makeFace("calm", 0.8)], 5100 + SPEECH_MS);
  assert.equal(said.at(-1), "calm 80 %");
  speaker.isOn = false;
  speaker.update([], 60_000);
  assert.equal(said.length, 3);
});

test("a key is left to the control that takes it", () => {
  const over = (...selectors) => ({
    closest: (list) => list.split(", ").find((each) => selectors.includes(each)) || null,
  });
  const press = (key, target, more = {}) => isFree({ key, target, ...more });
  assert.ok(press("s", over()));
  assert.ok(press(" ", over("div")));
  assert.ok(press("s", over("button")));
  assert.ok(!press(" ", over("button")));
  assert.ok(!press(" ", over("summary")));
  assert.ok(!press("s", over("input")));
  assert.ok(!press("s", over("select")));
  assert.ok(!press("s", over(), { ctrlKey: true }));
  assert.ok(!press("s", over(), { defaultPrevented: true }));
});

test("a session is summed up by the face seen longest", () => {
  const sums = { seconds: 10, uncertain: 0, shares: { calm: 9, wild: 1 } };
  assert.equal(describeSession({ longest: [], nSeen: 0 }), "");
  const one = [[3, sums]];
  assert.equal(describeSession({ longest: one, nSeen: 1 }), "10.0 s: calm 90 %, wild 10 %.");
  const other = { seconds: 20, uncertain: 5, shares: { wild: 20 } };
  assert.equal(
    describeSession({ longest: [...one, [4, other]], nSeen: 2 }),
    "Face 4 (seen longest of 2), 20.0 s: wild 100 %. Unsure 25 % of the time.",
  );
});

/** Shows a trial the same face from one time to another, five times a second. */
function play(trial, face, from, to) {
  const done = [];
  for (let time = from; time <= to + 1e-6; time += 0.2) {
    const name = trial.add(face ? [face] : [], time);
    if (name) done.push(name);
  }
  return done;
}

test("an expression is recognised once it was held for a second", () => {
  const trial = new Trial(["calm", "wild"]);
  assert.deepEqual(play(trial, makeFace("calm", 0.8), 0, HOLD_S - 0.2), []);
  assert.equal(trial.held.name, "calm");
  assert.ok(Math.abs(trial.held.share - 0.8) < 1e-6);
  assert.deepEqual(play(trial, makeFace("calm", 0.9), HOLD_S, 3), ["calm"]); // once
  assert.deepEqual([trial.nDone, trial.of("calm").done, trial.of("wild").done], [1, 0.9, null]);
  trial.clear();
  assert.deepEqual([trial.nDone, trial.of("calm")], [0, { best: 0, wasSure: false, done: null }]);
});

test("an expression that breaks off, is unsure, or is another face's starts anew", () => {
  const names = ["calm", "wild"];
  const calm = makeFace("calm", 0.8);
  for (const between of [
    makeFace("wild", 0.8),
    makeFace("calm", 0.4, { uncertain: true }),
    makeFace("calm", 0.8, { track_id: 2 }),
    null, // nobody in view
  ]) {
    const trial = new Trial(names);
    play(trial, calm, 0, 0.8);
    play(trial, between, 0.9, 0.9);
    assert.deepEqual(play(trial, calm, 1, 1.8), [], JSON.stringify(between));
    assert.deepEqual(play(trial, calm, 2, 2), ["calm"]);
  }
  const paused = new Trial(names);
  play(paused, calm, 0, 0.8);
  assert.deepEqual(play(paused, calm, 5, 5.8), []);
});

test("what is never sure stays open, and says how near it came", () => {
  const trial = new Trial(["calm", "wild"]);
  play(trial, makeFace("calm", 0.4, { uncertain: true, probs: { calm: 0.4, wild: 0.35 } }), 0, 5);
  assert.equal(trial.nDone, 0);
  assert.equal(describeTry(trial.of("wild")), "not recognised (at best 35 %)");
  play(trial, makeFace("wild", 0.7), 6, 6.2);
  assert.equal(describeTry(trial.of("wild")), "not held (at best 70 %)");
  assert.equal(describeTry({ best: 0, done: null }), "not tried");
  assert.equal(describeTry({ best: 0.9, done: 0.8 }), "recognised, 80 %");
});

test("the largest face plays", () => {
  const far = makeFace("calm", 0.9, { box_xyxy: [0, 0, 5, 5] });
  const near = makeFace("wild", 0.9, { track_id: 2 });
  assert.equal(findPlayer([far, near]), near);
  assert.equal(findPlayer([]), null);
});

test("the game is for any number of classes", () => {
  assert.deepEqual([2, 7, 12].map(trialTitle), ["Try all two", "Try all seven", "Try all 12"]);
  assert.deepEqual([2, 5, 7, 9].map(countColumns), [2, 3, 4, 3]);
});

test("ten votes go by the largest remainders, as in fer/votes.py", () => {
  assert.deepEqual(countVotes([0.55, 0.24, 0.21]), [6, 2, 2]);
  assert.deepEqual(countVotes([1, 0, 0]), [10, 0, 0]);
  assert.equal(
    countVotes([0.335, 0.333, 0.332]).reduce((sum, n) => sum + n),
    10,
  );
  assert.equal(describeVotes({ calm: 0.2, wild: 0.8, other: 0 }), "8 wild, 2 calm");
});

test("votes move slowly, face by face", () => {
  const smooth = new SmoothVotes();
  const face = (track_id, calm) => ({ track_id, votes: { calm, wild: 1 - calm } });
  assert.deepEqual(smooth.add([face(1, 1), { track_id: 3 }]).get(1), { calm: 1, wild: 0 });
  const after = smooth.add([face(1, 0), face(2, 0)]);
  assert.ok(after.get(1).calm > 0.5 && after.get(1).calm < 1);
  assert.deepEqual(after.get(2), { calm: 0, wild: 1 });
  assert.equal(after.get(3), undefined);
});
