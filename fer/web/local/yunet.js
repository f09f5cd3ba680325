/* YuNet: a picture to the input of the network, its outputs to faces: cv2.FaceDetectorYN. */

import { LocalError } from "./errors.js";

const STRIDES = [8, 16, 32];
const MULTIPLE = 32;
const SCORE = 0.6;
const OVERLAP = 0.3;
const f = Math.fround;

/** Returns an RGB picture as {data, dims}, blue first, padded to the right and below with 0. */
export function toPlanes({ width, height, data }) {
  const padded = (side) => MULTIPLE * (Math.floor((side - 1) / MULTIPLE) + 1);
  const [columns, rows] = [padded(width), padded(height)];
  const size = columns * rows;
  // A new buffer each time: an old one would keep pixels in the padding.
  const planes = new Float32Array(3 * size);
  for (let y = 0, from = 0; y < height; y += 1) {
    for (let x = 0, to = y * columns; x < width; x += 1, to += 1, from += 3) {
      planes[to] = data[from + 2];
      planes[size + to] = data[from + 1];
      planes[2 * size + to] = data[from];
    }
  }
  return { data: planes, dims: [1, 3, rows, columns] };
}

const unit = (value) => Math.min(Math.max(value, 0), 1);

function candidates(outputs, rows, columns) {
  const found = [];
  for (const stride of STRIDES) {
    const [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map(
      (name) => outputs[`${name}_${stride}`],
    );
    const across = Math.floor(columns / stride);
    const n = Math.floor(rows / stride) * across;
    for (let i = 0; i < n; i += 1) {
      const score = f(Math.sqrt(f(unit(cls[i]) * unit(obj[i]))));
      if (score < f(SCORE)) continue;
      const [column, row] = [i % across, Math.floor(i / across)];
      const width = f(f(Math.exp(bbox[4 * i + 2])) * stride);
      const height = f(f(Math.exp(bbox[4 * i + 3])) * stride);
      const x = f(f(f(column + bbox[4 * i]) * stride) - f(width / 2));
      const y = f(f(f(row + bbox[4 * i + 1]) * stride) - f(height / 2));
      const landmarks = [0, 1, 2, 3, 4].map((k) => [
        f(f(kps[10 * i + 2 * k] + column) * stride),
        f(f(kps[10 * i + 2 * k + 1] + row) * stride),
      ]);
      found.push({ x, y, width, height, score, landmarks });
    }
  }
  return found;
}

function overlap(a, b) {
  const [aw, ah, bw, bh] = [a.width, a.height, b.width, b.height].map(Math.trunc);
  const [ax, ay, bx, by] = [a.x, a.y, b.x, b.y].map(Math.trunc);
  if (aw * ah + bw * bh <= 0) return 1;
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  const shared = width > 0 && height > 0 ? width * height : 0;
  return f(shared / (aw * ah + bw * bh - shared));
}

const isFinite4 = (face) =>
  [face.x, face.y, face.width, face.height, ...face.landmarks.flat()].every(Number.isFinite);

/**
 * Returns the faces in YuNet's outputs, best first, in pixels of its input.
 *
 * @param {Object<string, Float32Array>} outputs cls, obj, bbox and kps of strides 8, 16 and 32
 * @param {number} rows of the padded input
 * @param {number} columns of the padded input
 */
export function decode(outputs, rows, columns) {
  const ordered = candidates(outputs, rows, columns).sort((a, b) => b.score - a.score);
  const kept = [];
  for (const face of ordered.slice(0, 5000)) {
    if (kept.every((better) => overlap(face, better) <= f(OVERLAP))) kept.push(face);
  }
  return kept
    .filter(isFinite4)
    .map(({ x, y, width, height, score, landmarks }) => ({
      box: [x, y, f(x + width), f(y + height)],
      score: Math.min(score, 1),
      landmarks,
    }))
    .filter(({ box: [x0, y0, x1, y1] }) => f(x1 - x0) >= 1 && f(y1 - y0) >= 1);
}

/*
 * YuNet's file is for pictures of 640 x 640 alone; its layers take any size. So the sizes that it
 * states are taken out of it: of the input, of the outputs and of the values between them.
 * Source: onnx.proto; numbers of fields: ModelProto.graph 7; GraphProto.input 11, output 12,
 * value_info 13; ValueInfoProto.type 2; TypeProto.tensor_type 1; Tensor.shape 2.
 */
const SIZES = { 7: { 11: { 2: { 1: { 2: null } } }, 12: { 2: { 1: { 2: null } } }, 13: null } };

function readVarint(bytes, at) {
  let value = 0;
  for (let shift = 1; ; shift *= 128, at += 1) {
    value += (bytes[at] & 127) * shift;
    if (bytes[at] < 128) return [value, at + 1];
    if (at >= bytes.length) throw new LocalError("model", "The face detector's file must be ONNX.");
  }
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

function without(bytes, fields) {
  const parts = [];
  for (let at = 0; at < bytes.length;) {
    const start = at;
    let key, size;
    [key, at] = readVarint(bytes, at);
    const [number, kind] = [key >> 3, key & 7];
    if (kind === 2) {
      [size, at] = readVarint(bytes, at);
      at += size;
    } else if (kind === 0) [, at] = readVarint(bytes, at);
    else at += kind === 5 ? 4 : 8;
    if (at > bytes.length) throw new LocalError("model", "The face detector's file must be ONNX.");
    if (kind !== 2 || !(number in fields)) parts.push(bytes.subarray(start, at));
    else if (fields[number]) {
      const inner = without(bytes.subarray(at - size, at), fields[number]);
      parts.push(Uint8Array.from([...varint(key), ...varint(inner.length)]), inner);
    }
  }
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

/** Returns YuNet's ONNX file for pictures of any size. */
export function freeSizes(bytes) {
  return without(bytes, SIZES);
}
