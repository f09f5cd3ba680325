/*
 * The page without a server: its tabs, when the recogniser is loaded, and the worker that keeps its
 * files for the next visit.
 */

import { sharedDevice } from "../common/device.js";
import { makeElement } from "../common/dom.js";
import { start as startFrame } from "../common/frame.js";

// The views of each tab: the element of each, its module, and props besides those of the page.
const VIEWS = {
  live: [{ id: "live", load: () => import("../live/live.js") }],
  photo: [
    {
      id: "photo",
      load: () => import("../photo/photo.js"),
      own: { view_id: "photo", takes_pictures: true },
    },
  ],
  examples: [
    { id: "example", load: () => import("../photo/photo.js"), own: { view_id: "example" } },
    {
      id: "examples-gallery",
      load: () => import("../examples/examples.js"),
      own: { view_id: "example" },
    },
  ],
};

const common = JSON.parse(document.querySelector("#props").textContent);
const device = sharedDevice(common.engine, false);

/** Starts a view, as Gradio starts it on a page with a server. */
async function startView({ id, load, own = {} }) {
  const element = document.getElementById(id);
  if (element.dataset.started !== undefined) return;
  element.dataset.started = "";
  const props = { ...common, ...own };
  try {
    (await load()).start({ element, props, server: null, trigger: null, watch: () => {} });
  } catch (error) {
    console.error(error);
    const said = "This part of the page could not be loaded. Reload the page.";
    const text = makeElement("p", "fer-error", said);
    text.setAttribute("role", "alert");
    element.prepend(text);
  }
}

// --- tabs ------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll("[role=tab]")];
const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

function showTab(shown) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab === shown));
    tab.tabIndex = tab === shown ? 0 : -1;
    panelOf(tab).hidden = tab !== shown;
  }
  VIEWS[shown.id.replace("tab-", "")].forEach(startView);
}

for (const tab of tabs) tab.addEventListener("click", () => showTab(tab));
startFrame({ element: document.querySelector(".fer-head") });

// --- the recogniser --------------------------------------------------------------------------

/** Loads the recogniser when the visitor comes near the button that needs it. */
async function loadInTime() {
  const button = document.querySelector("#live .start");
  for (const name of ["pointerenter", "focus"]) button.addEventListener(name, () => device.load());
  try {
    const { state } = await navigator.permissions.query({ name: "camera" });
    if (state === "granted") device.load();
  } catch {
    // The browser does not tell.
  }
}

// --- the next visit --------------------------------------------------------------------------

function offerNewer(reload) {
  const note = document.querySelector(".newer");
  note.hidden = false;
  note.querySelector("button").onclick = reload;
}

/** Reloads the page once a waiting worker has taken over. */
function takeOver(worker) {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
  worker.postMessage("take over");
}

async function keepFiles() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  const hadOne = Boolean(serviceWorker.controller);
  serviceWorker.addEventListener("controllerchange", () => {
    if (hadOne) offerNewer(() => location.reload());
  });
  const found = await serviceWorker.register("sw.js", { updateViaCache: "none" });
  const offer = () => found.waiting && offerNewer(() => takeOver(found.waiting));
  if (hadOne) offer();
  found.addEventListener("updatefound", () => {
    const worker = found.installing;
    worker.addEventListener("statechange", () => {
      if (worker.state === "installed" && hadOne) offer();
    });
  });
  const keepAll = async () => {
    if (device.state === "ready") (await serviceWorker.ready).active.postMessage("keep all");
  };
  device.addEventListener("change", keepAll);
  keepAll();
}

showTab(tabs[0]);
loadInTime();
// Browsers may forbid it; the page works without.
keepFiles().catch((error) => console.warn(error));
