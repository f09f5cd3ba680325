/*
 * Which engine answers a stream: the server, or this device. An engine has `live_frame(request)`,
 * and both answer alike, so that the page need not know which one did.
 */

// Failures in a row after which the server takes over.
const MAX_FAILURES = 3;
// Answers that are compared, and those before them, which only warm up.
const N_COMPARED = 12;
const N_WARM_UP = 3;
// A device that is quicker than this stays, whatever the server does.
const SLOW_MS = 250;
// Until the next frame is tried while no engine is ready.
const RETRY_MS = 300;

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Keeps the last answers' times of one engine. */
class Times {
  #values = [];
  #n = 0;

  add(ms) {
    this.#n += 1;
    if (this.#n <= N_WARM_UP) return;
    this.#values.push(ms);
    if (this.#values.length > N_COMPARED) this.#values.shift();
  }

  /** The median in milliseconds; null while there are too few. */
  get median() {
    return this.#values.length < N_COMPARED ? null : median(this.#values);
  }
}

/**
 * Chooses between server and device for each frame.
 *
 * It starts with the server where there is one, and changes to the device once that is loaded. It
 * goes back to the server after three failures in a row, or where the device gives fewer than four
 * answers a second and the server is quicker.
 */
export class Engines {
  #server;
  #failures = 0;
  #isSlow = false;
  #times = { server: new Times(), device: new Times() };
  // Since when this device is judged.
  #choice;
  #recogniser = null;

  /**
   * @param {Object} options
   * @param {?{live_frame: Function}} options.server null on a page without one
   * @param {import("./device.js").Device} options.device
   */
  constructor({ server, device }) {
    this.#server = server;
    this.#choice = device.choice;
    this.device = device;
    device.addEventListener("change", () => this.#startOver());
  }

  /** Judges a recogniser that was opened anew, or chosen by the visitor, from the start. */
  #startOver() {
    const { choice, recogniser } = this.device;
    if (choice === this.#choice && recogniser === this.#recogniser) return;
    [this.#choice, this.#recogniser] = [choice, recogniser];
    [this.#failures, this.#isSlow] = [0, false];
    this.#times.device = new Times();
  }

  /**
   * The engine that answers the next frame: "server", "device", or null while there is none. A
   * visitor who chose the device sends no frame to the server, whatever happens.
   */
  get active() {
    const { state, choice } = this.device;
    if (!this.#server) return state === "ready" ? "device" : null;
    if (state === "ready" && choice !== "server" && !this.#isSlow) return "device";
    return choice === "device" ? null : "server";
  }

  get hasServer() {
    return Boolean(this.#server);
  }

  /** Why the device does not answer, for the visitor; null while it may. */
  get problem() {
    return this.#isSlow ? "This device is slower than the server." : this.device.problem;
  }

  /**
   * Answers a frame with the active engine.
   *
   * @param {(name: string) => Promise<Object>} makeRequest makes the request for an engine
   * @returns {Promise<Object>} its answer, with `engine`; {error} if none is ready
   */
  async live_frame(makeRequest, now = () => performance.now()) {
    const name = this.active;
    if (!name) return this.#refuse();
    const { recogniser } = this.device;
    const engine = name === "device" ? recogniser : this.#server;
    const start = now();
    let answer;
    try {
      const request = await makeRequest(name);
      // The visitor may have chosen the device meanwhile.
      if (name === "server" && this.device.choice === "device") return this.#refuse();
      answer = (await engine.live_frame(request)) || {};
    } catch (error) {
      answer = { error: { code: "lost", message: error.message } };
    }
    if (answer.faces) this.#times[name].add(now() - start);
    // A state that the page sent is not the engine's fault.
    const failed = !answer.faces && !(answer.error && answer.error.code === "bad_state");
    if (name === "device" && this.device.recogniser === engine) this.#judge(failed, answer.error);
    return { ...answer, engine: name };
  }

  /** The answer while no engine is ready. */
  #refuse() {
    const message = this.problem || "Loading the recogniser ...";
    const code = this.problem ? "failed" : "loading";
    return { engine: null, error: { code, message, retry_after_ms: RETRY_MS } };
  }

  #judge(failed, error) {
    this.#failures = failed ? this.#failures + 1 : 0;
    if (this.#failures >= MAX_FAILURES) {
      this.device.fail(error ? error.message : "The recogniser on this device does not answer.");
      return;
    }
    const { server, device } = this.#times;
    if (!this.#server || this.device.choice === "device" || device.median === null) return;
    if (device.median > SLOW_MS && server.median !== null && server.median < device.median) {
      this.#isSlow = true;
      this.device.dispatchEvent(new Event("change"));
    }
  }
}
