/* Which engine answers. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Device } from "../../fer/web/common/device.js";
import { Engines } from "../../fer/web/common/engines.js";
import { describeEngines, describeStart } from "../../fer/web/live/engine_switch.js";

const FACES = { faces: [], timing_ms: { wait: 0 }, state: {} };
const answering = (answer = FACES) => ({ live_frame: async () => answer });
const request = async (name) => ({ image: name });

/** Returns engines as a tab has them. */
function makeEngines({ server, openDevice, choice }) {
  return new Engines({ server, device: new Device({ open: openDevice, choice }) });
}

/** Answers `n` frames that take `ms` each, and returns which engine answered the last. */
async function frames(engines, n, ms = 10) {
  let time = 0;
  let last;
  for (let i = 0; i < n; i += 1) {
    last = await engines.live_frame(request, () => (time += ms));
  }
  return last.engine;
}

test("the server answers until the device is ready", async () => {
  let finish;
  const changes = [];
  const engines = makeEngines({
    server: answering(),
    openDevice: (onProgress) => new Promise((resolve) => (onProgress(7), (finish = resolve))),
  });
  engines.device.addEventListener("change", () => changes.push(engines.device.state));
  assert.equal(await frames(engines, 1), "server");
  const loaded = engines.device.load();
  assert.equal(engines.device.state, "loading");
  assert.equal(engines.device.bytes, 7);
  assert.equal(await frames(engines, 1), "server");
  finish(answering());
  await loaded;
  assert.equal(await frames(engines, 1), "device");
  assert.deepEqual(changes, ["loading", "loading", "ready"]);
});

test("the request is made for the engine that answers", async () => {
  const seen = [];
  const server = { live_frame: async ({ image }) => (seen.push(image), FACES) };
  const engines = makeEngines({ server, openDevice: async () => answering() });
  await frames(engines, 1);
  assert.deepEqual(seen, ["server"]);
});

test("three failures in a row bring the server back, and say why", async () => {
  const broken = { error: { code: "memory", message: "Not enough memory." } };
  let closed = false;
  const device = { ...answering(broken), close: () => (closed = true) };
  const engines = makeEngines({ server: answering(), openDevice: async () => device });
  await engines.device.load();
  assert.equal(await frames(engines, 3), "device");
  assert.equal(engines.device.state, "failed");
  assert.equal(engines.problem, "Not enough memory.");
  assert.ok(closed);
  assert.equal(await frames(engines, 1), "server");
});

test("a state that cannot be used is no failure of the device", async () => {
  const engines = makeEngines({
    server: answering(),
    openDevice: async () => answering({ error: { code: "bad_state", message: "" } }),
  });
  await engines.device.load();
  assert.equal(await frames(engines, 5), "device");
});

test("a slow device gives way to a quicker server, unless the visitor chose it", async () => {
  for (const [choice, engine] of [
    ["auto", "server"],
    ["device", "device"],
  ]) {
    const engines = makeEngines({
      server: answering(),
      openDevice: async () => answering(),
      choice,
    });
    await frames(engines, 20, 50);
    await engines.device.load();
    await frames(engines, 20, 400);
    assert.equal(await frames(engines, 1), engine);
    assert.equal(engines.device.state, "ready");
    assert.equal(Boolean(engines.problem), engine === "server");
    await engines.device.choose("device");
    assert.equal(await frames(engines, 1), "device");
  }
  const slowest = makeEngines({ server: answering(), openDevice: async () => answering() });
  await frames(slowest, 20, 900);
  await slowest.device.load();
  assert.equal(await frames(slowest, 20, 400), "device");
});

test("a device that cannot be opened leaves the server, and may be tried again", async () => {
  let n = 0;
  const engines = makeEngines({
    server: answering(),
    openDevice: async () => {
      n += 1;
      if (n === 1) throw new Error("no SIMD");
      return answering();
    },
  });
  await engines.device.load();
  assert.equal(engines.problem, "no SIMD");
  await engines.device.load();
  assert.equal(n, 1);
  assert.equal(await frames(engines, 1), "server");
  const loaded = engines.device.choose("device");
  assert.equal(engines.active, null);
  await loaded;
  assert.equal(await frames(engines, 1), "device");
  await engines.device.choose("server");
  assert.equal(await frames(engines, 1), "server");
});

