/*
 * "My resting face": two seconds of a face at rest, averaged in this browser, with which that face
 * is compared from then on. It belongs to a track, and is kept until the camera is closed.
 */

const REST_MS = 2000;
const MIN_ANSWERS = 3;
// The tracker smooths: until then an answer shows what the face did before.
const SETTLE_MS = 500;

const LEAST = 1e-4; // as in fer/resting.py: answers have four decimals

/**
 * Averages the answers to several frames of a resting face, as `Baseline.average` in Python does.
 *
 * @param {number[][]} rows probabilities, in the order of the classes
 * @returns {number[]} `probs` of a baseline
 */
export function averageRest(rows) {
  const meanLog = (k) =>
    rows.reduce((sum, row) => sum + Math.log(Math.max(row[k], LEAST)), 0) / rows.length;
  const means = rows[0].map((_, k) => Math.exp(meanLog(k)));
  const total = means.reduce((sum, value) => sum + value, 0);
  return means.map((value) => Number((value / total).toFixed(6)));
}

const areaOf = ({ box_xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);

/** Takes a resting face from the answers of a stream. It knows no page, so that node can run it. */
export class RestingFace {
  #rows = [];
  #startedAt = 0;

  constructor() {
    this.drop();
  }

  /** Forgets the face; `problem` says why, for the visitor. */
  drop(problem = "") {
    /** "off", "measuring" or "on" */
    this.state = "off";
    /** What goes with each frame, {track_id, probs}; null unless `state` is "on". */
    this.baseline = null;
    this.trackId = null;
    this.problem = problem;
  }

  /** Starts to measure the largest of `faces`, at `now` in milliseconds. */
  measure(faces, now) {
    this.drop();
    if (!faces.length) {
      this.problem = "No face in view. Look at the camera and try again.";
      return;
    }
    const largest = faces.reduce((a, b) => (areaOf(b) > areaOf(a) ? b : a));
    this.state = "measuring";
    this.trackId = largest.track_id;
    this.#rows = [];
    this.#startedAt = now;
  }

  /**
   * Looks at an answer, and measures or keeps to its face.
   *
   * @param {Object} answer with `faces`, `class_names` and `state`
   * @param {number} now in milliseconds
   */
  add({ faces, class_names, state }, now) {
    if (this.state === "off") return;
    if (!state.tracks.some(({ id }) => id === this.trackId)) {
      this.drop("Your face left the picture. Set your resting face again.");
      return;
    }
    if (this.state === "measuring") this.#measure(faces, class_names, now - this.#startedAt);
  }

  #measure(faces, names, passedMs) {
    const face = faces.find(({ track_id }) => track_id === this.trackId);
    if (face && passedMs >= SETTLE_MS) {
      const probs = face.raw || face.probs;
      this.#rows.push(names.map((name) => probs[name]));
    }
    if (passedMs < REST_MS || this.#rows.length < MIN_ANSWERS) return;
    this.baseline = { track_id: this.trackId, probs: averageRest(this.#rows) };
    this.state = "on";
  }
}
