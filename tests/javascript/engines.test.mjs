/* Which engine answers. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Engines } from "../../fer/web/common/engines.js";

const FACES = { faces: [], timing_ms: { wait: 0 }, state: {} };
const answering = (answer = FACES) => ({ live_frame: async () => answer });
const request = async (name) => ({ image: name });

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
  const engines = new Engines({
    server: answering(),
    openDevice: (onProgress) => new Promise((resolve) => (onProgress(7), (finish = resolve))),
    onChange: () => changes.push(engines && engines.device),
  });
  assert.equal(await frames(engines, 1), "server");
  const loaded = engines.load();
  assert.equal(engines.device, "loading");
  assert.equal(engines.bytes, 7);
  assert.equal(await frames(engines, 1), "server");
  finish(answering());
  await loaded;
  assert.equal(await frames(engines, 1), "device");
  assert.deepEqual(changes, ["loading", "loading", "ready"]);
});

test("the request is made for the engine that answers", async () => {
  const seen = [];
  const server = { live_frame: async ({ image }) => (seen.push(image), FACES) };
  const engines = new Engines({ server, openDevice: async () => answering() });
  await frames(engines, 1);
  assert.deepEqual(seen, ["server"]);
});

test("three failures in a row bring the server back, and say why", async () => {
  const broken = { error: { code: "memory", message: "Not enough memory." } };
  let closed = false;
  const device = { ...answering(broken), close: () => (closed = true) };
  const engines = new Engines({ server: answering(), openDevice: async () => device });
  await engines.load();
  assert.equal(await frames(engines, 3), "device");
  assert.equal(engines.device, "failed");
  assert.equal(engines.problem, "Not enough memory.");
  assert.ok(closed);
  assert.equal(await frames(engines, 1), "server");
});

test("a state that cannot be used is no failure of the device", async () => {
  const engines = new Engines({
    server: answering(),
    openDevice: async () => answering({ error: { code: "bad_state", message: "" } }),
  });
  await engines.load();
  assert.equal(await frames(engines, 5), "device");
});

test("a slow device gives way to a quicker server, unless the visitor chose it", async () => {
  for (const [choice, engine] of [
    ["auto", "server"],
    ["device", "device"],
  ]) {
    const engines = new Engines({
      server: answering(),
      openDevice: async () => answering(),
      choice,
    });
    await frames(engines, 20, 50);
    await engines.load();
    await frames(engines, 20, 400);
    assert.equal(await frames(engines, 1), engine);
  }
  const slowest = new Engines({ server: answering(), openDevice: async () => answering() });
  await frames(slowest, 20, 900);
  await slowest.load();
  assert.equal(await frames(slowest, 20, 400), "device");
});

test("a device that cannot be opened leaves the server, and may be tried again", async () => {
  let n = 0;
  const engines = new Engines({
    server: answering(),
    openDevice: async () => {
      n += 1;
      if (n === 1) throw new Error("no SIMD");
      return answering();
    },
  });
  await engines.load();
  assert.equal(engines.problem, "no SIMD");
  await engines.load();
  assert.equal(n, 1);
  assert.equal(await frames(engines, 1), "server");
  const loaded = engines.choose("device");
  assert.equal(engines.active, null);
  await loaded;
  assert.equal(await frames(engines, 1), "device");
  await engines.choose("server");
  assert.equal(await frames(engines, 1), "server");
});

test("a page without a server says that it loads, or why it cannot", async () => {
  const engines = new Engines({
    server: null,
    openDevice: async () => Promise.reject(new Error("no wasm")),
  });
  assert.equal((await engines.live_frame(request)).error.code, "loading");
  await engines.load();
  const { error } = await engines.live_frame(request);
  assert.deepEqual([error.code, error.message], ["failed", "no wasm"]);
});

test("a visitor who chose the device sends nothing to the server", async () => {
  const engines = new Engines({
    server: { live_frame: () => assert.fail("sent") },
    openDevice: async () => answering({ error: { code: "memory", message: "Not enough memory." } }),
    choice: "device",
  });
  assert.equal((await engines.live_frame(request)).error.code, "loading");
  await engines.load();
  await frames(engines, 3);
  assert.equal((await engines.live_frame(request)).error.message, "Not enough memory.");
});

test("a visitor who wants the server loads nothing", async () => {
  const engines = new Engines({
    server: answering(),
    openDevice: () => assert.fail("loaded"),
    choice: "server",
  });
  await engines.load();
  assert.equal(engines.active, "server");
});
