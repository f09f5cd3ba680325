/*
 * Operations on pictures that give the bytes OpenCV gives, so that the network sees the same here
 * as on the server: fer/preprocess.py and fer/crop.py. A picture is {width, height, channels,
 * data}, `data` a Uint8Array of rows; RGB has 3 channels, gray 1.
 */

// Gray levels between the two ends of a crop: a flatter one is stretched no further than this.
const MIN_SPREAD = 16;
// Of cv2.warpAffine: places in 1/1024 px, rounded to 1/32 px; weights sum to 1024.
const WARP_BITS = 10;
const PLACES = 32;
// Of cv2.resize with INTER_LINEAR: weights of 11 bits.
const LINEAR_ONE = 2048;
const f = Math.fround;

/** Returns an empty picture. */
export function blank(width, height, channels) {
  return { width, height, channels, data: new Uint8Array(width * height * channels) };
}

/** Rounds as Python and C do: halves go to the even neighbour. */
export function roundEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below % 2 === 0 ? below : below + 1;
  return rest < 0.5 ? below : below + 1;
}

function clampByte(value) {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** Returns the RGB picture in the RGBA bytes of a canvas. */
export function fromRgba(rgba, width, height) {
  // Four pixels, in three words, at a time: browsers run on little-endian processors.
  const n = width * height;
  const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, n);
  const words = new Uint32Array(Math.ceil(n / 4) * 3);
  const colorOf = (i) => (i < n ? pixels[i] & 0xffffff : 0);
  for (let i = 0, j = 0; i < n; i += 4, j += 3) {
    const [a, b, c, d] = [colorOf(i), colorOf(i + 1), colorOf(i + 2), colorOf(i + 3)];
    words[j] = a | (b << 24);
    words[j + 1] = (b >>> 8) | (c << 16);
    words[j + 2] = (c >>> 16) | (d << 8);
  }
  return { width, height, channels: 3, data: new Uint8Array(words.buffer, 0, 3 * n) };
}

/** Returns pictures of one width below each other. */
export function joinRows(strips) {
  const [{ width, channels }] = strips;
  if (strips.length === 1) return strips[0];
  const height = strips.reduce((sum, strip) => sum + strip.height, 0);
  const whole = blank(width, height, channels);
  strips.reduce((at, { data }) => (whole.data.set(data, at), at + data.length), 0);
  return whole;
}

/** Returns an RGB picture in gray, with OpenCV's weights of 15 bits. */
export function toGray({ width, height, data }) {
  const gray = blank(width, height, 1);
  for (let i = 0, j = 0; j < gray.data.length; i += 3, j += 1) {
    gray.data[j] = (data[i] * 9798 + data[i + 1] * 19235 + data[i + 2] * 3735 + 16384) >> 15;
  }
  return gray;
}

/** Scales a picture: shrinking averages areas, enlarging is bilinear. */
export function resize(image, width, height) {
  if (image.width === width && image.height === height) return image;
  const shrinks = width <= image.width && height <= image.height;
  return shrinks ? averageAreas(image, width, height) : enlarge(image, width, height);
}

/** Returns a picture with sides of at most `longSidePx`. */
export function shrink(image, longSidePx) {
  const { width, height } = image;
  const scale = Math.min(1, longSidePx / Math.max(width, height));
  const [to, down] = [width, height].map((side) => Math.max(1, roundEven(side * scale)));
  return resize(image, to, down);
}

function averageAreas(image, width, height) {
  const scaleX = 1 / (width / image.width);
  const scaleY = 1 / (height / image.height);
  const [stepX, stepY] = [Math.round(scaleX), Math.round(scaleY)];
  const exact =
    Math.abs(scaleX - stepX) < Number.EPSILON && Math.abs(scaleY - stepY) < Number.EPSILON;
  if (exact) return averageBlocks(image, width, height, stepX, stepY);
  return averageByTable(
    image,
    areaTable(image.width, width, scaleX),
    areaTable(image.height, height, scaleY),
    width,
    height,
  );
}

function averageBlocks(image, width, height, stepX, stepY) {
  const { channels, data } = image;
  if (stepX === 2 && stepY === 2) return averageFours(image, width, height);
  const out = blank(width, height, channels);
  const scale = f(1 / (stepX * stepY));
  const row = image.width * channels;
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      for (let c = 0; c < channels; c += 1, at += 1) {
        let sum = 0;
        for (let dy = 0; dy < stepY; dy += 1) {
          let from = (y * stepY + dy) * row + x * stepX * channels + c;
          for (let dx = 0; dx < stepX; dx += 1, from += channels) sum += data[from];
        }
        out.data[at] = clampByte(roundEven(f(sum * scale)));
      }
    }
  }
  return out;
}

