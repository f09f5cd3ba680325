/* Opens the recogniser's files: each checked by its SHA-256, with progress in bytes. */

import { WEB_NAME, readConfig } from "./config.js";
import { openEngine } from "./engine.js";
import { LocalError, asLocalError, describeFile, describeOpening } from "./errors.js";
import { RUNTIME } from "./ort/version.js";

// As in fer/hub.py.
export const YUNET_NAME = "face_detection_yunet_2023mar.onnx";
export const YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4";

const ORT = new URL("./ort/", import.meta.url);
// How a WebAssembly file begins.
const WASM = [0, 97, 115, 109];
// A module with one instruction of 128 bits.
const SIMD = Uint8Array.of(
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  5,
  1,
  96,
  0,
  1,
  123,
  3,
  2,
  1,
  0,
  10,
  10,
  1,
  8,
  0,
  65,
  0,
  253,
  15,
  253,
  98,
  11,
);

/** Throws where the browser cannot run the recogniser: "no_wasm" or "no_simd". */
export function checkBrowser() {
  if (typeof WebAssembly !== "object") {
    throw new LocalError("no_wasm", "This browser has no WebAssembly, which the recogniser needs.");
  }
  if (!WebAssembly.validate(SIMD)) {
    throw new LocalError(
      "no_simd",
      "This browser's WebAssembly has no SIMD: Chrome 91, Firefox 89 or Safari 16.4 have it.",
    );
  }
}

async function readAll(stream, onBytes) {
  const parts = [];
  let size = 0;
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    onBytes(value.length);
  }
  const whole = new Uint8Array(size);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

/** Throws "hash" unless `bytes` have the SHA-256 `expected`. */
export async function checkHash(bytes, expected, name) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const received = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (received === expected) return;
  throw new LocalError(
    "hash",
    describeFile(name, "is damaged, or of another version"),
    `${name} must have sha256 ${expected}. Received: ${received}`,
  );
}

/** Fetches a file; `onBytes` gets the number of bytes of each piece. */
export async function fetchBytes(url, onBytes = () => {}) {
  const name = new URL(url).pathname.split("/").pop();
  const describe = (why) => describeFile(name, `cannot be fetched (${why})`);
  let reply;
  try {
    reply = await fetch(url);
  } catch (error) {
    throw new LocalError("fetch", describe("no answer"), `${url}: ${error.message}`);
  }
  if (!reply.ok) throw new LocalError("fetch", describe(`HTTP ${reply.status}`), url);
  try {
    return await readAll(reply.body, onBytes);
  } catch (error) {
    throw asLocalError(error, "cut_off", describeFile(name, "was cut off on its way"));
  }
}

/** Unpacks gzip; a file cut off is told as such. */
export async function unpack(bytes, name) {
  try {
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return await readAll(unpacked, () => {});
  } catch (error) {
    throw asLocalError(error, "cut_off", describeFile(name, "is cut off"));
  }
}

/** Returns onnxruntime-web with its WebAssembly in place, for one thread. */
export async function openRuntime(packed) {
  // Some hosts call a .gz file gzip-encoded, so that the browser has unpacked it.
  const isUnpacked = WASM.every((byte, i) => packed[i] === byte);
  const wasm = isUnpacked ? packed : await unpack(packed, RUNTIME.wasm);
  await checkHash(wasm, RUNTIME.wasmSha256, RUNTIME.wasm);
  try {
    const runtime = await import(new URL(RUNTIME.module, ORT));
    runtime.env.wasm.wasmBinary = wasm;
    runtime.env.wasm.numThreads = 1;
    runtime.env.logLevel = "error";
    return runtime;
  } catch (error) {
    throw asLocalError(error, "model", describeOpening("The runtime"));
  }
}

/**
 * Fetches, checks and opens everything.
 *
 * @param {string} base URL of the folder with fer.json, model_web.onnx and YuNet's file
 * @param {Object} [options]
 * @param {string} [options.decision] see `readConfig`
 * @param {string} [options.yunet] URL of YuNet's file, where it is elsewhere
 * @param {number[]} [options.logits] of the drawing of self_test.js: others are refused
 * @param {(bytes: number) => void} [options.onProgress] told the bytes that came so far
 * @returns the engine
 * @throws {LocalError}
 */
export async function openLocal(base, { decision, yunet, logits, onProgress = () => {} } = {}) {
  checkBrowser();
  if (!globalThis.crypto || !crypto.subtle) {
    throw new LocalError(
      "insecure",
      "The recogniser runs on pages with https, or on localhost, alone.",
    );
  }
  let sum = 0;
  const get = (url) => fetchBytes(url, (n) => onProgress((sum += n)));
  const at = (name) => new URL(name, base).href;
  const text = new TextDecoder().decode(await get(at("fer.json")));
  const config = readConfig(text, decision);
  const [packed, detector, classifier] = await Promise.all([
    get(new URL(RUNTIME.wasm, ORT).href),
    get(yunet || at(YUNET_NAME)),
    get(at(WEB_NAME)),
  ]);
  await checkHash(detector, YUNET_SHA256, YUNET_NAME);
  await checkHash(classifier, config.files[WEB_NAME], WEB_NAME);
  const engine = await openEngine(await openRuntime(packed), { config, detector, classifier });
  if (logits) await engine.check(logits);
  return engine;
}