test("a page without a server says that it loads, or why it cannot", async () => {
  const engines = makeEngines({
    server: null,
    openDevice: async () => Promise.reject(new Error("no wasm")),
  });
  assert.equal((await engines.live_frame(request)).error.code, "loading");
  await engines.device.load();
  const { error } = await engines.live_frame(request);
  assert.deepEqual([error.code, error.message], ["failed", "no wasm"]);
});

test("a frame that is made ready when the device is chosen is not sent", async () => {
  const engines = makeEngines({
    server: { live_frame: () => assert.fail("sent") },
    openDevice: () => new Promise(() => {}),
  });
  assert.equal(engines.active, "server");
  const answer = await engines.live_frame(async () => {
    engines.device.choose("device");
    return {};
  });
  assert.deepEqual([answer.engine, answer.error.code], [null, "loading"]);
});

test("a visitor who chose the device sends nothing to the server", async () => {
  const engines = makeEngines({
    server: { live_frame: () => assert.fail("sent") },
    openDevice: async () => answering({ error: { code: "memory", message: "Not enough memory." } }),
    choice: "device",
  });
  assert.equal((await engines.live_frame(request)).error.code, "loading");
  await engines.device.load();
  await frames(engines, 3);
  assert.equal((await engines.live_frame(request)).error.message, "Not enough memory.");
});

test("a visitor who wants the server loads nothing", async () => {
  const engines = makeEngines({
    server: answering(),
    openDevice: () => assert.fail("loaded"),
    choice: "server",
  });
  await engines.device.load();
  assert.equal(engines.active, "server");
});

test("tabs of a page share one device, and the choice", async () => {
  let n = 0;
  const device = new Device({ open: async () => ((n += 1), answering()) });
  const tabs = [0, 1].map(() => new Engines({ server: answering(), device }));
  await Promise.all(tabs.map((each) => each.device.load()));
  assert.equal(n, 1);
  for (const each of tabs) assert.equal(each.active, "device");
  await tabs[0].device.choose("server");
  for (const each of tabs) assert.equal(each.active, "server");
});

test("the page says what is sent once it is, and before what will be", async () => {
  const said = [];
  const note = (engines) => said.push([describeStart(engines), describeEngines(engines, false)]);
  const openDevice = async () => answering();
  for (const choice of ["auto", "server", "device"]) {
    const engines = makeEngines({ server: answering(), openDevice, choice });
    note(engines);
    await engines.device.load();
    note(engines);
  }
  const failing = makeEngines({
    server: answering(),
    openDevice: () => Promise.reject(new Error("no SIMD")),
  });
  await failing.device.load();
  note(failing);
  const [auto, autoReady, byServer, , device, deviceReady, failed] = said;
  assert.match(auto[0], /^Until this device takes over, small still pictures/);
  assert.match(byServer[0], /^Small still pictures go to this server/);
  assert.deepEqual([auto[1], byServer[1]], ["", ""]);
  for (const [text] of [autoReady, device, deviceReady])
    assert.match(text, /^Your video stays in this browser/);
  for (const [text] of [auto, byServer, failed]) assert.doesNotMatch(text, /stays/);
  assert.deepEqual(failed, [byServer[0], "Not on this device: no SIMD"]);
  assert.equal(
    describeEngines(failing, true),
    "Frames are sent to the server. Not on this device: no SIMD",
  );
});

test("a recogniser whose files are there is being opened", () => {
  const device = new Device({ open: async () => answering(), totalBytes: 8_400_000 });
  assert.match(device.progress, /0\.0 of 8\.4 MB/);
  device.bytes = 8_400_000;
  assert.equal(device.progress, "Opening the recogniser ...");
});
