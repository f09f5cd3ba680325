/* How fast the stream runs: frames of the camera, answers, and the time from frame to answer. */

import { PACES } from "./pace.js";

const WINDOW_MS = 2000;
const MIN_TIMES = 3;

const rateOf = (times) =>
  times.length < MIN_TIMES
    ? 0
    : Math.round(((times.length - 1) * 1000) / (times.at(-1) - times[0]));

/** Measures the last two seconds. Times are of `performance.now()`. */
export class SpeedMeter {
  #frames = [];
  #answers = []; // [time, ms from frame to answer]

  /** Frames that the camera gave since the start. */
  nFrames = 0;

  addFrame(now) {
    this.nFrames += 1;
    this.#frames = this.#frames.filter((time) => now - time < WINDOW_MS);
    this.#frames.push(now);
  }

  addAnswer(now, tripMs) {
    this.#answers = this.#answers.filter(([time]) => now - time < WINDOW_MS);
    this.#answers.push([now, tripMs]);
  }

  /** Describes the speed in one line, after at least one answer. */
  describe(pace) {
    const trips = this.#answers.map(([, ms]) => ms).sort((a, b) => a - b);
    const parts = [
      `${rateOf(this.#answers.map(([time]) => time))} answers/s`,
      `${Math.round(trips[trips.length >> 1])} ms`,
    ];
    // Browsers without requestVideoFrameCallback do not tell the camera's frames.
    if (this.#frames.length >= MIN_TIMES) parts.unshift(`video ${rateOf(this.#frames)}/s`);
    if (pace !== PACES[0]) parts.push(`slowed down, ${pace.width} px`);
    return parts.join(" · ");
  }
}
