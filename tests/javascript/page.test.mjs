/* The pure modules of the page: classes, record, CSV, timeline, pace, frame loop, texts. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Classes, faceTitle, percent } from "../../fer/web/common/classes.js";
import { describeError, findObstacle, listCameras } from "../../fer/web/common/camera.js";
import { FrameLoop, NO_ANSWER } from "../../fer/web/live/frames.js";
import { PACES, Pace } from "../../fer/web/live/pace.js";
import { Record, fileName } from "../../fer/web/live/record.js";
import { RestingFace } from "../../fer/web/live/resting.js";
import { SpeedMeter } from "../../fer/web/live/speed.js";
import { describeSums } from "../../fer/web/live/summary.js";
import { drawTimeline, plotHeight, splitRuns } from "../../fer/web/live/timeline.js";
import { Explanations, describeExplanation } from "../../fer/web/photo/explanations.js";
import { isPictureByName } from "../../fer/web/photo/input.js";
import { tabOfKey } from "../../fer/web/common/frame.js";
import { GUESS, drawGuess } from "../../fer/web/common/guess.js";
import { isKeyTaken, moveIndex } from "../../fer/web/common/keys.js";

const classes = new Classes({
  class_names: ["calm", "wild, very"],
  class_colors: ["#112233", "#445566"],
  class_inks: ["#ffffff", "#000000"],
  class_icons: ["M1 1", ""],
});

/** A clock that moves only when somebody sleeps. */
class FakeClock {
  ms = 1000;
  now = () => this.ms;
  utc = () => Date.UTC(2026, 0, 31, 12) + this.ms - 1000;
  sleep = async (ms) => {
    await null; // an answer that is there wins over a sleep
    await null;
    await null;
    this.ms += ms;
  };
}

const makeFace = (id, p = 0.75, more = {}) => ({
  track_id: id,
  label: p < 0.5 ? "wild, very" : "calm",
  uncertain: false,
  box_xyxy: [10, 20, 30, 40],
  probs: { calm: p, "wild, very": 1 - p },
  ...more,
});
const makeAnswer = (...faces) => ({
  faces,
  frame: { width: 320, height: 240 },
  timing_ms: { wait: 0 },
  state: { n: faces.length },
});

test("a class has its colour, ink and icon, and other names have grays", () => {
  assert.equal(classes.colorOf("wild, very"), "#445566");
  assert.equal(classes.inkOf("wild, very"), "#000000");
  assert.deepEqual(
    ["calm", "wild, very", "other"].map((n) => classes.iconOf(n)),
    ["M1 1", "", ""],
  );
  assert.equal(classes.colorOf("other"), "#999999");
  assert.deepEqual(classes.probsOf(makeFace(1, 0.25)), [0.25, 0.75]);
  assert.equal(percent(0.345), "35 %");
  assert.equal(faceTitle(makeFace(1, 0.9, { uncertain: true })), "unsure: calm?");
});

test("a record sums the time in view, without the time away, and writes CSV", () => {
  const clock = new FakeClock();
  const record = new Record(classes.names, clock);
  record.start();
  // In view for 0.5 s, away for 2 s, back for 0.5 s, the last step uncertain and wild.
  for (const [ms, p, uncertain] of [
    [0, 0.75, false],
    [500, 0.75, false],
    [2500, 0.75, false],
    [3000, 0.25, true],
  ]) {
    record.add(makeAnswer(makeFace(7, p, { uncertain })), 1000 + ms, 640);
  }
  const { longest, nSeen } = record.summary();
  assert.equal(nSeen, 1);
  assert.equal(longest[0][0], 7);
  assert.deepEqual(longest[0][1], {
    seconds: 1,
    uncertain: 0.5,
    shares: { calm: 0.5, "wild, very": 0.5 },
    last: 3,
  });
  assert.deepEqual(describeSums(7, longest[0][1]), [
    "7",
    "1.0 s",
    "calm 50 %, wild, very 50 %",
    "50 %",
  ]);
  const lines = record.csv().split("\n");
  assert.equal(lines.length, 6); // a header, four rows, an end of line
  assert.equal(
    lines[0],
    'time_utc,time_s,track_id,label,uncertain,x0,y0,x1,y1,p_calm,"p_wild, very"',
  );
  // Boxes are in pixels of the camera, twice those of the frame.
  assert.equal(
    lines[4],
    '2026-01-31T12:00:03.000Z,3.000,7,"wild, very",true,20.0,40.0,60.0,80.0,0.2500,0.7500',
  );
  clock.ms += 4000;
  record.stop();
  clock.ms += 9000;
  assert.equal(record.elapsed, 4);
  assert.equal(record.end.toISOString(), "2026-01-31T12:00:04.000Z");
  record.start();
  assert.equal(record.summary().nSeen, 0);
});

