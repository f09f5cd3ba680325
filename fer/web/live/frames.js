/*
 * The loop of the stream: a frame is sent only when the answer to the last one is back. With it
 * goes the tracker's state of that answer, so the server stores nothing between frames.
 */

import { Pace } from "./pace.js";

export const NO_ANSWER = "No answer from the server. Retrying ...";

const TIMEOUT_MS = 10000; // for one answer
const LATE_MS = 2500; // after which the visitor is told that there is no answer
const PAUSE_MS = 250; // between two looks whether the page is visible again
const MAX_RETRY_MS = 4000;
// Problems that fewer and smaller frames may solve.
const OVERLOAD = ["busy", "stale", "lost"];

/**
 * Sends frames and hands out their answers until its signal is aborted.
 *
 * It touches neither page nor network itself, so it runs in node with a clock of the test's own.
 */
export class FrameLoop {
  #options;
  #sentAt = null; // when the frame was sent whose answer is awaited

  /**
   * @param {Object} options
   * @param {(pace: Object, state: ?Object, timeS: number) => Promise<Object>} options.ask sends a
   *   frame and returns its answer: `faces`, `state` and `timing_ms`, or `error`
   * @param {() => boolean} options.isPaused whether the page is hidden
   * @param {() => ?number} options.countFrames frames that the camera gave; null if unknown
   * @param {(answer: Object, sentAt: number, now: number) => void} options.onAnswer
   * @param {(problem: {code: string, message: string}, nFailures: number) => void}
   *   options.onFailure gets the number of failures in a row, too
   * @param {{now: () => number, sleep: (ms: number) => Promise<void>}} options.clock in ms
   * @param {AbortSignal} options.signal ends the loop
   * @param {?Object} [options.state] of the tracker, to go on with known faces
   */
  constructor(options) {
    this.#options = options;
    /** The tracker's state in the last answer. */
    this.state = options.state || null;
    this.pace = new Pace();
  }

  /** Whether an answer is so late that the visitor should know. */
  get isLate() {
    return this.#sentAt !== null && this.#options.clock.now() - this.#sentAt > LATE_MS;
  }

  async run() {
    const { clock, signal, isPaused, countFrames } = this.#options;
    let nFailures = 0;
    while (!signal.aborted) {
      if (isPaused()) {
        await clock.sleep(PAUSE_MS);
        this.pace.resume(clock.now());
        continue;
      }
      const nFrames = countFrames();
      const sentAt = clock.now();
      const answer = await this.#ask(sentAt);
      if (signal.aborted) return;
      if (answer.faces) {
        nFailures = 0;
        this.#accept(answer, sentAt);
      } else {
        nFailures += 1;
        await clock.sleep(this.#refuse(answer.error, nFailures));
      }
      await clock.sleep(Math.max(0, sentAt + this.pace.current.intervalMs - clock.now()));
      await this.#waitForFrame(nFrames);
    }
  }

  /** Returns the answer to a frame of now; {} if there is none in time. */
  async #ask(sentAt) {
    this.#sentAt = sentAt;
    const { ask, clock } = this.#options;
    try {
      const answer = ask(this.pace.current, this.state, sentAt / 1000);
      return (await Promise.race([answer, clock.sleep(TIMEOUT_MS)])) || {};
    } catch {
      return {};
    } finally {
      this.#sentAt = null;
    }
  }

  #accept(answer, sentAt) {
    const now = this.#options.clock.now();
    this.state = answer.state;
    // A device gets its frames whole, and nobody else waits for it.
    if (answer.engine === "device") this.pace.reset();
    else this.pace.addAnswer(now - sentAt, answer.timing_ms.wait, now);
    this.#options.onAnswer(answer, sentAt, now);
  }

  /** Returns the milliseconds to wait before the next frame. */
  #refuse(problem = { code: "lost", message: NO_ANSWER }, nFailures) {
    if (OVERLOAD.includes(problem.code)) this.pace.addFailure(this.#options.clock.now());
    if (problem.code === "bad_state") this.state = null;
    this.#options.onFailure(problem, nFailures);
    const waitMs = problem.retry_after_ms || Math.min(MAX_RETRY_MS, 100 * 2 ** nFailures);
    return waitMs * (1 + Math.random() / 4); // so that not all visitors return at once
  }

  /** Returns when the camera gave a frame after the `nFrames`th, or soon if it gives none. */
  async #waitForFrame(nFrames) {
    const { clock, signal, countFrames } = this.#options;
    for (let i = 0; i < 25 && !signal.aborted; i += 1) {
      if (nFrames === null || countFrames() !== nFrames) return;
      await clock.sleep(4);
    }
  }
}
