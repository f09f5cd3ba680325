/* The faces of a frame; those that are tilted, on their side or on their head are looked at again:
 * fer/detect.py, which has the source of each number. */

import { centerOf, longSide, rollOf } from "./geometry.js";
import { invertAffine, rotationMatrix, warpAffine } from "./image.js";
import { lookFast, lookOnce, search } from "./search.js";

const TILTED_DEGREES = 4;
const UPRIGHT_DEGREES = 2;
const MAX_LOOKS = 3;
const MAX_TILTED = 16;
const PATCH = 224;
const PATCH_FACES = 3;
const CERTAIN = 0.9;
const GAIN = 0.05;
const TURNS = [180, 90, -90];
const f = Math.fround;

// By how closely a frame is looked at: where to look, and how many uncertain faces to turn.
const WAYS = {
  full: { look: search, maxTurned: 16 },
  glance: { look: lookOnce, maxTurned: 2 },
  fast: { look: lookFast, maxTurned: 2 },
};

/**
 * Returns the faces of an RGB frame, best first.
 *
 * @param {Object} frame {width, height, channels, data}
 * @param {(image: Object) => Promise<Object[]>} find runs YuNet on a picture
 * @param {"full"|"glance"|"fast"} way "full" and "glance" as on the server, "fast" at 320 pixels
 */
export async function detect(frame, find, way = "full") {
  const { look, maxTurned } = WAYS[way];
  const faces = await look(frame, find);
  const uncertain = faces.filter((face) => face.score < f(CERTAIN));
  for (const face of uncertain.slice(0, maxTurned)) {
    Object.assign(face, await lookTurned(frame, face, find));
  }
  const tilted = faces.filter(
    (face) => Math.abs(rollOf(face.landmarks, face.box)) > TILTED_DEGREES,
  );
  for (const face of tilted.slice(0, MAX_TILTED))
    face.landmarks = await lookAgain(frame, face, find);
  return faces;
}

/** Returns box and landmarks of a face that is more certain when turned, or nothing. */
async function lookTurned(frame, face, find) {
  const { found: upright } = await lookAtPatch(frame, face, 0, find);
  if (upright && upright.score >= f(CERTAIN)) return {};
  let least = Math.max(face.score, upright ? f(upright.score + f(GAIN)) : 0);
  let best = {};
  for (const degrees of TURNS) {
    const { found, back } = await lookAtPatch(frame, face, degrees, find);
    if (!found || found.score <= least) continue;
    least = found.score;
    best = moved(found, back);
  }
  return best;
}

/** Looks at a face turned about its centre: the face on the patch if it is there, the way back. */
async function lookAtPatch(frame, face, degrees, find) {
  const [x, y] = centerOf(face.box);
  const matrix = rotationMatrix(x, y, degrees, PATCH / (PATCH_FACES * longSide(face.box)));
  matrix[2] += f(PATCH / 2 - x);
  matrix[5] += f(PATCH / 2 - y);
  let nearest = PATCH / (2 * PATCH_FACES);
  let found = null;
  for (const each of await find(warpAffine(frame, matrix, PATCH))) {
    const [u, v] = centerOf(each.box);
    const away = f(Math.hypot(f(u - PATCH / 2), f(v - PATCH / 2)));
    if (away > nearest || (found && away === nearest)) continue; // somebody else
    nearest = away;
    found = each;
  }
  return { found, back: invertAffine(matrix) };
}

/** Returns the box around the corners, and the landmarks, of a face moved by `matrix`. */
function moved({ box: [x0, y0, x1, y1], landmarks }, [a, b, c, d, e, g]) {
  const move = ([x, y]) => [x * a + y * b + c, x * d + y * e + g];
  const corners = [
    [x0, y0],
    [x1, y0],
    [x1, y1],
    [x0, y1],
  ].map(move);
  const [xs, ys] = [0, 1].map((k) => corners.map((corner) => corner[k]));
  const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)].map(f);
  return { box, landmarks: landmarks.map((point) => move(point).map(f)) };
}

/** Returns the landmarks of a tilted face, found on a patch that turns it upright. */
async function lookAgain(frame, face, find) {
  let { landmarks } = face;
  for (let n = 0; n < MAX_LOOKS; n += 1) {
    const { found, back } = await lookAtPatch(frame, face, rollOf(landmarks, face.box), find);
    if (!found) break;
    landmarks = moved(found, back).landmarks;
    if (Math.abs(rollOf(found.landmarks, found.box)) < UPRIGHT_DEGREES) break;
  }
  return landmarks;
}
