/* The answers since the start, kept in this browser only: rows, sums for each face, and a CSV. */

/** Length of the plot in seconds. */
export const SHOWN_S = 60;
/** After a longer gap in seconds a face was away. */
export const GAP_S = 0.7;

const MAX_ROWS = 60000; // half an hour of one face at 30 answers/s
const MAX_BANDS = 4;
const MAX_SUMMARY = 20;

const quote = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);

/** Keeps the answers of a stream from `start` to `stop`. */
export class Record {
  #classNames;
  #clock;
  // { time: s since the start, id, label, uncertain, box, probs, raw: where compared with a face }
  #rows = [];
  #faces = new Map(); // id -> { seconds, uncertain: s, shares: { label: s }, last: time }
  #startedAt = 0; // of clock.now(), which is never set back
  #startedUtc = 0; // of clock.utc()
  #length = null; // s, once stopped

  /**
   * @param {string[]} classNames
   * @param {{now: () => number, utc: () => number}} clock milliseconds of `performance.now()` and
   *   of `Date.now()`
   */
  constructor(classNames, clock) {
    this.#classNames = classNames;
    this.#clock = clock;
  }

  start() {
    this.#rows = [];
    this.#faces = new Map();
    this.#startedAt = this.#clock.now();
    this.#startedUtc = this.#clock.utc();
    this.#length = null;
  }

  stop() {
    this.#length = this.elapsed;
  }

  /** Whether a face was seen since the start. */
  get hasRows() {
    return this.#rows.length > 0;
  }

  /** Seconds from start to stop, or to now. */
  get elapsed() {
    return this.#length === null ? (this.#clock.now() - this.#startedAt) / 1000 : this.#length;
  }

  /** The date of the stop, or of now. */
  get end() {
    return new Date(this.#startedUtc + 1000 * this.elapsed);
  }

  /**
   * Adds an answer.
   *
   * @param {Object} answer with `frame` and `faces`
   * @param {number} at when its frame was taken, of clock.now()
   * @param {number} videoWidth of the camera; boxes are kept in its pixels
   */
  add(answer, at, videoWidth) {
    const scale = videoWidth / answer.frame.width;
    const time = (at - this.#startedAt) / 1000;
    for (const face of answer.faces) {
      this.#sum(face, time);
      this.#rows.push({
        time,
        id: face.track_id,
        label: face.label,
        uncertain: face.uncertain,
        box: face.box_xyxy.map((value) => value * scale),
        probs: this.#classNames.map((name) => face.probs[name]),
        raw: face.raw && this.#classNames.map((name) => face.raw[name]),
      });
    }
    if (this.#rows.length > MAX_ROWS) this.#rows = this.#rows.slice(-0.75 * MAX_ROWS);
  }

  /** Adds the time since the face's last row to its sums, unless the face was away. */
  #sum(face, time) {
    const sums = this.#faces.get(face.track_id) || {
      seconds: 0,
      uncertain: 0,
      shares: {},
      last: time,
    };
    const passed = time - sums.last > GAP_S ? 0 : time - sums.last;
    sums.last = time;
    sums.seconds += passed;
    sums.uncertain += face.uncertain ? passed : 0;
    sums.shares[face.label] = (sums.shares[face.label] || 0) + passed;
    this.#faces.set(face.track_id, sums);
  }

  /**
   * Returns the rows of the `SHOWN_S` seconds before `until`.
   *
   * @returns {{bands: Array, nSeen: number}} [id, rows] of the faces seen longest, by id; and the
   *   number of all faces
   */
  lastMinute(until) {
    const bands = new Map();
    const rows = this.#rows;
    for (let i = rows.length - 1; i >= 0 && rows[i].time >= until - SHOWN_S; i -= 1) {
      if (!bands.has(rows[i].id)) bands.set(rows[i].id, []);
      bands.get(rows[i].id).push(rows[i]);
    }
    const longest = [...bands].sort((a, b) => b[1].length - a[1].length || a[0] - b[0]);
    const shown = longest.slice(0, MAX_BANDS).sort((a, b) => a[0] - b[0]);
    return { bands: shown.map(([id, found]) => [id, found.reverse()]), nSeen: bands.size };
  }

  /**
   * Returns the sums since the start.
   *
   * @returns {{longest: Array, nSeen: number}} [id, {seconds, uncertain, shares}] of the faces seen
   *   longest, by id; and the number of all faces. `uncertain` and `shares` are in seconds.
   */
  summary() {
    const seen = [...this.#faces].filter(([, sums]) => sums.seconds > 0);
    const longest = [...seen].sort((a, b) => b[1].seconds - a[1].seconds).slice(0, MAX_SUMMARY);
    return { longest: longest.sort((a, b) => a[0] - b[0]), nSeen: seen.length };
  }

  /**
   * Returns all rows as CSV with a header. Where a face was compared with its resting face, the
   * probabilities before that follow.
   */
  csv() {
    const hasRaw = this.#rows.some(({ raw }) => raw);
    const digits = (probs) => probs.map((p) => p.toFixed(4));
    const head = ["time_utc", "time_s", "track_id", "label", "uncertain", "x0", "y0", "x1", "y1"];
    for (const kind of hasRaw ? ["p", "raw"] : ["p"])
      head.push(...this.#classNames.map((name) => quote(`${kind}_${name}`)));
    const lines = this.#rows.map((row) => [
      new Date(this.#startedUtc + 1000 * row.time).toISOString(),
      row.time.toFixed(3),
      row.id,
      quote(row.label),
      row.uncertain,
      ...row.box.map((value) => value.toFixed(1)),
      ...digits(row.probs),
      ...(hasRaw ? digits(row.raw || row.probs) : []),
    ]);
    return [head, ...lines].map((line) => line.join(",")).join("\n") + "\n";
  }
}

/** Returns a name such as "expressions_2026-01-31_23-59-58.csv", in the visitor's time zone. */
export function fileName(date, ending) {
  const local = new Date(date - 60000 * date.getTimezoneOffset()).toISOString();
  return `expressions_${local.slice(0, 19).replace("T", "_").replaceAll(":", "-")}${ending}`;
}