test("the last minute has the four faces seen longest, by id", () => {
  const clock = new FakeClock();
  const record = new Record(classes.names, clock);
  record.start();
  record.add(makeAnswer(makeFace(9)), 1000, 320); // more than a minute ago
  for (let i = 0; i < 5; i += 1) {
    // Face 1 is seen least.
    const faces = [5, 4, 3, 2].map((id) => makeFace(id)).concat(i ? [] : [makeFace(1)]);
    record.add(makeAnswer(...faces), 71000 + 100 * i, 320);
  }
  const { bands, nSeen } = record.lastMinute(71);
  assert.equal(nSeen, 5);
  assert.deepEqual(
    bands.map(([id, rows]) => [id, rows.length]),
    [
      [2, 5],
      [3, 5],
      [4, 5],
      [5, 5],
    ],
  );
  assert.ok(bands[0][1][0].time < bands[0][1][4].time);
});

test("a record keeps its newest rows only", () => {
  const record = new Record(classes.names, new FakeClock());
  record.start();
  const faces = Array.from({ length: 1000 }, (_, i) => makeFace(i));
  for (let i = 0; i < 61; i += 1) record.add(makeAnswer(...faces), 1000 + i, 320);
  const lines = record.csv().trim().split("\n");
  assert.equal(lines.length - 1, 45000);
  assert.match(lines.at(-1), /,0\.060,999,/);
});

test("a CSV has the raw values of faces that were compared with their resting face", () => {
  const record = new Record(classes.names, new FakeClock());
  record.start();
  record.add(makeAnswer(makeFace(1)), 1000, 320);
  const raw = { calm: 0.25, "wild, very": 0.75 };
  record.add(makeAnswer(makeFace(1, 0.9, { raw })), 1100, 320);
  const [head, before, after] = record.csv().split("\n");
  assert.match(head, /p_calm,"p_wild, very",raw_calm,"raw_wild, very"$/);
  assert.match(before, /,0\.7500,0\.2500,0\.7500,0\.2500$/);
  assert.match(after, /,calm,.*,0\.9000,0\.1000,0\.2500,0\.7500$/);
});

test("a resting face is the average of two seconds of the largest face, while it is followed", () => {
  const large = { box_xyxy: [10, 20, 90, 99] };
  const answer = (p, ids = [1, 2], more = {}) => ({
    faces: ids.map((id) => makeFace(id, p, id === 2 ? { ...large, ...more } : {})),
    class_names: classes.names,
    state: { tracks: ids.map((id) => ({ id })) },
  });
  const resting = new RestingFace();
  resting.add(answer(0.9), 0);
  resting.measure([], 0);
  assert.deepEqual([resting.state, resting.baseline], ["off", null]);
  assert.match(resting.problem, /No face/);
  resting.measure(answer(0.9).faces, 1000);
  assert.deepEqual([resting.state, resting.problem], ["measuring", ""]);
  resting.add(answer(0.01), 1100); // what the face did before
  resting.add(answer(0.8), 1600);
  resting.add(answer(0.01, [1, 2], { raw: { calm: 0.2, "wild, very": 0.8 } }), 2500);
  resting.add(answer(0.5), 2900);
  assert.equal(resting.state, "measuring");
  resting.add(answer(0.5), 3000);
  assert.equal(resting.state, "on");
  assert.deepEqual(resting.baseline, { track_id: 2, probs: [0.5, 0.5] });
  resting.add(answer(0.5, [2]), 9000);
  assert.equal(resting.state, "on");
  resting.add(answer(0.5, [1]), 9100);
  assert.deepEqual([resting.state, resting.baseline], ["off", null]);
  assert.match(resting.problem, /left/);
  resting.measure(answer(0.9).faces, 0);
  resting.drop();
  assert.deepEqual([resting.state, resting.problem], ["off", ""]);
});

test("files are named by the visitor's time", () => {
  const date = new Date(2026, 0, 31, 23, 59, 58);
  assert.equal(fileName(date, ".csv"), "expressions_2026-01-31_23-59-58.csv");
});

