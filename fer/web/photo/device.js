/*
 * A picture analysed on this device: what fer/web/server/jobs.py makes of a picture on the server,
 * `show_picture`, made in the browser. The picture is decoded by the browser and goes nowhere.
 */

import { drawGuess } from "../common/guess.js";
import { LocalError } from "../local/errors.js";
import { fromRgba } from "../local/image.js";
import { drawFaces } from "./annotate.js";
import { explainUnopened, readHead, refuseText } from "./kinds.js";
import { writeCsv } from "./table.js";

/** As the server takes them: fer/image.py. */
export const MAX_PIXELS = 64_000_000;
export const MAX_SIDE_PX = 32_000;

// As fer/web/server/jobs.py.
const SHOWN_LONG_SIDE_PX = 2048;
const JPEG_QUALITY = 0.9;
// The largest canvas that phones make: a picture with boxes is reduced to that.
const MAX_CANVAS_PIXELS = 16_000_000;
// The server heeds no profile of colours either, so that both answer alike.
const DECODING = { colorSpaceConversion: "none" };
const MAYBE_ANIMATED = ["image/gif", "image/webp", "image/png", "image/avif"];
// Up to the number of bits.
const PNG_HEAD_BYTES = 25;
const DEEP = "its 16 bits a colour were reduced to 8";
const ANIMATED = "the first picture of an animation was read";

/** Returns the name of a file without its ending. */
export const stemOf = (name) => name.replace(/(.)\.[^.]*$/, "$1") || "picture";

/** Returns what a size must be, and what came; "" where it is not too large. */
export function nameExcess(width, height) {
  const pixels = width * height;
  if (pixels > MAX_PIXELS) {
    const came = `${width} x ${height} (${Math.round(pixels / 1e6)} megapixels)`;
    return `must have at most ${MAX_PIXELS / 1e6} megapixels. Received: ${came}`;
  }
  if (Math.max(width, height) > MAX_SIDE_PX)
    return `must have sides of at most ${MAX_SIDE_PX} pixels. Received: ${width} x ${height}`;
  return "";
}

async function cannotOpen(blob, name) {
  const why = explainUnopened(await readHead(blob));
  return new LocalError("bad_image", `this browser cannot open ${name}: ${why}.`);
}