/** Halves both sides, as most cameras' frames are before they are searched. */
function averageFours(image, width, height) {
  const { channels, data } = image;
  const out = blank(width, height, channels);
  const pixels = out.data;
  const row = image.width * channels;
  for (let y = 0, at = 0; y < height; y += 1) {
    let upper = 2 * y * row;
    let lower = upper + row;
    for (let x = 0; x < width; x += 1, upper += channels, lower += channels) {
      for (let c = 0; c < channels; c += 1, at += 1, upper += 1, lower += 1) {
        const sum = data[upper] + data[upper + channels] + data[lower] + data[lower + channels];
        pixels[at] = (sum + 2) >> 2;
      }
    }
  }
  return out;
}

/** Lists [to, from, weight] of each source pixel of a line that is shrunk. */
function areaTable(from, to, scale) {
  const table = [];
  for (let i = 0; i < to; i += 1) {
    const low = i * scale;
    const high = low + scale;
    const cell = Math.min(scale, from - low);
    const last = Math.min(Math.floor(high), from - 1);
    const first = Math.min(Math.ceil(low), last);
    if (first - low > 1e-3) table.push([i, first - 1, f((first - low) / cell)]);
    for (let j = first; j < last; j += 1) table.push([i, j, f(1 / cell)]);
    if (high - last > 1e-3) table.push([i, last, f(Math.min(high - last, 1, cell) / cell)]);
  }
  return table;
}

function averageByTable(image, columns, rows, width, height) {
  const { channels, data } = image;
  const out = blank(width, height, channels);
  const length = width * channels;
  const line = new Float32Array(length);
  const sum = new Float32Array(length);
  const to = Int32Array.from(columns, ([i]) => i * channels);
  const from = Int32Array.from(columns, ([, j]) => j * channels);
  const weights = Float32Array.from(columns, ([, , weight]) => weight);
  let current = 0;
  const flush = () => {
    for (let i = 0; i < length; i += 1)
      out.data[current * length + i] = clampByte(roundEven(sum[i]));
    sum.fill(0);
  };
  for (const [y, source, weight] of rows) {
    if (y !== current) {
      flush();
      current = y;
    }
    line.fill(0);
    const start = source * image.width * channels;
    for (let k = 0; k < to.length; k += 1) {
      for (let c = 0; c < channels; c += 1) {
        line[to[k] + c] += f(data[start + from[k] + c] * weights[k]);
      }
    }
    for (let i = 0; i < length; i += 1) sum[i] += f(line[i] * weight);
  }
  flush();
  return out;
}

/** Lists for each place of a line that is enlarged its left neighbour and what lies beyond it. */
function linearTable(from, to) {
  const scale = 1 / (to / from);
  const at = new Int32Array(to);
  const share = new Float32Array(to);
  for (let i = 0; i < to; i += 1) {
    const place = f((i + 0.5) * scale - 0.5);
    at[i] = Math.floor(place);
    share[i] = f(place - at[i]);
  }
  return { at, share };
}

function enlarge(image, width, height) {
  const { channels, data } = image;
  const out = blank(width, height, channels);
  const columns = linearTable(image.width, width);
  const rows = linearTable(image.height, height);
  const length = width * channels;
  const spread = (y) => {
    const line = new Int32Array(length);
    const start = y * image.width * channels;
    for (let x = 0; x < width; x += 1) {
      let left = columns.at[x];
      let share = columns.share[x];
      if (left < 0) [left, share] = [0, 0];
      if (left >= image.width - 1) [left, share] = [image.width - 1, 0];
      const right = Math.min(left + 1, image.width - 1);
      const [a, b] = [roundEven(f(f(1 - share) * LINEAR_ONE)), roundEven(f(share * LINEAR_ONE))];
      for (let c = 0; c < channels; c += 1) {
        line[x * channels + c] =
          data[start + left * channels + c] * a + data[start + right * channels + c] * b;
      }
    }
    return line;
  };
  const lines = new Map();
  const lineOf = (y) => {
    const inside = Math.min(Math.max(y, 0), image.height - 1);
    if (!lines.has(inside)) lines.set(inside, spread(inside));
    return lines.get(inside);
  };
  for (let y = 0; y < height; y += 1) {
    const share = rows.share[y];
    const [a, b] = [roundEven(f(f(1 - share) * LINEAR_ONE)), roundEven(f(share * LINEAR_ONE))];
    const [upper, lower] = [lineOf(rows.at[y]), lineOf(rows.at[y] + 1)];
    for (let i = 0; i < length; i += 1) {
      const value = (((a * (upper[i] >> 4)) >> 16) + ((b * (lower[i] >> 4)) >> 16) + 2) >> 2;
      out.data[y * length + i] = clampByte(value);
    }
    for (const key of lines.keys()) if (key < rows.at[y]) lines.delete(key);
  }
  return out;
}

