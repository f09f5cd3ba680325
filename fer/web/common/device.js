/*
 * The recogniser on this device, of which a page opens one for all its tabs, and the visitor's
 * choice who analyses: this device or the server.
 */

import { keepText, readText } from "./storage.js";

/** "auto": this device once it can, "device": no other, "server": the server. */
export const CHOICES = ["auto", "device", "server"];

const KEY = "fer-engine"; // in localStorage
const MODEL = new URL("../model/", import.meta.url).href;

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

/** Opens the recogniser once, and tells of each step by the event "change". */
export class Device extends EventTarget {
  #open;
  #opening = null;

  /**
   * @param {Object} options
   * @param {?(onProgress: (bytes: number) => void) => Promise<Object>} options.open opens the
   *   recogniser and tests it; null where there is none
   * @param {string} [options.choice] the visitor's, one of `CHOICES`
   * @param {number} [options.totalBytes] that opening it fetches
   */
  constructor({ open, choice = CHOICES[0], totalBytes = 0 }) {
    super();
    this.#open = open;
    this.choice = CHOICES.includes(choice) ? choice : CHOICES[0];
    /** "off", "loading", "ready" or "failed" */
    this.state = open ? "off" : "failed";
    this.bytes = 0;
    this.totalBytes = totalBytes;
    /** Why it does not answer, for the visitor; null while it may. */
    this.problem = null;
    /** What `open` gave; null unless it is ready. */
    this.recogniser = null;
  }

  /** Whether there is a recogniser at all, ready or not. */
  get exists() {
    return Boolean(this.#open);
  }

  /** How far it is loaded, in one sentence. */
  get progress() {
    if (this.totalBytes && this.bytes >= this.totalBytes) return "Opening the recogniser ...";
    return `Loading the recogniser, ${megabytes(this.bytes)} of ${megabytes(this.totalBytes)} MB.`;
  }

  /** Takes the visitor's choice, and loads the recogniser where it asks for it. */
  choose(choice) {
    this.#set({ choice });
    return choice === "server" ? Promise.resolve() : this.load(choice === "device");
  }

  /** Loads the recogniser once, and `again` if it had failed; it never rejects. */
  load(again = false) {
    const waits = this.state === "off" || (again && this.state === "failed" && this.exists);
    if (waits && this.choice !== "server") this.#opening = this.#load();
    return this.#opening || Promise.resolve();
  }

  async #load() {
    this.#set({ state: "loading", bytes: 0, problem: null });
    try {
      const recogniser = await this.#open((bytes) => this.#set({ bytes }));
      this.#set({ state: "ready", recogniser });
    } catch (error) {
      if (error.detail) console.warn(error.detail);
      this.#set({ state: "failed", problem: error.message });
    }
  }

  /**
   * Has the recogniser answer; one whose worker stopped is given up.
   *
   * @param {(recogniser: Object) => Promise<Object>} ask
   * @throws what `ask` does, and an Error with the `code` "failed" where there is none
   */
  async use(ask) {
    const { recogniser } = this;
    if (!recogniser) {
      const message = this.problem || "The recogniser on this device is not loaded.";
      throw Object.assign(new Error(message), { code: "failed" });
    }
    try {
      return await ask(recogniser);
    } catch (error) {
      if (recogniser.isClosed && this.recogniser === recogniser) this.fail(error.message);
      throw error;
    }
  }

  /** Gives the recogniser up: it failed. */
  fail(problem) {
    const { recogniser } = this;
    this.#set({ state: "failed", problem, recogniser: null });
    if (recogniser && recogniser.close) recogniser.close();
  }

  #set(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event("change"));
  }
}

let pageDevice = null;

/**
 * Returns the one device of this page.
 *
 * @param {?{logits: number[], bytes: number}} settings of the recogniser: what it answers to the
 *   drawing of self_test.js, and the size of its files (`engine_props` of fer/web/self_test.py);
 *   null where the page has none
 * @param {boolean} [hasServer] without one the visitor has no choice
 */
export function sharedDevice(settings, hasServer = true) {
  if (pageDevice) return pageDevice;
  const open = async (onProgress) => {
    const { open: openRecogniser } = await import("../local/fer.js");
    return openRecogniser(MODEL, { logits: settings.logits, onProgress });
  };
  pageDevice = new Device({
    open: settings ? open : null,
    choice: hasServer ? (settings ? readText(KEY) : "server") || CHOICES[0] : "device",
    totalBytes: settings ? settings.bytes : 0,
  });
  return pageDevice;
}

/** Lets the visitor choose by a select in a label, which is shown where there is a choice. */
export function bindChoice(select, device, hasServer = true) {
  if (!device.exists || !hasServer) return;
  const show = () => {
    if (select.value !== device.choice) select.value = device.choice;
  };
  select.parentElement.hidden = false;
  select.addEventListener("change", () => {
    keepText(KEY, select.value);
    device.choose(select.value);
  });
  device.addEventListener("change", show);
  show();
}