test("a timeline is split where a face was away, and single rows are widened", () => {
  const rows = [0, 0.01, 0.2, 0.5, 2].map((time) => ({ time }));
  const runs = splitRuns(rows, 0.1);
  assert.deepEqual(
    runs.map((run) => run.map((row) => row.time)),
    [
      [0, 0.2, 0.5],
      [2, 2.2],
    ],
  );
});

test("a timeline is drawn inside its width, in the colours of the classes", () => {
  const points = [];
  const fills = new Set();
  const texts = [];
  const context = {
    beginPath() {},
    fillRect() {},
    strokeRect() {},
    fill() {
      fills.add(this.fillStyle);
    },
    lineTo: (x, y) => points.push([x, y]),
    fillText: (text) => texts.push(text),
    measureText: (text) => ({ width: 6 * text.length }),
  };
  const rows = [0, 10, 10.5, 60].map((time) => ({ time, probs: [0.25, 0.75] }));
  const plot = { until: 60, width: 400, ink: "#000", endText: "now", classes };
  drawTimeline(context, {
    ...plot,
    bands: [
      [3, rows],
      [4, rows],
    ],
  });
  assert.deepEqual(fills, new Set(["#112233", "#445566"]));
  const right = Math.max(...points.map(([x]) => x));
  assert.ok(Math.min(...points.map(([x]) => x)) >= 62 && right >= 394 && right < 400);
  const bottom = Math.max(...points.map(([, y]) => y));
  assert.ok(bottom < plotHeight(2) && bottom > plotHeight(1));
  assert.deepEqual(texts, ["face 3", "face 4", "-15 s", "-30 s", "-45 s", "-60 s", "now"]);
});

test("the pace falls under load, rises when calm, and more carefully after a relapse", () => {
  const pace = new Pace();
  let now = 0;
  const answer = (tripMs, waitMs = 0, stepMs = 100) =>
    pace.addAnswer(tripMs, waitMs, (now += stepMs));
  for (let i = 0; i < 2; i += 1) answer(500);
  answer(50);
  assert.equal(pace.current, PACES[0]); // not three in a row
  for (let i = 0; i < 3; i += 1) answer(50, 100);
  assert.equal(pace.current, PACES[1]);
  pace.addFailure(now);
  assert.equal(pace.current, PACES[2]);
  for (let i = 0; i < 39; i += 1) answer(50);
  assert.equal(pace.current, PACES[2]);
  answer(50);
  assert.equal(pace.current, PACES[1]); // after 4 s
  pace.addFailure(now); // too early
  for (let i = 0; i < 79; i += 1) answer(50);
  assert.equal(pace.current, PACES[2]);
  answer(50);
  assert.equal(pace.current, PACES[1]); // after 8 s
  pace.resume(now);
  for (let i = 0; i < 9; i += 1) pace.addFailure(now);
  assert.equal(pace.current, PACES.at(-1));
});

test("the speed is of the last two seconds", () => {
  const speed = new SpeedMeter();
  for (let i = 0; i <= 100; i += 1) {
    speed.addFrame();
    speed.addAnswer(50 * i, i < 50 ? 900 : 40);
  }
  assert.equal(speed.nFrames, 101);
  assert.equal(speed.describe(PACES[0]), "20 results/s, 40 ms delay");
  assert.match(speed.describe(PACES[1]), /, slowed down, 256 px$/);
});

/** Runs a loop over the given answers; each is a value, or a function that may throw or hang. */
async function runLoop(answers, more = {}) {
  const clock = new FakeClock();
  const controller = new AbortController();
  const asked = [];
  const seen = [];
  const failures = [];
  const loop = new FrameLoop({
    async ask(pace, state, timeS) {
      asked.push({ width: pace.width, state, timeS });
      const answer = answers[asked.length - 1];
      if (asked.length >= answers.length) controller.abort();
      return typeof answer === "function" ? answer(clock, loop) : answer;
    },
    isPaused: () => false,
    countFrames: () => null,
    onAnswer: (answer) => seen.push(answer),
    onFailure: (problem, n) => failures.push([problem.code, n, problem.message]),
    clock,
    signal: controller.signal,
    ...more,
  });
  await loop.run();
  return { asked, seen, failures, loop, clock };
}

test("the state of an answer goes with the next frame", async () => {
  const [one, two] = [makeAnswer(makeFace(1)), makeAnswer(makeFace(1), makeFace(2))];
  const { asked, seen } = await runLoop([one, two, null], { state: { n: 0 } });
  assert.deepEqual(
    asked.map(({ state }) => state.n),
    [0, 1, 2],
  );
  assert.deepEqual(seen, [one, two]);
  assert.ok(asked[1].timeS - asked[0].timeS >= 0.025); // at most 40 frames/s
});

