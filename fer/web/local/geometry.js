/* Box and landmark maths in float32: fer/geometry.py. A face is {box: [x0, y0, x1, y1], score,
 * landmarks: [[x, y] x 5]}, in pixels of the frame. */

// Eyes and mouth closer together than this part of the box say little about the roll.
const MIN_AXIS = 0.1;
const f = Math.fround;
const DEGREES = f(180 / Math.PI);

/** Returns the centre [x, y] of a box. */
export function centerOf([x0, y0, x1, y1]) {
  return [f(f(x0 + x1) / 2), f(f(y0 + y1) / 2)];
}

/** Returns the longer side of a box. */
export function longSide([x0, y0, x1, y1]) {
  return Math.max(f(x1 - x0), f(y1 - y0));
}

/** Returns the roll of a face in degrees, clockwise as seen in the picture; 0 where unknown. */
export function rollOf(landmarks, box) {
  const middle = (i, k) => f(f(landmarks[i][k] + landmarks[i + 1][k]) / 2);
  const [x, y] = [f(middle(3, 0) - middle(0, 0)), f(middle(3, 1) - middle(0, 1))];
  if (f(Math.hypot(x, y)) < f(MIN_AXIS * longSide(box))) return 0;
  return f(f(Math.atan2(-x, y)) * DEGREES);
}
