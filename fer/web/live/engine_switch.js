/*
 * Who analyses the frames: the server, or this device. The page says which, lets the visitor
 * choose, and remembers the choice.
 */

import { CHOICES, Engines } from "../common/engines.js";

const KEY = "fer-engine"; // in localStorage
const MODEL = new URL("../model/", import.meta.url).href;

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

/** Returns the remembered choice; browsers may forbid to remember. */
function readChoice() {
  try {
    return localStorage.getItem(KEY) || CHOICES[0];
  } catch {
    return CHOICES[0];
  }
}

function keepChoice(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // It holds until the page is closed.
  }
}

/** Says where frames go, in one sentence. */
export function describeEngines({ active, device, bytes, problem }, totalBytes) {
  const loading = `Loading the recogniser, ${megabytes(bytes)} of ${megabytes(totalBytes)} MB.`;
  if (active === "device") return "Runs on this device: no frame leaves it.";
  const server = active === "server" ? "Frames are sent to the server." : "";
  if (device === "loading") return `${server} ${loading}`.trim();
  if (device === "failed" && problem) return `${server} Not on this device: ${problem}`.trim();
  return server || "Runs on this device once the camera is on: no frame will leave it.";
}

const WELCOME = {
  auto: "Frames are sent to the server only until this device can analyse them itself, and are not stored.",
  device: "Its frames are analysed on this device.",
  server: "Small frames are sent to the server for analysis and are not stored.",
};

/** Says before the start where frames will go. */
export const describeStart = (choice) => `The video stays in this browser. ${WELCOME[choice]}`;

/**
 * Makes the engines of the tab, and their switch.
 *
 * @param {Object} options
 * @param {?{logits: number[], bytes: number}} options.settings of the local engine, from
 *   fer/web/live/tab.py; null where it is unavailable
 * @param {{live_frame: Function}} options.server
 * @param {HTMLSelectElement} options.select the visitor's choice
 * @param {HTMLElement} options.status says where frames go
 */
export function makeEngines({ settings, server, select, status }) {
  const openDevice = async (onProgress) => {
    const { open } = await import("../local/fer.js");
    return open(MODEL, { logits: settings.logits, onProgress });
  };
  const engines = new Engines({
    server,
    openDevice: settings ? openDevice : null,
    choice: settings ? readChoice() : "server",
    onChange: update,
  });
  function update() {
    const text = describeEngines(engines, settings ? settings.bytes : 0);
    if (status.textContent !== text) status.textContent = text;
  }
  if (settings) {
    select.value = engines.choice;
    select.parentElement.hidden = false;
    select.addEventListener("change", () => {
      keepChoice(select.value);
      engines.choose(select.value);
    });
  }
  update();
  return engines;
}
