/* Where the detector looks in a frame: one quick look, or in full at several scales. See
 * fer/search.py for how it goes and for the source of each number. */

import { centerOf, longSide } from "./geometry.js";
import { blank, resize, roundEven } from "./image.js";

const MIN_FACE = 24;
const MAX_PIXELS = 4_000_000;
const LONG_SIDE = 640;
const SECOND_LONG_SIDE = 320;
const MAX_ENLARGED = 4;
const MIN_SIDE = 64;
const SLIVER = 8;
const LEAST_INSIDE = 0.25;
const SURE = 16;
const SMALL = 24;
const MIN_RATIO = 1.2;
const MAX_FINE = 96;
const ALONE_SCORE = 0.8;
const TILE = 1280;
const OVERLAP = 128;
const TOLERANCE = 4;
const SAME_FACE = 0.3;
const PART_OF_FACE = 0.7;
const f = Math.fround;

/** Cuts a part out of a picture. */
function cut(image, left, top, right, bottom) {
  const { width, channels, data } = image;
  if (left === 0 && top === 0 && right === width && bottom === image.height) return image;
  const part = blank(right - left, bottom - top, channels);
  for (let y = top; y < bottom; y += 1) {
    const row = data.subarray((y * width + left) * channels, (y * width + right) * channels);
    part.data.set(row, (y - top) * part.width * channels);
  }
  return part;
}

/** Pads slivers on the right and below. */
function pad(image) {
  const { width, height, channels, data } = image;
  if (width >= MIN_SIDE && height >= MIN_SIDE) return image;
  const padded = blank(Math.max(width, MIN_SIDE), Math.max(height, MIN_SIDE), channels);
  const row = width * channels;
  for (let y = 0; y < height; y += 1) {
    padded.data.set(data.subarray(y * row, (y + 1) * row), y * padded.width * channels);
  }
  return padded;
}

function scaleTo(image, scale) {
  const side = (length) => Math.max(1, roundEven(length * scale));
  return resize(image, side(image.width), side(image.height));
}

function fit(frame, long, enlarge) {
  const scale = Math.min(long / Math.max(frame.width, frame.height), enlarge ? MAX_ENLARGED : 1);
  return { small: scaleTo(frame, scale), scale };
}

/** Returns the faces of a picture of any shape, of which enough lies in it. */
async function findIn(image, find) {
  const whole = [0, 0, image.width, image.height];
  const faces = await find(pad(image));
  return faces.filter(({ box }) => sharedBy(whole, box)[0] >= f(f(LEAST_INSIDE) * areaOf(box)));
}

/** Returns faces with each x and each y changed by a function. */
function mapped(faces, x, y) {
  return faces.map(({ box: [x0, y0, x1, y1], score, landmarks }) => ({
    box: [x(x0), y(y0), x(x1), y(y1)],
    score,
    landmarks: landmarks.map(([u, v]) => [x(u), y(v)]),
  }));
}

function scaled(faces, scale) {
  const divided = (value) => f(value / f(scale));
  return mapped(faces, divided, divided);
}

const isSliver = (frame, scale) => scale * Math.min(frame.width, frame.height) < SLIVER;

async function look(frame, find, long = LONG_SIDE, enlarge = false) {
  const { small, scale } = fit(frame, long, enlarge);
  return isSliver(frame, scale) ? [] : scaled(await findIn(small, find), scale);
}

async function lookSmaller(frame, find) {
  const { small } = fit(frame, SECOND_LONG_SIDE, true);
  const { small: tried } = fit(frame, LONG_SIDE, false);
  if (small.width === tried.width && small.height === tried.height) return [];
  return look(frame, find, SECOND_LONG_SIDE, true);
}

/** Returns the faces of one look at 640 pixels and, where that finds none, of one at 320. */
export async function lookOnce(frame, find) {
  const faces = await look(frame, find);
  return faces.length ? faces : lookSmaller(frame, find);
}

/** Returns the faces of one look at 320 pixels: half the time, for 30 frames a second. */
export function lookFast(frame, find) {
  return look(frame, find, SECOND_LONG_SIDE, true);
}

/** Returns the faces of a look at 640 and at larger scales, and where all find none at 320. */
export async function search(frame, find) {
  let looks = [await look(frame, find)];
  let source = frame;
  const scales = fineScales(frame.width, frame.height);
  for (const scale of scales) {
    const side = (length) => Math.max(1, roundEven(length * scale));
    source = resize(source, side(frame.width), side(frame.height));
    const faces = await lookAtTiles(source, find);
    looks.push(
      scaled(
        faces.filter((face) => longSide(face.box) <= MAX_FINE),
        scale,
      ),
    );
  }
  if (scales.length) {
    const first = LONG_SIDE / Math.max(frame.width, frame.height);
    looks = confirmed(looks, SURE / (scales.length > 1 ? scales[1] : first), SMALL / first);
  }
  let faces = merge(looks);
  if (!faces.length) faces = await lookSmaller(frame, find);
  return faces.length ? faces : lookSideways(frame, find);
}