/** Throws unless the browser knows the picture, by its head, and it is small enough. */
async function checkPicture(blob, name) {
  const url = URL.createObjectURL(blob);
  try {
    const image = new Image();
    const isOpen = await new Promise((resolve) => {
      Object.assign(image, { onload: () => resolve(true), onerror: () => resolve(false) });
      image.src = url;
    });
    if (!isOpen) throw await cannotOpen(blob, name);
    const excess = nameExcess(image.naturalWidth, image.naturalHeight);
    if (excess) throw new LocalError("too_large", `${name} ${excess}.`);
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function decode(blob, name) {
  try {
    return await createImageBitmap(blob, DECODING);
  } catch (error) {
    if (error.name === "InvalidStateError") throw await cannotOpen(blob, name);
    throw new LocalError("memory", `${name} needs more memory than this device has free.`);
  }
}

/** Whether the file is a PNG of 16 bits: browsers show the upper 8, the server those in use. */
async function isDeep(blob) {
  const head = new Uint8Array(await blob.slice(0, PNG_HEAD_BYTES).arrayBuffer());
  return String.fromCharCode(...head.slice(1, 4)) === "PNG" && head[PNG_HEAD_BYTES - 1] === 16;
}

/** Whether the file holds several pictures, as far as this browser tells. */
async function isAnimated(blob) {
  if (!globalThis.ImageDecoder || !MAYBE_ANIMATED.includes(blob.type)) return false;
  if (!(await ImageDecoder.isTypeSupported(blob.type))) return false;
  const decoder = new ImageDecoder({ data: blob.stream(), type: blob.type });
  try {
    await decoder.tracks.ready;
    await decoder.completed;
    return decoder.tracks.selectedTrack.frameCount > 1;
  } catch {
    return false;
  } finally {
    decoder.close();
  }
}

/** Returns a canvas with a bitmap on white, reduced by `scale`, and the context in its pixels. */
function drawBitmap(bitmap, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.scale(canvas.width / bitmap.width, canvas.height / bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return { canvas, context };
}

async function toJpeg(canvas) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  if (blob) return blob;
  throw new LocalError("memory", "this device has not enough free memory for the picture.");
}

/** Returns an RGB picture {width, height, data} as the data URL of a JPEG. */
function toDataUrl({ width, height, data }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  for (let i = 0, j = 0; j < data.length; i += 4, j += 3) {
    pixels.data.set(data.subarray(j, j + 3), i);
    pixels.data[i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas.toDataURL("image/jpeg", JPEG_QUALITY);
}

/** Returns the picture of a data URL as RGB {width, height, channels: 3, data}. */
async function fromDataUrl(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return fromRgba(context.getImageData(0, 0, width, height).data, width, height);
}

/**
 * Explains a face on this device, also one that the server found.
 *
 * @param {import("../common/device.js").Device} device which is loaded if it is not
 * @param {Object} crop RGB picture of the face
 * @returns {Promise<Object>} as the server's `explain_face`
 * @throws {LocalError} of the recogniser
 */
async function explainCrop(device, crop, class_index, signal) {
  await device.load(true);
  const answer = await device.use((recogniser) => recogniser.explain(crop, class_index, signal));
  return { ...answer, map: toDataUrl(answer.map) };
}

/** Explains on this device a face whose crop is a data URL, as `explainCrop`. */
export const explainDataUrl = async (device, { crop, class_index }, signal) =>
  explainCrop(device, await fromDataUrl(crop), class_index, signal);

/** Returns a JPEG of the picture at its own size with boxes, or as large as a canvas may be. */
async function annotate(blob, data, classes) {
  const bitmap = await decode(blob, "the picture");
  const scale = Math.min(1, Math.sqrt(MAX_CANVAS_PIXELS / (bitmap.width * bitmap.height)));
  const { canvas, context } = drawBitmap(bitmap, scale);
  bitmap.close();
  drawFaces(context, data, classes);
  drawGuess(context);
  return toJpeg(canvas);
}

/**
 * Analyses a picture on this device.
 *
 * @param {Blob} blob a file of a picture
 * @param {string} name of the file
 * @param {Object} options
 * @param {import("../common/device.js").Device} options.device whose recogniser is ready
 * @param {import("../common/classes.js").Classes} options.classes
 * @param {boolean} options.isAlone whether no server may read what this browser reads less well
 * @param {AbortSignal} options.signal ends the work, as nobody waits any more
 * @returns {Promise<Object>} as `Pictures.show` of fer/web/photo/view.py: `name`, `data`, `csv`,
 *   `crops`, `shown` {url}, `annotated` {orig_name, make: () => Promise<Blob>}; and
 *   `explain({face, class_index}, signal)`, as the server's `explain_face`, and `release()`, which
 *   gives the memory of `shown` back
 * @throws {LocalError} "no_picture", "bad_image", "too_large", "memory", or of the recogniser
 * @throws {DOMException} by `signal`
 */
export async function analysePicture(blob, name, { device, classes, isAlone, signal }) {
  await refuseText(blob, name);
  await checkPicture(blob, name);
  const notes = (await isDeep(blob)) ? [DEEP] : [];
  if (notes.length && !isAlone) {
    throw new LocalError("bad_image", `${name} has 16 bits a colour, and a browser reads 8.`);
  }
  signal.throwIfAborted();
  const bitmap = await decode(blob, name);
  const longSide = Math.max(bitmap.width, bitmap.height);
  const { canvas } = drawBitmap(bitmap, Math.min(1, SHOWN_LONG_SIDE_PX / longSide));
  const preview = await toJpeg(canvas);
  const { data, crops } = await device.use((recogniser) => recogniser.picture(bitmap, signal));
  const shown = URL.createObjectURL(preview);
  if (await isAnimated(blob)) notes.push(ANIMATED);
  if (notes.length) data.notes = notes;
  const stem = stemOf(name);
  return {
    name: stem,
    data,
    csv: writeCsv(data),
    crops: crops.map(toDataUrl),
    shown: { url: shown },
    annotated: {
      orig_name: `${stem}_expressions.jpg`,
      make: () => annotate(blob, data, classes),
    },
    explain: ({ face, class_index }, signal) =>
      explainCrop(device, crops[face], class_index, signal),
    release: () => URL.revokeObjectURL(shown),
  };
}
