/* Faces as the JSON that the server gives: fer/serialize.py. */

import { rollOf } from "./geometry.js";

// A face that is rolled by more counts as uncertain: fer/types.py.
const MAX_ROLL_DEGREES = 90;

/** Rounds to `digits` decimals as Python does: exact halves go to the even neighbour. */
export function roundTo(value, digits) {
  const scaled = value * 10 ** digits;
  const below = Math.floor(scaled);
  // Only a number whose binary digits end there is an exact half; 60 decimals show it.
  const near = Math.abs(scaled - below - 0.5) < 1e-6;
  if (
    near &&
    /^50*$/.test(
      value
        .toFixed(60 + digits)
        .split(".")[1]
        .slice(digits),
    )
  ) {
    return (below % 2 === 0 ? below : below + 1) / 10 ** digits;
  }
  return Number(value.toFixed(digits));
}

/**
 * Returns the answer for one frame: `frame`, `class_names`, `faces`.
 *
 * @param {Object} frame with width and height
 * @param {Object[]} faces each with box, score, landmarks, probs and perhaps track_id, raw and votes
 * @param {Object} config from `readConfig`
 * @param {boolean} [hasVotes] whether the faces have votes
 */
export function toAnswer(frame, faces, config, hasVotes = false) {
  const named = (probs, names = config.class_names) =>
    Object.fromEntries(names.map((name, i) => [name, roundTo(probs[i], 4)]));
  return {
    frame: { width: frame.width, height: frame.height },
    class_names: config.class_names,
    ...(hasVotes && { vote_names: config.votes.class_names }),
    faces: faces.map(({ track_id = null, box, score, landmarks, probs, raw, votes }) => {
      const best = probs.indexOf(Math.max(...probs));
      return {
        track_id,
        box_xyxy: box.map((value) => roundTo(value, 1)),
        score: roundTo(score, 4),
        landmarks: landmarks.map((point) => point.map((value) => roundTo(value, 1))),
        label: config.class_names[best],
        uncertain:
          probs[best] < config.uncertain_below ||
          Math.abs(rollOf(landmarks, box)) > MAX_ROLL_DEGREES,
        probs: named(probs),
        ...(hasVotes && { votes: named(votes, config.votes.class_names) }),
        ...(raw && { raw: named(raw) }),
      };
    }),
  };
}
