/*
 * "Try all seven": which expressions of the model a visitor has played. One is recognised when the
 * model is sure of it for a second. It knows no page, so that node can run it.
 */

import { GAP_S } from "./record.js";

/** How long the model must be sure of an expression, in seconds. */
export const HOLD_S = 1;

const areaOf = ({ box_xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);

/** Returns the face that plays: the largest; null if there is none. */
export const findPlayer = (faces) =>
  faces.reduce((best, face) => (!best || areaOf(face) > areaOf(best) ? face : best), null);

/** Keeps what was recognised, and how near the others came. */
export class Trial {
  #held = { label: null, id: null, since: 0, last: -Infinity };
  #tries;

  /** @param {string[]} names of the classes */
  constructor(names) {
    this.names = names;
    this.clear();
  }

  /** Starts anew. */
  clear() {
    this.#held = { label: null, id: null, since: 0, last: -Infinity };
    // `best` is the highest probability that was seen; `wasSure`, whether the model was sure of it
    // for a moment at least; `done` is the probability when it was recognised.
    this.#tries = new Map(
      this.names.map((name) => [name, { best: 0, wasSure: false, done: null }]),
    );
  }

  /** Returns {best, wasSure, done} of a class; `done` is null until it is recognised. */
  of(name) {
    return this.#tries.get(name);
  }

  get nDone() {
    return [...this.#tries.values()].filter(({ done }) => done !== null).length;
  }

  /** The expression that is held, and which part of `HOLD_S` so far; a name of null for none. */
  get held() {
    const { label, since, last } = this.#held;
    return { name: label, share: label === null ? 0 : Math.min(1, (last - since) / HOLD_S) };
  }

  /**
   * Looks at an answer.
   *
   * @param {Object[]} faces of it
   * @param {number} time in seconds
   * @returns {?string} the expression that this answer completes; null for none
   */
  add(faces, time) {
    const player = findPlayer(faces);
    if (!player) {
      this.#held = { ...this.#held, label: null };
      return null;
    }
    for (const name of this.names) {
      const each = this.#tries.get(name);
      each.best = Math.max(each.best, player.probs[name]);
    }
    return this.#hold(player, time);
  }

  #hold({ label, uncertain, track_id, probs }, time) {
    const { label: before, id, since, last } = this.#held;
    const goesOn = label === before && track_id === id && time - last <= GAP_S;
    const sure = uncertain ? null : label;
    this.#held = { label: sure, id: track_id, since: goesOn ? since : time, last: time };
    const each = this.#tries.get(label);
    each.wasSure ||= !uncertain;
    if (sure === null || each.done !== null || time - this.#held.since < HOLD_S) return null;
    each.done = probs[label];
    return label;
  }
}

const NUMBERS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/** Returns the name of the game for so many classes: "Try all seven". */
export const trialTitle = (n) => `Try all ${NUMBERS[n] || n}`;
