/* How fast the stream runs: answers, and the time from frame to answer. */

import { PACES } from "./pace.js";

const WINDOW_MS = 2000;
const MIN_TIMES = 3;

const rateOf = (times) =>
  times.length < MIN_TIMES
    ? 0
    : Math.round(((times.length - 1) * 1000) / (times.at(-1) - times[0]));

/** Measures the last two seconds. Times are of `performance.now()`. */
export class SpeedMeter {
  #answers = []; // [time, ms from frame to answer]

  /** Frames that the video gave since the start. */
  nFrames = 0;

  addFrame() {
    this.nFrames += 1;
  }

  addAnswer(now, tripMs) {
    this.#answers = this.#answers.filter(([time]) => now - time < WINDOW_MS);
    this.#answers.push([now, tripMs]);
  }

  /** Describes the speed in one line, after at least one answer. */
  describe(pace) {
    const trips = this.#answers.map(([, ms]) => ms).sort((a, b) => a - b);
    const parts = [
      `${rateOf(this.#answers.map(([time]) => time))} results/s`,
      `${Math.round(trips[trips.length >> 1])} ms delay`,
    ];
    if (pace !== PACES[0]) parts.push(`slowed down, ${pace.width} px`);
    return parts.join(", ");
  }
}
