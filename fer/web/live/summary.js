/* The table of what was seen since the start. */

import { percent } from "../common/classes.js";
import { makeElement } from "../common/dom.js";

/**
 * Returns the texts of a face's row: id, time in view, shares of the labels, uncertain share.
 *
 * @param {number} id
 * @param {Object} sums as of `Record.summary`
 */
export function describeSums(id, { seconds, uncertain, shares }) {
  const parts = sortShares(shares).map(([name, s]) => `${name} ${percent(s / seconds)}`);
  return [String(id), `${seconds.toFixed(1)} s`, parts.join(", "), percent(uncertain / seconds)];
}

const sortShares = (shares) => Object.entries(shares).sort((a, b) => b[1] - a[1]);

function makeShareBar(shares, classes) {
  const parts = sortShares(shares).map(([name, s]) => {
    const part = makeElement("i");
    part.style.flexGrow = String(s);
    part.style.background = classes.colorOf(name);
    return part;
  });
  return makeElement("div", "shares", ...parts);
}

/** Fills the table; hides it when no face was seen. */
export function showSummary(table, { longest, nSeen }, classes) {
  table.hidden = !nSeen;
  if (!nSeen) return;
  table.querySelector("caption").textContent =
    nSeen > longest.length
      ? `Since the start: the ${longest.length} of ${nSeen} faces seen longest`
      : "Since the start";
  const rows = longest.map(([id, sums]) => {
    const row = document.createElement("tr");
    for (const text of describeSums(id, sums)) row.insertCell().textContent = text;
    row.cells[2].prepend(makeShareBar(sums.shares, classes));
    return row;
  });
  table.querySelector("tbody").replaceChildren(...rows);
}
