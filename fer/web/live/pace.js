/*
 * How large a frame is sent, and how often. Under load frames get smaller and rarer; when the
 * server has been fast for a while they grow again, more carefully each time it was too early.
 */

/** From the best to the most modest: width in pixels, least interval between frames in ms. */
export const PACES = [
  { width: 320, intervalMs: 25 }, // the next frame of any camera up to 40 frames/s
  { width: 256, intervalMs: 66 },
  { width: 224, intervalMs: 125 },
  { width: 192, intervalMs: 250 },
];
// Milliseconds in the server's queue, and from a frame to its answer.
const SLOW = { waitMs: 60, tripMs: 400 };
const FAST = { waitMs: 20, tripMs: 250 };
const MAX_SLOW = 3; // answers in a row before the pace is lowered
const CALM_MS = 4000; // before it is raised
const MAX_CALM_MS = 64000;

/** Chooses one of `PACES` by how fast the answers come. Times are of `performance.now()`. */
export class Pace {
  #level = 0;
  #nSlow = 0; // in a row
  #calmMs = CALM_MS;
  #fastSince = 0; // since when every answer was fast
  #raisedAt = -MAX_CALM_MS;

  /** The pace of the next frame. */
  get current() {
    return PACES[this.#level];
  }

  /** Takes note of an answer: ms from frame to answer, and of them in the server's queue. */
  addAnswer(tripMs, waitMs, now) {
    const slow = waitMs > SLOW.waitMs || tripMs > SLOW.tripMs;
    this.#nSlow = slow ? this.#nSlow + 1 : 0;
    if (waitMs > FAST.waitMs || tripMs > FAST.tripMs) this.#fastSince = now;
    if (this.#nSlow >= MAX_SLOW) {
      this.#lower(now);
    } else if (this.#level > 0 && now - this.#fastSince >= this.#calmMs) {
      this.#level -= 1;
      this.#raisedAt = now;
      this.#fastSince = now;
    } else if (this.#level === 0 && now - this.#raisedAt > MAX_CALM_MS) {
      this.#calmMs = CALM_MS;
    }
  }

  /** Takes note of a frame that was refused or lost. */
  addFailure(now) {
    this.#lower(now);
  }

  /** Goes back to the best pace. */
  reset() {
    this.#level = this.#nSlow = 0;
  }

  /** Starts to measure again after a pause. */
  resume(now) {
    this.#nSlow = 0;
    this.#fastSince = now;
  }

  #lower(now) {
    if (now - this.#raisedAt < CALM_MS) this.#calmMs = Math.min(MAX_CALM_MS, 2 * this.#calmMs);
    this.#level = Math.min(PACES.length - 1, this.#level + 1);
    this.#nSlow = 0;
    this.#fastSince = now;
  }
}