test("a device that answers late is asked as before, and not with smaller frames", async () => {
  const late = (engine) => async (clock) => {
    clock.ms += 500;
    return { ...makeAnswer(), engine };
  };
  const answers = (engine) => [...Array.from({ length: 5 }, () => late(engine)), null];
  const onServer = await runLoop(answers("server"));
  assert.equal(onServer.asked.at(-1).width, PACES[1].width);
  const onDevice = await runLoop(answers("device"));
  assert.equal(onDevice.asked.at(-1).width, PACES[0].width);
  const moved = await runLoop([
    ...answers("server").slice(0, 5),
    late("device"),
    late("device"),
    null,
  ]);
  assert.equal(moved.asked.at(-1).width, PACES[0].width);
});

test("a lost, late or broken answer is retried more and more slowly", async () => {
  const lost = () => {
    throw new Error("offline");
  };
  const hangs = () => new Promise(() => {});
  const { asked, failures } = await runLoop([lost, hangs, undefined, makeAnswer(), null]);
  assert.deepEqual(
    failures,
    [1, 2, 3].map((n) => ["lost", n, NO_ANSWER]),
  );
  const gaps = asked.slice(1).map(({ timeS }, i) => 1000 * (timeS - asked[i].timeS));
  assert.ok(gaps[0] >= 200 && gaps[1] >= 10400 && gaps[2] >= 800, String(gaps));
  assert.equal(asked[3].width, PACES[3].width);
});

test("a busy server is left alone as long as it says, and a refused state is dropped", async () => {
  const busy = { error: { code: "busy", message: "Busy.", retry_after_ms: 3000 } };
  const refused = { error: { code: "bad_state", message: "No." } };
  const { asked, failures } = await runLoop([makeAnswer(makeFace(1)), busy, refused, null]);
  assert.deepEqual(
    failures.map(([code, n]) => [code, n]),
    [
      ["busy", 1],
      ["bad_state", 2],
    ],
  );
  assert.ok(asked[2].timeS - asked[1].timeS >= 3);
  assert.deepEqual(
    asked.map(({ state }) => state),
    [null, { n: 1 }, { n: 1 }, null],
  );
  assert.equal(asked[3].width, PACES[1].width); // only the busy server lowers it
});

test("a hidden page sends nothing, and no frame is sent twice", async () => {
  let looks = 0;
  let frames = 0;
  const { clock } = await runLoop([makeAnswer(), null], {
    isPaused: () => (looks += 1) <= 4,
    countFrames: () => (frames += 1) >> 3,
  });
  assert.ok(clock.ms >= 1000 + 4 * 250 + 25 + 4);
});

test("an answer is late after 2.5 s, and one after the end is not shown", async () => {
  const late = [];
  const slow = async (clock, loop) => {
    late.push(loop.isLate);
    clock.ms += 2600;
    late.push(loop.isLate);
    return makeAnswer(makeFace(1));
  };
  const { seen, loop } = await runLoop([slow]);
  assert.deepEqual(late, [false, true]);
  assert.equal(loop.isLate, false);
  assert.deepEqual(seen, []);
});

test("each problem of a camera has a sentence", () => {
  const mediaDevices = { getUserMedia() {} };
  assert.equal(findObstacle({ isSecureContext: true, mediaDevices }), "");
  assert.match(findObstacle({ isSecureContext: false, mediaDevices }), /https.*localhost/);
  assert.match(findObstacle({ isSecureContext: true }), /Analyse a picture/);
  for (const [name, text] of [
    ["NotAllowedError", /is blocked/],
    ["NotFoundError", /No camera was found/],
    ["NotReadableError", /in use by another program/],
    ["OverconstrainedError", /not available any more/],
    ["AbortError", /could not be opened: because/],
  ]) {
    assert.match(describeError({ name, message: "because" }), text);
  }
});

test("a phone offers its sides first, a desk its cameras by name", () => {
  const devices = [
    { kind: "audioinput", deviceId: "m", label: "Microphone" },
    { kind: "videoinput", deviceId: "a", label: "" },
    { kind: "videoinput", deviceId: "b", label: "Desk" },
  ];
  const desk = listCameras(devices, { deviceId: "b" });
  assert.deepEqual(
    desk.map(({ text, chosen }) => [text, chosen]),
    [
      ["Camera 1", false],
      ["Desk", true],
    ],
  );
  const phone = listCameras(devices, { facingMode: "environment", deviceId: "b" });
  assert.deepEqual(
    phone.map(({ text }) => text),
    ["Front camera", "Back camera", "Camera 1", "Desk"],
  );
  assert.deepEqual(
    phone.filter(({ chosen }) => chosen).map(({ which }) => which),
    [{ facingMode: "environment" }],
  );
});

