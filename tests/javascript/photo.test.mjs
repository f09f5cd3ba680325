/* Who analyses a picture, and the files that are made of the answer. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Device } from "../../fer/web/common/device.js";
import { cancellable } from "../../fer/web/local/engine.js";
import { nameExcess, stemOf } from "../../fer/web/photo/device.js";
import { describeProblem, explainUnopened, isText, refuseText } from "../../fer/web/photo/kinds.js";
import { describeCount, listKinds, readingOrder, spokenName } from "../../fer/web/photo/faces.js";
import {
  describeResult,
  describeRoute,
  describeSent,
  routePicture,
} from "../../fer/web/photo/route.js";
import { shiftInto } from "../../fer/web/photo/zoom.js";
import { writeCsv } from "../../fer/web/photo/table.js";

const VALUE = { data: {} };
const opening = { open: async () => ({}), totalBytes: 9e6 };
const failing = { open: async () => Promise.reject(new Error("No SIMD.")) };

/** Routes a picture; returns the outcome, and what was asked of whom. */
async function route(options, { analyse = async () => VALUE, hasServer = true, wait } = {}) {
  const device = options instanceof Device ? options : new Device(options);
  const asked = [];
  const outcome = await routePicture({
    device,
    analyse: (isAlone) => (asked.push(isAlone ? "device alone" : "device"), analyse()),
    send: hasServer ? async () => void asked.push("server") : null,
    wait: wait || (() => new Promise(() => {})),
  });
  return { outcome, asked, device };
}

test("the device analyses a picture once it is loaded, and nothing is sent", async () => {
  for (const choice of ["auto", "device"]) {
    const { outcome, asked } = await route({ ...opening, choice });
    const who = choice === "auto" ? "device" : "device alone";
    assert.deepEqual([outcome, asked], [{ value: VALUE }, [who]]);
  }
});

test("the server analyses it if that is the choice, or the device is slow to load or fails", async () => {
  const never = { open: () => new Promise(() => {}) };
  const broken = async () => Promise.reject(new Error("Not a picture."));
  for (const [options, more, reason, asked] of [
    [{ ...opening, choice: "server" }, {}, "", ["server"]],
    [never, { wait: async () => {} }, "the recogniser was not loaded in time.", ["server"]],
    [failing, {}, "No SIMD.", ["server"]],
    [{ open: null }, {}, "", ["server"]],
    [opening, { analyse: broken }, "Not a picture.", ["device", "server"]],
  ]) {
    const found = await route(options, more);
    assert.deepEqual([found.outcome, found.asked], [{ sent: true, reason }, asked]);
  }
});

test("nothing is sent by who chose the device, nor without a server", async () => {
  const broken = async () => Promise.reject(new Error("Not a picture."));
  for (const more of [{}, { hasServer: false }]) {
    const choice = more.hasServer === false ? "auto" : "device";
    const { outcome, asked } = await route({ ...failing, choice }, more);
    assert.deepEqual([outcome, asked], [{ error: "No SIMD." }, []]);
    const second = await route({ ...opening, choice }, { analyse: broken, ...more });
    assert.deepEqual(
      [second.outcome, second.asked],
      [{ error: "Not a picture." }, ["device alone"]],
    );
  }
  // The next picture tries to load the recogniser again.
  let n = 0;
  const open = async () => ((n += 1) === 1 ? Promise.reject(new Error("Offline.")) : {});
  const device = new Device({ open, choice: "device" });
  assert.deepEqual((await route(device)).outcome, { error: "Offline." });
  assert.deepEqual((await route(device)).outcome, { value: VALUE });
});

