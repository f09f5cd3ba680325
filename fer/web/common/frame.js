/*
 * What is around the tabs of both pages: the link to the notice, and the keys that change tabs.
 */

import { isKeyTaken, moveIndex } from "./keys.js";
import { areKeysOn } from "./shortcuts.js";
import { findTabs } from "./tabs.js";

/** Opens the notice in full and goes there. */
function showNotice() {
  const heading = document.getElementById("limits");
  heading.closest(".fer-notice").querySelector("details").open = true;
  heading.scrollIntoView({ block: "start" });
  heading.focus({ preventScroll: true });
}

/** Returns the tab that a key leads to; undefined for other keys. */
export function tabOfKey(key, tabs, focused, withDigits = true) {
  if (withDigits && /^[1-9]$/.test(key)) return tabs[key - 1];
  const at = tabs.indexOf(focused);
  return at < 0 ? undefined : tabs[moveIndex(key, at, tabs.length)];
}

function onKey(event) {
  const { key, target } = event;
  const tabs = findTabs();
  const tab = isKeyTaken(event) ? undefined : tabOfKey(key, tabs, target, areKeysOn());
  if (!tab) return;
  event.preventDefault();
  tab.click();
  tab.focus();
}

/** Starts the frame of a page; `element` holds the head that fer/web/notice.py writes. */
export function start({ element }) {
  element.addEventListener("click", (event) => {
    if (!event.target.closest("a[href='#limits']")) return;
    event.preventDefault();
    showNotice();
  });
  document.addEventListener("keydown", onKey);
}
