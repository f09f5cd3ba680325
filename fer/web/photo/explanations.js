/* Explanations of a picture's faces: requested once each, and put into words. */

import { percent } from "../common/classes.js";

const DELAY_MS = 120; // so that running through faces with the keys asks for the last one only
const NEGLIGIBLE = 0.02; // of probability
const NO_ANSWER = { error: { message: "No answer came. Select the face again." } };

/**
 * Says which parts of a face matter for class `name`.
 *
 * @param {string} name
 * @param {number} p its probability
 * @param {{lowers: number, raises: number}} change of it at most, where a part is hidden
 */
export function describeExplanation(name, p, { lowers, raises }) {
  const parts = [];
  if (lowers >= NEGLIGIBLE) {
    const left = percent(Math.max(0, p - lowers));
    parts.push(`Hide the purple area and ${name} drops from ${percent(p)} to ${left}.`);
  }
  if (raises >= NEGLIGIBLE) {
    const most = percent(Math.min(1, p + raises));
    parts.push(`Hide the green area and ${name} rises from ${percent(p)} to ${most}.`);
  }
  return parts.join(" ") || "No single area matters much here.";
}

/** Asks for the explanations of one picture and keeps those that came. */
export class Explanations {
  #ask;
  #known = new Map(); // key -> answer
  #wanted = null; // key of the explanation that the visitor looks at
  #timer;
  #asking = new AbortController(); // aborted when nobody waits for it any more

  /**
   * @param {(request: Object, signal: AbortSignal) => Promise<Object>} ask returns `map`, `lowers`
   *   and `raises`, or `error`
   */
  constructor(ask) {
    this.#ask = ask;
  }

  /**
   * Hands an explanation to `show`, unless another one was requested or `cancel` called meanwhile.
   *
   * @param {string} key names face and class
   * @param {() => Object} makeRequest
   * @param {(answer: Object) => void} show is called at once if the explanation is known
   * @returns {boolean} whether it was known
   */
  request(key, makeRequest, show) {
    this.cancel();
    this.#wanted = key;
    if (this.#known.has(key)) {
      show(this.#known.get(key));
      return true;
    }
    this.#timer = setTimeout(async () => {
      this.#asking = new AbortController();
      const answer = await this.#answer(makeRequest(), this.#asking.signal);
      if (answer.map) this.#known.set(key, answer);
      if (this.#wanted === key) show(answer);
    }, DELAY_MS);
    return false;
  }

  cancel() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#wanted = null;
  }

  async #answer(request, signal) {
    try {
      return (await this.#ask(request, signal)) || NO_ANSWER;
    } catch (error) {
      // Of the device; of a lost connection there is nothing to read.
      return error.code ? { error } : NO_ANSWER;
    }
  }
}