test("the tab says where a picture goes, and where it went", async () => {
  const device = new Device(opening);
  assert.match(describeRoute(device, true), /this device if it can/);
  assert.match(describeRoute(device, false), /do not leave it/);
  const loaded = device.load();
  assert.match(
    describeRoute(device, true),
    /0\.0 of 9\.0 MB\. Then .*, unless this browser cannot/,
  );
  await loaded;
  assert.match(describeRoute(device, true), /do not leave it, unless this browser cannot open/);
  await device.choose("device");
  assert.match(describeRoute(device, true), /do not leave it\.$/);
  await device.choose("server");
  assert.match(describeRoute(device, true), /sent to the server/);
  const broken = new Device(failing);
  await broken.load();
  assert.match(describeRoute(broken, true), /sent to the server.*No SIMD/);
  assert.match(describeRoute(broken, false), /cannot be analysed on this device\. No SIMD/);
  assert.match(describeResult({ isSent: false, reason: "" }, true), /did not leave/);
  const compared = describeResult({ isSent: false, reason: "", isFaceSent: true }, true);
  assert.doesNotMatch(compared, /did not leave/);
  assert.match(compared, /sent to the server/);
  assert.equal(describeResult({ isSent: false, reason: "" }, false), "Analysed on this device.");
  const sent = describeResult({ isSent: true, reason: "No SIMD." }, true);
  assert.equal(sent, "Analysed on the server: No SIMD.");
  assert.equal(
    describeSent({ name: "a.heic", reason: "No." }),
    "a.heic was sent to the server: No.",
  );
  const several = describeResult({ isSent: true, reason: "", nFiles: 3 }, true);
  assert.match(several, /^Analysed on the server\. Of 3 files/);
});

/** A device whose recogniser is loaded when `ready` is called, and what a picture led to. */
function giveWhileLoading({
  choice,
  send = () => true,
  signal,
  wait = () => new Promise(() => {}),
}) {
  let ready;
  const device = new Device({
    open: () => new Promise((resolve) => (ready = () => resolve({}))),
    choice,
  });
  const asked = [];
  const outcome = routePicture({
    device,
    analyse: async (isAlone) => (asked.push(isAlone ? "device alone" : "device"), VALUE),
    send: async (mayGo) => (asked.push("server"), send(mayGo)),
    signal,
    wait,
  });
  return { device, asked, outcome, ready: () => ready() };
}

test("a choice that changes while the recogniser is loaded holds for the waiting picture", async () => {
  let endPatience;
  const wait = () => new Promise((resolve) => (endPatience = resolve));
  const kept = giveWhileLoading({ choice: "auto", wait });
  kept.device.choose("device");
  endPatience();
  await new Promise(setImmediate);
  assert.deepEqual(kept.asked, []);
  kept.ready();
  assert.deepEqual([await kept.outcome, kept.asked], [{ value: VALUE }, ["device alone"]]);

  const sent = giveWhileLoading({ choice: "device" });
  sent.device.choose("server");
  const outcome = await sent.outcome;
  assert.deepEqual([outcome, sent.asked], [{ sent: true, reason: "" }, ["server"]]);
});

test("a picture that waits for the server stays here once that is the choice", async () => {
  let goOn;
  const held = giveWhileLoading({
    choice: "server",
    send: async (mayGo) => {
      assert.equal(mayGo(), true);
      await new Promise((resolve) => (goOn = resolve));
      return mayGo();
    },
  });
  await new Promise(setImmediate);
  held.device.choose("device");
  goOn();
  await new Promise(setImmediate);
  held.ready();
  assert.deepEqual(
    [await held.outcome, held.asked],
    [{ value: VALUE }, ["server", "device alone"]],
  );
});

test("a picture that nobody wants any more is not sent", async () => {
  const control = new AbortController();
  const left = giveWhileLoading({ choice: "auto", signal: control.signal });
  control.abort();
  assert.ok((await left.outcome).error);
  assert.deepEqual(left.asked, []);
});

test("a recogniser that stopped is given up, one that refuses a picture is not", async () => {
  const recogniser = { isClosed: false };
  const device = new Device({ open: async () => recogniser });
  await assert.rejects(device.use(), { code: "failed" });
  await device.load();
  const broken = async () => Promise.reject(new Error("Stopped."));
  await assert.rejects(device.use(broken), /Stopped/);
  assert.equal(device.state, "ready");
  recogniser.isClosed = true;
  await assert.rejects(device.use(broken), /Stopped/);
  assert.deepEqual([device.state, device.problem], ["failed", "Stopped."]);
});

test("calls of a worker that stopped are rejected, those that wait and later ones", async () => {
  let worker;
  globalThis.location = { origin: "http://a", href: "http://a/" };
  globalThis.Worker = class {
    constructor() {
      worker = this;
    }
    postMessage({ id, method }) {
      if (method === "open") queueMicrotask(() => this.onmessage({ data: { id, result: {} } }));
    }
    terminate() {}
  };
  globalThis.URL.createObjectURL ||= () => "blob:a";
  const { open } = await import("../../fer/web/local/fer.js");
  const recogniser = await open("model/");
  const waiting = recogniser.picture({});
  worker.onerror({ message: "Gone." });
  const stopped = { code: "internal", message: "The recogniser stopped. Received: Gone." };
  await assert.rejects(waiting, stopped);
  assert.equal(recogniser.isClosed, true);
  await assert.rejects(recogniser.picture({}), stopped);
});

