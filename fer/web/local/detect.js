/* The faces of a frame, with a second look at tilted ones: fer/detect.py. */

import { centerOf, longSide, rollOf } from "./geometry.js";
import { blank, invertAffine, resize, rotationMatrix, roundEven, warpAffine } from "./image.js";

// Of a picture of 48 pixels no more is found at 320 than at 192.
const MAX_ENLARGED = 4;
const MIN_SIDE = 32;
const MIN_FACE = 8; // a sliver that holds no face of this size only has false ones
// See fer/detect.py for the source of these.
const TILTED_DEGREES = 4;
const UPRIGHT_DEGREES = 2;
const MAX_LOOKS = 3;
const MAX_TILTED = 16;
const PATCH = 224;
const PATCH_FACES = 3;
const f = Math.fround;

/** What `/live_frame` does: at 640 and, where that finds nothing, at 320. */
export const WHOLE = [
  { longSide: 640, enlarge: false },
  { longSide: 320, enlarge: true },
];
/** A camera's frame, 30 times a second. */
export const FAST = [{ longSide: 320, enlarge: true }];

function fit(frame, look) {
  const long = Math.max(frame.width, frame.height);
  const scale = Math.min(look.longSide / long, look.enlarge ? MAX_ENLARGED : 1);
  const side = (length) => Math.max(1, roundEven(length * scale));
  const small = resize(frame, side(frame.width), side(frame.height));
  if (small.width >= MIN_SIDE && small.height >= MIN_SIDE) return { small, scale };
  const padded = blank(Math.max(small.width, MIN_SIDE), Math.max(small.height, MIN_SIDE), 3);
  for (let y = 0; y < small.height; y += 1) {
    const row = small.data.subarray(3 * y * small.width, 3 * (y + 1) * small.width);
    padded.data.set(row, 3 * y * padded.width);
  }
  return { small: padded, scale };
}

/**
 * Returns the faces of an RGB frame, best first.
 *
 * @param {Object} frame {width, height, channels, data}
 * @param {(image: Object) => Promise<Object[]>} find runs YuNet on a picture
 * @param {Object[]} looks the sizes to look at, until one has a face
 */
export async function detect(frame, find, looks = WHOLE) {
  let faces = [];
  let tried = "";
  for (const look of looks) {
    const { small, scale } = fit(frame, look);
    const shape = `${small.width}x${small.height}`;
    if (shape === tried || scale * Math.min(frame.width, frame.height) < MIN_FACE) break;
    tried = shape;
    const found = await find(small);
    if (!found.length) continue;
    const divided = (value) => f(value / f(scale));
    faces = found.map(({ box, score, landmarks }) => ({
      box: box.map(divided),
      score,
      landmarks: landmarks.map((point) => point.map(divided)),
    }));
    break;
  }
  const tilted = faces.filter((face) => Math.abs(rollOf(face.landmarks, face.box)) > TILTED_DEGREES);
  for (const face of tilted.slice(0, MAX_TILTED)) face.landmarks = await lookAgain(frame, face, find);
  return faces;
}

/** Returns the landmarks of a tilted face, found on a patch that turns it upright. */
async function lookAgain(frame, face, find) {
  const [x, y] = centerOf(face.box);
  const scale = PATCH / (PATCH_FACES * longSide(face.box));
  let points = face.landmarks;
  for (let look = 0; look < MAX_LOOKS; look += 1) {
    const matrix = rotationMatrix(x, y, rollOf(points, face.box), scale);
    matrix[2] += f(PATCH / 2 - x);
    matrix[5] += f(PATCH / 2 - y);
    const found = await find(warpAffine(frame, matrix, PATCH));
    const away = found.map(({ box }) => {
      const [u, v] = centerOf(box);
      return f(Math.hypot(f(u - PATCH / 2), f(v - PATCH / 2)));
    });
    const nearest = away.indexOf(Math.min(...away));
    if (nearest < 0 || away[nearest] > PATCH / (2 * PATCH_FACES)) break; // nobody, or somebody else
    const [a, b, c, d, e, g] = invertAffine(matrix);
    const left = rollOf(found[nearest].landmarks, found[nearest].box);
    points = found[nearest].landmarks.map(([u, v]) => [f(u * a + v * b + c), f(u * d + v * e + g)]);
    if (Math.abs(left) < UPRIGHT_DEGREES) break;
  }
  return points;
}
