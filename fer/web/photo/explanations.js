/* Explanations of a picture's faces: requested once each, and put into words. */

const DELAY_MS = 120; // so that running through faces with the keys asks for the last one only
const NEGLIGIBLE = 0.02; // of probability
const NO_ANSWER = { error: { message: "No answer from the server. Select the face again." } };

/** Says which regions matter for class `name`; `lowers` and `raises` are of its probability. */
export function describeExplanation(name, { lowers, raises }) {
  const points = (p) => `${Math.round(100 * p)} points`;
  const parts = [];
  if (lowers >= NEGLIGIBLE) {
    parts.push(`Masking the most orange region lowers ${name} by ${points(lowers)}.`);
  }
  if (raises >= NEGLIGIBLE) {
    parts.push(`Masking the most blue region raises ${name} by ${points(raises)}.`);
  }
  return parts.join(" ") || `No single region decides: ${name} stays, whichever region is masked.`;
}

/** Asks for the explanations of one picture and keeps those that came. */
export class Explanations {
  #ask;
  #known = new Map(); // key -> answer
  #wanted = null; // key of the explanation that the visitor looks at
  #timer;

  /**
   * @param {(request: Object) => Promise<Object>} ask returns `map`, `lowers` and `raises`, or
   *   `error`
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
      const answer = await this.#answer(makeRequest());
      if (answer.map) this.#known.set(key, answer);
      if (this.#wanted === key) show(answer);
    }, DELAY_MS);
    return false;
  }

  cancel() {
    clearTimeout(this.#timer);
    this.#wanted = null;
  }

  async #answer(request) {
    try {
      return (await this.#ask(request)) || NO_ANSWER;
    } catch {
      return NO_ANSWER;
    }
  }
}
