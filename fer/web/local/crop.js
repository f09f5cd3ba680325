/* Frame and faces to face crops framed as FER-2013 frames a face, and crops to the network's
 * input: fer/crop.py and fer/preprocess.py. */

import { centerOf, longSide, rollOf } from "./geometry.js";
import { resize, rotationMatrix, roundEven, stretch, toGray, warpAffine } from "./image.js";

const f = Math.fround;

/** Cuts one square, upright crop of a face at the frame's own resolution. */
export function cropFace(frame, face, config) {
  const [x, y] = centerOf(face.box);
  const roll = config.align && face.landmarks ? rollOf(face.landmarks, face.box) : 0;
  const limit = 2 * Math.min(2048, Math.max(frame.width, frame.height));
  const wanted = roundEven(f(longSide(face.box) * f(config.crop_margin)));
  const side = Math.min(Math.max(wanted, 1), limit);
  const [a, b, c, d, e, g] = rotationMatrix(x, y, roll, 1);
  // warpAffine puts pixel centres at integers, boxes put pixel edges there.
  const right = c + f(side / 2 - x) + ((a + b) / 2 - 0.5);
  const down = g + f(side / 2 - y) + ((d + e) / 2 - 0.5);
  return warpAffine(frame, [a, b, right, d, e, down], side);
}

/** Returns crops as one batch: {data: Float32Array, dims: [n, side, side, channels]}. */
export function toModelInput(crops, config) {
  const side = config.input_size;
  const channels = config.color_mode === "gray" ? 1 : 3;
  const size = side * side * channels;
  const data = new Float32Array(crops.length * size);
  crops.forEach((crop, i) => {
    let image = config.color_mode === "gray" ? toGray(crop) : crop;
    image = resize(image, config.detail_size, config.detail_size);
    if (config.stretch_percentile !== null) image = stretch(image, config.stretch_percentile);
    data.set(resize(image, side, side).data, i * size);
  });
  return { data, dims: [crops.length, side, side, channels] };
}