test("a picture that is cancelled is rejected at once, and its work ends", async () => {
  const posted = [];
  let answer;
  globalThis.Worker = class {
    constructor() {
      answer = (id) => this.onmessage({ data: { id, result: { id } } });
    }
    postMessage({ id, method, cancel }) {
      posted.push(cancel === undefined ? method : `cancel ${cancel}`);
      if (method === "open") queueMicrotask(() => answer(id));
    }
    terminate() {}
  };
  const { open } = await import("../../fer/web/local/fer.js");
  const recogniser = await open("model/");
  const control = new AbortController();
  const cancelled = recogniser.picture({}, control.signal);
  const next = recogniser.picture({}, new AbortController().signal);
  control.abort();
  await assert.rejects(cancelled, { code: "cancelled" });
  answer(2); // it was too late for the worker
  answer(3);
  assert.deepEqual(await next, { id: 3 });
  assert.deepEqual(posted, ["open", "picture", "picture", "cancel 2"]);
  let isClosed = false;
  const bitmap = { close: () => (isClosed = true) };
  await assert.rejects(recogniser.picture(bitmap, control.signal), { code: "cancelled" });
  assert.ok(isClosed);
  assert.equal(posted.length, 4);
});

test("what is cancelled asks for nothing more, once the message is heard", async () => {
  const control = new AbortController();
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => (port1.close(), control.abort());
  let n = 0;
  const work = cancellable(async () => {
    n += 1;
    if (n === 3) port2.postMessage("cancel");
  }, control.signal);
  await assert.rejects(
    (async () => {
      while (n < 1000) await work();
    })(),
    { name: "AbortError" },
  );
  assert.ok(n < 10, String(n));
  const plain = async () => 7;
  assert.equal(cancellable(plain, undefined), plain);
});

test("after the last byte the recogniser is being opened", () => {
  const device = new Device({ open: () => new Promise(() => {}), totalBytes: 2e6 });
  assert.match(device.progress, /0\.0 of 2\.0 MB/);
  device.bytes = 2e6;
  assert.equal(device.progress, "Opening the recogniser ...");
});

test("text and empty files are no pictures, and a refusal names the kind", async () => {
  const bytes = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));
  for (const text of [
    "Dear Sir",
    '<svg xmlns="...">',
    "\xef\xbb\xbf<svg/>",
    "\xff\xfeh\0i\0",
    "é\r\n\t",
  ])
    assert.ok(isText(bytes(text)), text);
  for (const [start, why] of [
    ["\xff\xd8\xff\xe0\0\x10JFIF", "it is cut off or damaged"],
    ["\x89PNG\r\n\x1a\n\0", "it is cut off or damaged"],
    ["RIFF\0\0\0\0WEBPVP8 ", "it is cut off or damaged"],
    ["\0\0\0\x20ftypavif\0", "it is cut off or damaged"],
    ["II*\0\x08\0\0\0", "it is of the kind TIFF, not JPEG"],
    ["\0\0\0\x18ftypheic\0", "it is of the kind HEIC, not JPEG"],
    ["\0\0\0\x0cjP  \r\n", "it is of the kind JPEG 2000, not JPEG"],
    ["\0\x01\x02", "it is no JPEG"],
  ]) {
    assert.ok(!isText(bytes(start)), start);
    assert.ok(explainUnopened(bytes(start)).startsWith(why), start);
    await refuseText(new Blob([bytes(start)]), "a");
  }
  for (const text of ["Dear Sir", ""]) {
    await assert.rejects(refuseText(new Blob([text]), "a.jpg"), { code: "no_picture" });
  }
});

