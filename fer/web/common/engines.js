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

export const CHOICES = ["auto", "device", "server"];

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
  #openDevice;
  #onChange;
  #device = null;
  #opening = null;
  #failures = 0;
  #times = { server: new Times(), device: new Times() };

  /**
   * @param {Object} options
   * @param {?{live_frame: Function}} options.server null on a page without one
   * @param {(onProgress: (bytes: number) => void) => Promise<Object>} options.openDevice opens the
   *   local engine and tests it; null where there is none
   * @param {string} [options.choice] the visitor's: "auto", "device" or "server"
   * @param {() => void} [options.onChange] called when anything below has changed
   */
  constructor({ server, openDevice, choice = "auto", onChange = () => {} }) {
    this.#server = server;
    this.#openDevice = openDevice;
    this.#onChange = onChange;
    this.choice = CHOICES.includes(choice) ? choice : "auto";
    /** "off", "loading", "ready" or "failed" */
    this.device = openDevice ? "off" : "failed";
    this.bytes = 0;
    /** Why the device does not answer, for the visitor; null while it may. */
    this.problem = null;
  }

  /**
   * The engine that answers the next frame: "server", "device", or null while there is none. A
   * visitor who chose the device sends no frame to the server, whatever happens.
   */
  get active() {
    if (this.device === "ready" && (this.choice !== "server" || !this.#server)) return "device";
    return this.#server && this.choice !== "device" ? "server" : null;
  }

  /** Takes the visitor's choice, and loads the device's engine where it asks for it. */
  choose(choice) {
    this.choice = choice;
    const again = choice === "device" && this.device === "failed" && this.#openDevice;
    if (again) this.device = "off";
    this.#onChange();
    return choice === "server" ? Promise.resolve() : this.load();
  }

  /** Loads the device's engine once; it never rejects. */
  load() {
    if (this.device === "off" && this.choice !== "server") this.#opening = this.#load();
    return this.#opening || Promise.resolve();
  }

  async #load() {
    this.#set({ device: "loading", bytes: 0, problem: null });
    try {
      this.#device = await this.#openDevice((bytes) => this.#set({ bytes }));
      this.#failures = 0;
      this.#times.device = new Times();
      this.#set({ device: "ready" });
    } catch (error) {
      this.#set({ device: "failed", problem: error.message });
    }
  }

  #set(values) {
    Object.assign(this, values);
    this.#onChange();
  }

  #giveUp(problem) {
    const device = this.#device;
    this.#device = null;
    if (device && device.close) device.close();
    this.#set({ device: "failed", problem });
  }

  /**
   * Answers a frame with the active engine.
   *
   * @param {(name: string) => Promise<Object>} makeRequest makes the request for an engine
   * @returns {Promise<Object>} its answer, with `engine`; {error} if none is ready
   */
  async live_frame(makeRequest, now = () => performance.now()) {
    const name = this.active;
    if (!name) {
      const message = this.problem || "Loading the recogniser ...";
      const code = this.problem ? "failed" : "loading";
      return { engine: null, error: { code, message, retry_after_ms: RETRY_MS } };
    }
    const engine = name === "device" ? this.#device : this.#server;
    const start = now();
    let answer;
    try {
      answer = (await engine.live_frame(await makeRequest(name))) || {};
    } catch (error) {
      answer = { error: { code: "lost", message: error.message } };
    }
    if (answer.faces) this.#times[name].add(now() - start);
    // A state that the page sent is not the engine's fault.
    const failed = !answer.faces && !(answer.error && answer.error.code === "bad_state");
    if (name === "device" && this.#device === engine) this.#judge(failed, answer.error);
    return { ...answer, engine: name };
  }

  #judge(failed, error) {
    this.#failures = failed ? this.#failures + 1 : 0;
    if (this.#failures >= MAX_FAILURES) {
      this.#giveUp(error ? error.message : "The recogniser on this device does not answer.");
      return;
    }
    const { server, device } = this.#times;
    if (!this.#server || this.choice === "device" || device.median === null) return;
    if (device.median > SLOW_MS && server.median !== null && server.median < device.median) {
      this.#giveUp("This device is slower than the server.");
    }
  }
}