/** Returns the faces of a look at the frame turned to the left, and of one to the right. */
async function lookSideways(frame, find) {
  const { small, scale } = fit(frame, LONG_SIDE, false);
  if (isSliver(frame, scale)) return [];
  const { width, height } = small;
  const looks = [];
  for (const isLeft of [true, false]) {
    const found = await findIn(turned(small, isLeft), find);
    const back = isLeft ? ([x, y]) => [f(width - y), x] : ([x, y]) => [y, f(height - x)];
    looks.push(
      found
        .filter(({ score }) => score >= f(ALONE_SCORE))
        .map(({ box: [x0, y0, x1, y1], score, landmarks }) => {
          const [[u0, v0], [u1, v1]] = [back([x0, y0]), back([x1, y1])];
          const box = [Math.min(u0, u1), Math.min(v0, v1), Math.max(u0, u1), Math.max(v0, v1)];
          return { box, score, landmarks: landmarks.map(back) };
        }),
    );
  }
  return scaled(merge(looks), scale);
}

/** Returns a picture turned by a quarter to the left or to the right. */
function turned({ width, height, channels, data }, isLeft) {
  const made = blank(height, width, channels);
  for (let y = 0; y < width; y += 1) {
    for (let x = 0; x < height; x += 1) {
      const from = isLeft ? x * width + width - 1 - y : (height - 1 - x) * width + y;
      for (let k = 0; k < channels; k += 1)
        made.data[(y * height + x) * channels + k] = data[from * channels + k];
    }
  }
  return made;
}

function fineScales(width, height) {
  const first = LONG_SIDE / Math.max(width, height);
  const scales = [];
  let scale = Math.min(SURE / MIN_FACE, Math.sqrt(MAX_PIXELS / (width * height)));
  for (; scale > MIN_RATIO * first && scale * Math.min(width, height) >= SLIVER; scale /= 2) {
    scales.push(scale);
  }
  return scales;
}

/** Cuts a length into tiles [begin, end, low, high]: a face is of the tile that has its centre. */
function parts(length) {
  const n = Math.max(1, Math.ceil((length - OVERLAP) / (TILE - OVERLAP)));
  const size = Math.ceil((length + (n - 1) * OVERLAP) / n);
  const begins = Array.from({ length: n }, (_, i) =>
    roundEven((i * (length - size)) / Math.max(1, n - 1)),
  );
  return begins.map((begin, i) => [
    begin,
    begin + size,
    i === 0 ? -Infinity : (begin + begins[i - 1] + size) / 2 - TOLERANCE,
    i === n - 1 ? Infinity : (begins[i + 1] + begin + size) / 2 + TOLERANCE,
  ]);
}

async function lookAtTiles(image, find) {
  const all = [];
  for (const [top, bottom, yLow, yHigh] of parts(image.height)) {
    for (const [left, right, xLow, xHigh] of parts(image.width)) {
      // The last tile may end beyond the picture by what was rounded up.
      const [r, b] = [Math.min(right, image.width), Math.min(bottom, image.height)];
      const found = await findIn(cut(image, left, top, r, b), find);
      const faces = mapped(
        found,
        (x) => f(x + left),
        (y) => f(y + top),
      );
      all.push(
        ...faces.filter(({ box }) => {
          const [x, y] = centerOf(box);
          return x > xLow && x < xHigh && y > yLow && y < yHigh;
        }),
      );
    }
  }
  return all;
}

const areaOf = ([x0, y0, x1, y1]) => f(f(x1 - x0) * f(y1 - y0));

/** Returns the areas [shared, union] of two boxes. */
function sharedBy(a, b) {
  const width = f(Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = f(Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const shared = f(Math.max(width, 0) * Math.max(height, 0));
  return [shared, f(f(areaOf(a) + areaOf(b)) - shared)];
}

/** Drops the uncertain boxes that one scale alone has, but for those that it alone can see. */
function confirmed(looks, fine, large) {
  return looks.map((faces, i) => {
    const others = looks.flatMap((each, j) => (i === j ? [] : each));
    return faces.filter(({ box, score }) => {
      const side = longSide(box);
      if (score >= f(ALONE_SCORE) || (i === 0 && side >= f(large)) || (i === 1 && side < f(fine)))
        return true;
      return others.some((other) => {
        const [shared, union] = sharedBy(box, other.box);
        return shared > f(f(SAME_FACE) * union);
      });
    });
  });
}

/** Returns each face of several looks once, best first. */
function merge(looks) {
  const all = looks.flatMap((faces, i) => faces.map((face) => ({ ...face, i })));
  all.sort((a, b) => b.score - a.score);
  const kept = [];
  for (const face of all) {
    const isSame = kept.some((better) => {
      const [shared, union] = sharedBy(face.box, better.box);
      if (shared > f(f(SAME_FACE) * union)) return true;
      return shared > f(f(PART_OF_FACE) * areaOf(face.box)) && face.i !== better.i;
    });
    if (!isSame) kept.push(face);
  }
  return kept.map(({ i, ...face }) => face);
}