/** Returns the matrix [a, b, c, d, e, f] of cv2.getRotationMatrix2D; degrees, counter-clockwise. */
export function rotationMatrix(x, y, degrees, scale) {
  const angle = (degrees * Math.PI) / 180;
  const [a, b] = [Math.cos(angle) * scale, Math.sin(angle) * scale];
  return [a, b, (1 - a) * x - b * y, -b, a, b * x + (1 - a) * y];
}

/** Returns the inverse of an affine matrix. */
export function invertAffine([a, b, c, d, e, g]) {
  const determinant = a * e - b * d;
  const scale = determinant === 0 ? 0 : 1 / determinant;
  const [p, q, r, s] = [e * scale, -b * scale, -d * scale, a * scale];
  return [p, q, -p * c - q * g, r, s, -r * c - s * g];
}

/** Turns and moves an RGB picture by `matrix` into a square; beyond the edge the edge goes on. */
export function warpAffine(image, matrix, side) {
  const { width, height, channels, data } = image;
  const out = blank(side, side, channels);
  const [a, b, c, d, e, g] = invertAffine(matrix);
  const one = 1 << WARP_BITS;
  const half = one / PLACES / 2;
  const shift = WARP_BITS - 5;
  const stepX = new Int32Array(side);
  const stepY = new Int32Array(side);
  for (let x = 0; x < side; x += 1) {
    stepX[x] = roundEven(a * x * one);
    stepY[x] = roundEven(d * x * one);
  }
  for (let y = 0, at = 0; y < side; y += 1) {
    const startX = roundEven((b * y + c) * one) + half;
    const startY = roundEven((e * y + g) * one) + half;
    for (let x = 0; x < side; x += 1) {
      const placeX = (startX + stepX[x]) >> shift;
      const placeY = (startY + stepY[x]) >> shift;
      const [shareX, shareY] = [placeX & (PLACES - 1), placeY & (PLACES - 1)];
      const left = Math.min(Math.max(placeX >> 5, 0), width - 1) * channels;
      const right = Math.min(Math.max((placeX >> 5) + 1, 0), width - 1) * channels;
      const top = Math.min(Math.max(placeY >> 5, 0), height - 1) * width * channels;
      const bottom = Math.min(Math.max((placeY >> 5) + 1, 0), height - 1) * width * channels;
      for (let k = 0; k < channels; k += 1, at += 1) {
        const upper = data[top + left + k] * (PLACES - shareX) + data[top + right + k] * shareX;
        const lower =
          data[bottom + left + k] * (PLACES - shareX) + data[bottom + right + k] * shareX;
        out.data[at] = (upper * (PLACES - shareY) + lower * shareY + 512) >> 10;
      }
    }
  }
  return out;
}

function percentileOf(sorted, percent) {
  const place = (sorted.length - 1) * (percent / 100);
  const low = Math.floor(place);
  const [a, b] = [sorted[low], sorted[Math.min(low + 1, sorted.length - 1)]];
  const share = place - low;
  return share >= 0.5 ? b - (b - a) * (1 - share) : a + (b - a) * share;
}

/** Spreads gray values so that `percent` of the pixels at each end run into 0 and 255. */
export function stretch(image, percent) {
  const sorted = Uint8Array.from(image.data).sort();
  const low = percentileOf(sorted, percent);
  const high = percentileOf(sorted, 100 - percent);
  const spread = Math.max(high - low, MIN_SPREAD);
  const levels = Uint8Array.from({ length: 256 }, (_, level) =>
    clampByte(roundEven((level - (low + high - spread) / 2) * (255 / spread))),
  );
  return { ...image, data: image.data.map((value) => levels[value]) };
}
