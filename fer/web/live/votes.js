/* What ten people would say of a face, from the shares that the model predicts for their votes. */

import { makeElement } from "../common/dom.js";

/** Each picture of FER+ was labelled by ten people. Source: Barsoum et al. 2016, arXiv:1608.01041. */
export const N_VOTES = 10;

// Shares are of one frame each; without smoothing the marks would flicker.
const SMOOTHING = 0.15; // part of an answer in what is shown

/**
 * Returns how many of ten people would vote for each class: fer/votes.py.
 *
 * @param {number[]} shares sum 1
 */
export function countVotes(shares) {
  const exact = shares.map((share) => N_VOTES * share);
  const counts = exact.map(Math.floor);
  const left = N_VOTES - counts.reduce((sum, n) => sum + n, 0);
  const order = exact.map((_, i) => i).sort((a, b) => exact[b] - counts[b] - exact[a] + counts[a]);
  for (const i of order.slice(0, left)) counts[i] += 1;
  return counts;
}

/** Smooths the shares of each face of a stream. */
export class SmoothVotes {
  #known = new Map(); // track_id -> shares

  /** Returns the smoothed {track_id: {name: share}} of an answer; faces without votes have none. */
  add(faces) {
    const known = new Map();
    for (const { track_id, votes } of faces) {
      if (!votes) continue;
      const old = this.#known.get(track_id) || votes;
      const mix = ([name, share]) => [name, old[name] + SMOOTHING * (share - old[name])];
      known.set(track_id, Object.fromEntries(Object.entries(votes).map(mix)));
    }
    this.#known = known;
    return known;
  }
}

/** Returns the votes in words, those of most people first: "6 neutral, 4 sad". */
export function describeVotes(votes) {
  const names = Object.keys(votes);
  const counts = countVotes(Object.values(votes));
  const voted = names.map((name, i) => [name, counts[i]]).filter(([, n]) => n > 0);
  voted.sort((a, b) => b[1] - a[1]);
  return voted.map(([name, n]) => `${n} ${name}`).join(", ");
}

/** Shows ten marks in a card and says what they mean; takes them away where there are no votes. */
export function showVotes(card, votes, classes) {
  let row = card.querySelector(".votes");
  if (!votes) {
    if (row) row.remove();
    return;
  }
  if (!row) {
    row = makeElement("p", "votes", makeElement("span", "marks"), makeElement("span", "words"));
    row.firstChild.setAttribute("aria-hidden", "true");
    card.append(row);
  }
  const text = `Ten people might say: ${describeVotes(votes)}`;
  if (row.lastChild.textContent === text) return;
  row.lastChild.textContent = text;
  row.firstChild.replaceChildren(...makeMarks(votes, classes));
}

function makeMarks(votes, classes) {
  const counts = countVotes(Object.values(votes));
  return Object.keys(votes).flatMap((name, i) =>
    Array.from({ length: counts[i] }, () => {
      const mark = makeElement("i");
      mark.style.background = classes.colorOf(name);
      return mark;
    }),
  );
}