test("a visitor reads plainly what the server tells programs", () => {
  for (const [message, said] of [
    ["bad.jpg must be a picture (JPEG, PNG). Received: text", /^bad\.jpg isn't a picture we can/],
    ["a\nb.jpg must be a picture. Received: an empty file", /^a\nb\.jpg isn't a picture/],
    ["a.jpg must be a whole picture. Received: a file that breaks off (x)", /^a\.jpg is damaged/],
    ["a.jpg must be a picture that can be decoded. Received: a damaged one (x)", /is damaged/],
  ])
    assert.match(describeProblem(message), said);
  const other = "a.jpg must have at most 64 megapixels. Received: 9000 x 9000 (81 megapixels)";
  assert.equal(describeProblem(other), other);
});

const faceAt = (x, y, side, label = "calm", p = 0.9, uncertain = false) => ({
  box_xyxy: [x, y, x + side, y + side],
  label,
  uncertain,
  probs: { calm: 1 - p, wild: 1 - p, [label]: p },
});

test("faces are numbered by rows, from left to right", () => {
  // Two rows of which the heads are not at one height, and a small face above all.
  const faces = [
    faceAt(300, 110, 60),
    faceAt(100, 300, 60),
    faceAt(200, 95, 60),
    faceAt(10, 320, 60),
    faceAt(100, 100, 60),
    faceAt(250, 10, 20),
  ];
  assert.deepEqual(readingOrder(faces), [5, 4, 2, 0, 3, 1]);
  assert.deepEqual(readingOrder([]), []);
  const line = Array.from({ length: 5 }, (_, i) => faceAt(400 - 90 * i, 100, 60));
  assert.deepEqual(readingOrder(line), [4, 3, 2, 1, 0]);
});

test("the kinds of faces are counted, those that are unsure also by their label", () => {
  const faces = [
    faceAt(0, 0, 9, "wild", 0.4, true),
    faceAt(0, 0, 9),
    faceAt(0, 0, 9),
    faceAt(0, 0, 9, "calm", 0.3, true),
  ];
  const kinds = listKinds(faces);
  assert.deepEqual(
    kinds.map(({ text }) => text),
    ["3 calm", "1 wild", "2 unsure"],
  );
  assert.deepEqual(
    kinds.map(({ matches }) => faces.map(matches)),
    [
      [false, true, true, true],
      [true, false, false, false],
      [true, false, false, true],
    ],
  );
  assert.deepEqual(
    listKinds(faces.slice(1, 3)).map(({ text }) => text),
    ["2 calm"],
  );
  assert.match(describeCount(faces), /^4 faces$/);
  assert.match(describeCount(faces.slice(0, 1)), /^1 face: .*wild/);
});

test("the name of a face's control begins with what is seen on it", () => {
  assert.equal(spokenName(faceAt(0, 0, 9), 13), "Face 13 calm 90 %");
  assert.equal(spokenName(faceAt(0, 0, 9, "wild", 0.4, true), 0), "Face wild? 40 %, unsure");
});

test("what is zoomed to moves into view, and what is larger than it to its middle", () => {
  assert.equal(shiftInto(40, 60, 30, 100), 0);
  assert.equal(shiftInto(10, 60, 30, 100), 20);
  assert.equal(shiftInto(90, 110, 30, 100), -10);
  assert.equal(shiftInto(-100, 100, 30, 100), 65);
});

test("a table has Python's columns and digits, and names are quoted", () => {
  const face = {
    label: 'b "x", y',
    uncertain: true,
    score: 0.9123,
    box_xyxy: [-1, 0.1, 1234.5, -0],
    probs: { a: 0.0001, 'b "x", y': 1 },
  };
  assert.equal(
    writeCsv({ class_names: ["a", 'b "x", y'], faces: [face] }),
    '"face","track_id","label","uncertain","score","x0","y0","x1","y1","p_a","p_b ""x"", y"\n' +
      '1,,"b ""x"", y",true,0.9123,-1,0.1,1234.5,-0,0.0001,1\n',
  );
});

test("names lose their ending, and sizes have a limit", () => {
  for (const [name, stem] of [
    ["a.b.jpg", "a.b"],
    ["photo", "photo"],
    [".jpg", ".jpg"],
    ["", "picture"],
  ])
    assert.equal(stemOf(name), stem);
  assert.equal(nameExcess(8000, 8000), "");
  assert.match(nameExcess(8001, 8000), /64 megapixels. Received: 8001 x 8000 \(64 megapixels\)/);
  assert.match(nameExcess(32_001, 10), /sides of at most 32000 pixels/);
});