test("an explanation is put into words", () => {
  assert.equal(
    describeExplanation("calm", 0.7, { lowers: 0.55, raises: 0.12 }),
    "Hide the purple area and calm drops from 70 % to 15 %. " +
      "Hide the green area and calm rises from 70 % to 82 %.",
  );
  // The crop that is explained is a JPEG: its probability is not quite that of the picture.
  assert.match(describeExplanation("calm", 0.5, { lowers: 0.51, raises: 0.52 }), / 0 %.* 100 %\.$/);
  assert.match(describeExplanation("calm", 0.7, { lowers: 0.01, raises: 0 }), /^No single area/);
});

test("of several explanations the last one is asked for, once", async () => {
  const asked = [];
  const shown = [];
  const explanations = new Explanations(async (request) => {
    asked.push(request);
    return request === "bad" ? { error: { message: "No." } } : { map: request };
  });
  const request = (key) =>
    explanations.request(
      key,
      () => key,
      (answer) => shown.push(answer),
    );
  const settle = () => new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal(request("a"), false);
  assert.equal(request("b"), false);
  await settle();
  assert.deepEqual([asked, shown], [["b"], [{ map: "b" }]]);
  assert.equal(request("b"), true); // known
  request("bad");
  await settle();
  request("bad"); // an error is asked for again
  await settle();
  assert.deepEqual(asked, ["b", "bad", "bad"]);
  request("c");
  explanations.cancel(); // another picture
  await settle();
  assert.equal(shown.length, 4);
  assert.equal(asked.length, 3);
});

test("an explanation is stopped when another one is asked for", async () => {
  const signals = [];
  const explanations = new Explanations(
    (_, signal) => (signals.push(signal), new Promise(() => {})),
  );
  for (const key of ["0:calm", "1:calm"]) {
    explanations.request(key, () => ({}), assert.fail);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, false],
  );
});

test("keys move through a row, and pictures are known by their names", () => {
  assert.deepEqual(
    ["ArrowRight", "ArrowLeft", "Home", "End", "x"].map((key) => moveIndex(key, 2, 3)),
    [0, 1, 0, 2, undefined],
  );
  const endings = [".heic", ".jp2"];
  assert.ok(isPictureByName({ type: "", name: "IMG.HEIC" }, endings));
  assert.ok(!isPictureByName({ type: "image/heic", name: "a.heic" }, endings));
  assert.ok(!isPictureByName({ type: "", name: "a.txt" }, endings));
});

test("digits lead to a tab from anywhere, arrows from a tab, and no key from a field", () => {
  const tabs = ["live", "photo", "video"];
  assert.equal(tabOfKey("2", tabs, "elsewhere"), "photo");
  assert.equal(tabOfKey("2", tabs, "live"), "photo");
  assert.equal(tabOfKey("4", tabs, "elsewhere"), undefined);
  assert.equal(tabOfKey("ArrowRight", tabs, "video"), "live");
  assert.equal(tabOfKey("End", tabs, "live"), "video");
  assert.equal(tabOfKey("ArrowRight", tabs, "elsewhere"), undefined);
  const target = (field) => ({ closest: () => (field ? {} : null) });
  assert.equal(isKeyTaken({ target: target(true) }), true);
  assert.equal(isKeyTaken({ target: target(false) }), false);
  assert.equal(isKeyTaken({ target: target(false), ctrlKey: true }), true);
  assert.equal(isKeyTaken({ target: target(false), defaultPrevented: true }), true);
});

test("what is saved says what it is, within the picture", () => {
  const drawn = [];
  const context = {
    canvas: { width: 320, height: 240 },
    save: () => {},
    restore: () => {},
    resetTransform: () => {},
    measureText: (text) => ({ width: text.length * 5 }),
    fillRect: (...box) => drawn.push(box),
    fillText: (text, x, y) => drawn.push([text, x, y]),
  };
  drawGuess(context);
  const [[left, top, width, height], [text, x, y]] = drawn;
  assert.equal(text, GUESS);
  assert.equal(left, 0);
  assert.ok(width <= 320);
  assert.equal(top + height, 240);
  assert.ok(x > 0 && y > top && y < 240);
});
