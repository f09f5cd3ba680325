/* The table of what was seen in this session. */

import { percent } from "../common/classes.js";
import { makeElement } from "../common/dom.js";

/**
 * Returns the texts of a face's row: id, time in view, shares of the labels, share of time when unsure.
 *
 * @param {number} id
 * @param {Object} sums as of `Record.summary`
 */
export function describeSums(id, { seconds, uncertain, shares }) {
  const parts = sortShares(shares).map(([name, s]) => `${name} ${percent(s / seconds)}`);
  return [String(id), `${seconds.toFixed(1)} s`, parts.join(", "), percent(uncertain / seconds)];
}

// Expressions that a sentence names.
const MAX_NAMED = 3;

/** Returns the session in one or two sentences: the face seen longest; "" if none was. */
export function describeSession({ longest, nSeen }) {
  if (!nSeen) return "";
  const [id, sums] = [...longest].sort((a, b) => b[1].seconds - a[1].seconds)[0];
  const named = Object.fromEntries(sortShares(sums.shares).slice(0, MAX_NAMED));
  const [, seconds, shares, unsure] = describeSums(id, { ...sums, shares: named });
  const who = nSeen > 1 ? `Face ${id} (seen longest of ${nSeen}), ` : "";
  const doubt = sums.uncertain / sums.seconds < 0.005 ? "" : ` Unsure ${unsure} of the time.`;
  return `${who}${seconds}: ${shares}.${doubt}`;
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
      ? `This session: the ${longest.length} of ${nSeen} faces seen longest`
      : "This session";
  const rows = longest.map(([id, sums]) => {
    const row = document.createElement("tr");
    for (const text of describeSums(id, sums)) row.insertCell().textContent = text;
    row.cells[2].prepend(makeShareBar(sums.shares, classes));
    return row;
  });
  table.querySelector("tbody").replaceChildren(...rows);
}
