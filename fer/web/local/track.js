/* The same face from frame to frame: fer/track.py. The state is the JSON of `TrackState.to_json`,
 * so a visitor who changes to the server, or back, keeps the ids. */

import { centerOf } from "./geometry.js";
import { LocalError } from "./errors.js";
import { roundTo } from "./answer.js";

export const MAX_TRACKS = 32;
const SMOOTHING_S = 0.3;
const FORGET_S = 1.0;
const FORGET_UNSEEN_S = 5.0;
const MOTION_S = 0.25;
const COAST_S = 1.0;
const REACH = 0.8;
const REACH_PER_S = 0.8;
const MAX_REACH = 1.6;
const MIN_SIZE = 1e-4;
const MIN_GAP_S = 1e-3;
const MAX_SPEED = 100;
const MAX_EMPTY = 1_000_000;

/** Returns a state from its JSON; null is a fresh one. */
export function readState(data) {
  if (data === null || data === undefined)
    return { time_s: null, next_id: 1, tracks: [], n_empty: 0 };
  if (typeof data !== "object" || !Array.isArray(data.tracks) || data.tracks.length > MAX_TRACKS) {
    throw new LocalError("bad_state", "a track state must be one that an answer had");
  }
  const tracks = data.tracks.map(({ id, box, probs, seen_s }) => {
    const isSound =
      Array.isArray(box) && box.length === 6 && Array.isArray(probs) && probs.length > 0;
    if (!isSound || ![...box, ...probs, seen_s].every(Number.isFinite)) {
      throw new LocalError("bad_state", "a track must have the numbers id, box, probs and seen_s");
    }
    const total = probs.reduce((sum, value) => sum + value, 0);
    return {
      id,
      center: box.slice(0, 2),
      size: box.slice(2, 4),
      velocity: box.slice(4),
      probs: probs.map((value) => value / total),
      seen_s,
    };
  });
  return { time_s: data.time_s, next_id: data.next_id, tracks, n_empty: data.n_empty || 0 };
}

/** Returns a state as JSON, rounded as the server's. */
export function writeState(state) {
  const short = (values) => values.map((value) => roundTo(value, 5));
  return {
    time_s: state.time_s,
    next_id: state.next_id,
    tracks: state.tracks.map((track) => ({
      id: track.id,
      box: short([...track.center, ...track.size, ...track.velocity]),
      probs: short(track.probs),
      seen_s: track.seen_s,
    })),
    ...(state.n_empty ? { n_empty: state.n_empty } : {}),
  };
}

function match(tracks, centers, sizes, rows, time_s) {
  const pairs = [];
  rows.forEach((i) =>
    tracks.forEach((track, j) => {
      const gap = time_s - track.seen_s;
      const coasted = COAST_S * (1 - Math.exp(-gap / COAST_S));
      const away = Math.hypot(
        centers[i][0] - (track.center[0] + track.velocity[0] * coasted),
        centers[i][1] - (track.center[1] + track.velocity[1] * coasted),
      );
      const before = Math.sqrt(track.size[0] * track.size[1]);
      const now = Math.sqrt(sizes[i][0] * sizes[i][1]);
      const cost = away / Math.sqrt(now * before) + Math.abs(Math.log(now / before));
      if (cost < Math.min(REACH + REACH_PER_S * gap, MAX_REACH)) pairs.push([cost, i, j]);
    }),
  );
  pairs.sort((a, b) => a[0] - b[0]);
  const taken = new Map();
  const used = new Set();
  for (const [, i, j] of pairs) {
    if (taken.has(i) || used.has(j)) continue;
    taken.set(i, tracks[j]);
    used.add(j);
  }
  return taken;
}

function follow(track, center, size, probs, time_s) {
  const gap = time_s - track.seen_s;
  const share = 1 - Math.exp(-gap / SMOOTHING_S);
  let { velocity } = track;
  if (gap > MIN_GAP_S) {
    const turn = 1 - Math.exp(-gap / MOTION_S);
    velocity = velocity.map((old, k) => old + turn * ((center[k] - track.center[k]) / gap - old));
  }
  return {
    id: track.id,
    center,
    size,
    velocity: velocity.map((value) => Math.min(Math.max(value, -MAX_SPEED), MAX_SPEED)),
    probs: track.probs.map((old, k) => old + share * (probs[k] - old)),
    seen_s: time_s,
  };
}

/**
 * Follows the faces of one frame.
 *
 * @param {Object} state of the frame before, from `readState`
 * @param {Object[]} faces at most MAX_TRACKS, each with `box` and `probs`
 * @param {number} time_s when the frame was taken, in seconds of one clock
 * @param {number} width of the frame in pixels
 * @returns {{state: Object, faces: Object[]}} the faces with `track_id` and smoothed `probs`
 */
export function step(state, faces, time_s, width) {
  const [known] = state.tracks;
  if (known && faces.length && known.probs.length !== faces[0].probs.length) {
    const n = faces[0].probs.length;
    throw new LocalError(
      "bad_state",
      `the state must be of ${n} classes. Received: ${known.probs.length}`,
    );
  }
  const isBack = state.time_s !== null && time_s < state.time_s;
  const tracks = isBack ? [] : state.tracks;
  const gone = (track) => time_s - track.seen_s;
  const there = tracks.filter((t) => t.seen_s === state.time_s && gone(t) <= FORGET_UNSEEN_S);
  const hidden = tracks.filter((t) => t.seen_s !== state.time_s && gone(t) <= FORGET_S);
  const centers = faces.map(({ box }) => centerOf(box).map((value) => value / width));
  const sizes = faces.map(({ box: [x0, y0, x1, y1] }) =>
    [Math.fround(x1 - x0), Math.fround(y1 - y0)].map((side) => Math.max(side / width, MIN_SIZE)),
  );
  // A face that was in view a frame ago is not mistaken for one that was hidden behind it.
  const all = faces.map((_, i) => i);
  const taken = match(there, centers, sizes, all, time_s);
  const left = all.filter((i) => !taken.has(i));
  match(hidden, centers, sizes, left, time_s).forEach((track, i) => taken.set(i, track));
  let { next_id } = state;
  const seen = all.map((i) => {
    if (taken.has(i)) return follow(taken.get(i), centers[i], sizes[i], faces[i].probs, time_s);
    next_id += 1;
    const [center, size, probs] = [centers[i], sizes[i], [...faces[i].probs]];
    return { id: next_id - 1, center, size, velocity: [0, 0], probs, seen_s: time_s };
  });
  const found = new Set([...taken.values()].map((track) => track.id));
  const unfound = [...there, ...hidden].filter((track) => !found.has(track.id));
  unfound.sort((a, b) => b.seen_s - a.seen_s);
  return {
    state: {
      time_s,
      next_id,
      tracks: [...seen, ...unfound].slice(0, MAX_TRACKS),
      n_empty: seen.length ? 0 : Math.min(state.n_empty + 1, MAX_EMPTY),
    },
    faces: faces.map((face, i) => ({
      ...face,
      track_id: seen[i].id,
      probs: seen[i].probs.map(Math.fround),
    })),
  };
}
