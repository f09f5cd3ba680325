/* fer.js, as other pages call it: whatever it is given, an error has a code. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { LocalError, open } from "../../fer/web/local/fer.js";

/** A worker that opens at once, and refuses what cannot be cloned, as browsers do. */
class FakeWorker {
  postMessage(message) {
    structuredClone(message);
    queueMicrotask(() => this.onmessage({ data: { id: message.id, result: {} } }));
  }
  terminate() {}
}

globalThis.location = { origin: "null", href: "https://example.org/" };
globalThis.ImageData = class {};
globalThis.Worker = FakeWorker;
globalThis.createImageBitmap = async (picture) => {
  if (picture && picture.isTainted) return { clone: () => {} };
  if (!picture) throw new TypeError("not of type ImageBitmapSource");
  throw new DOMException("The source image could not be decoded.", "InvalidStateError");
};

const isBadFrame = (error) => {
  assert.ok(error instanceof LocalError);
  assert.equal(error.code, "bad_frame");
  assert.ok(error.detail);
  return true;
};

test("what is no picture is told with a code", async () => {
  const recogniser = await open();
  for (const picture of [undefined, null, "a.jpg", {}, { isTainted: true }]) {
    await assert.rejects(recogniser.image(picture), isBadFrame);
    await assert.rejects(recogniser.live_frame({ image: picture }), isBadFrame);
  }
  await assert.rejects(recogniser.live_frame(), isBadFrame);
});

test("a recogniser that cannot be started is told with a code", async () => {
  await assert.rejects(open("https://["), { name: "LocalError", code: "internal" });
  globalThis.Worker = function () {
    throw new DOMException("not from a file", "SecurityError");
  };
  await assert.rejects(open(), { name: "LocalError", code: "internal" });
});
