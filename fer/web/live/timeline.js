// What was answered since the start, kept in this browser only: a plot of the last minute, a
// summary, and both as files.

const SHOWN_S = 60;
const GAP_S = 0.7; // longer than this a face was away
const MAX_ROWS = 60000; // half an hour of one face at 30 answers/s
const MAX_BANDS = 4;
const MAX_SUMMARY = 20;
const BAND_PX = 64;
const AXIS_PX = 22;
const NAME_PX = 62;

function makeRecord() {
  let rows = []; // { time: s since the start, id, label, uncertain, box, probs }
  let faces = new Map(); // id -> seconds in view, of them uncertain, and for each label
  let startedAt = 0; // ms of `performance.now()`, which no one sets back
  let startedUtc = 0;
  let length = null; // s, once stopped

  function start() {
    rows = [];
    faces = new Map();
    startedAt = performance.now();
    startedUtc = Date.now();
    length = null;
  }

  const elapsed = () => (length === null ? (performance.now() - startedAt) / 1000 : length);

  function stop() {
    length = elapsed();
  }

  function add(reply, at, videoWidth) {
    const scale = videoWidth / reply.frame.width;
    const time = (at - startedAt) / 1000;
    for (const face of reply.faces) {
      count(face, time);
      rows.push({
        time,
        id: face.track_id,
        label: face.label,
        uncertain: face.uncertain,
        box: face.box_xyxy.map((value) => value * scale),
        probs: props.class_names.map((name) => face.probs[name]),
      });
    }
    if (rows.length > MAX_ROWS) rows = rows.slice(-0.75 * MAX_ROWS);
  }

  // A face that was away counts again from when it is back.
  function count(face, time) {
    const known = faces.get(face.track_id) || { seconds: 0, uncertain: 0, shares: {}, last: time };
    const passed = time - known.last > GAP_S ? 0 : time - known.last;
    known.last = time;
    known.seconds += passed;
    known.uncertain += face.uncertain ? passed : 0;
    known.shares[face.label] = (known.shares[face.label] || 0) + passed;
    faces.set(face.track_id, known);
  }

  // The rows of each face in the `SHOWN_S` before `until`: of the faces seen longest, in the
  // order of their ids; and how many faces there were.
  function lastMinute(until) {
    const bands = new Map();
    for (let i = rows.length - 1; i >= 0 && rows[i].time >= until - SHOWN_S; i -= 1) {
      if (!bands.has(rows[i].id)) bands.set(rows[i].id, []);
      bands.get(rows[i].id).push(rows[i]);
    }
    const longest = [...bands].sort((a, b) => b[1].length - a[1].length || a[0] - b[0]);
    const shown = longest.slice(0, MAX_BANDS).sort((a, b) => a[0] - b[0]);
    return { bands: shown.map(([id, found]) => [id, found.reverse()]), nSeen: bands.size };
  }

  // For each of the faces seen longest: seconds in view, the seconds of each label, and the
  // uncertain seconds; and how many faces there were.
  function summary() {
    const seen = [...faces].filter(([, face]) => face.seconds > 0);
    const longest = [...seen].sort((a, b) => b[1].seconds - a[1].seconds).slice(0, MAX_SUMMARY);
    return { longest: longest.sort((a, b) => a[0] - b[0]), nSeen: seen.length };
  }

  function csv() {
    const quote = (text) => (/[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text);
    const head = ["time_utc", "time_s", "track_id", "label", "uncertain", "x0", "y0", "x1", "y1"];
    head.push(...props.class_names.map((name) => quote("p_" + name)));
    const lines = rows.map((row) => [
      new Date(startedUtc + 1000 * row.time).toISOString(),
      row.time.toFixed(3),
      row.id,
      quote(row.label),
      row.uncertain,
      ...row.box.map((value) => value.toFixed(1)),
      ...row.probs.map((p) => p.toFixed(4)),
    ]);
    return [head, ...lines].map((line) => line.join(",")).join("\n") + "\n";
  }

  const end = () => new Date(startedUtc + 1000 * elapsed());
  return { start, stop, add, lastMinute, summary, csv, elapsed, end };
}

// The plot: for each face a band of stacked probabilities; height in CSS pixels for n faces.
const plotHeight = (n) => Math.max(1, n) * BAND_PX + AXIS_PX;

// `end` is written at the right edge, the time `until`.
function drawTimeline(pen, bands, until, width, ink, end) {
  const left = NAME_PX;
  const span = width - left - 6;
  const xOf = (time) => left + span * (1 - (until - time) / SHOWN_S);
  pen.font = "12px " + FONT;
  pen.textBaseline = "middle";
  bands.forEach(([id, rows], k) => {
    const top = k * BAND_PX + 4;
    const height = BAND_PX - 10;
    pen.fillStyle = ink;
    pen.textAlign = "left";
    pen.fillText("face " + id, 2, top + height / 2, NAME_PX - 8);
    pen.globalAlpha = 0.3; // an outline only: a filled band would look like gray data
    pen.lineWidth = 1;
    pen.strokeStyle = ink;
    pen.strokeRect(left + 0.5, top - 0.5, span - 1, height + 1);
    pen.globalAlpha = 1;
    for (const run of runsOf(rows, SHOWN_S / span)) {
      const floor = run.map(() => 0);
      props.class_names.forEach((_, i) => {
        pen.fillStyle = props.class_colors[i];
        pen.beginPath();
        run.forEach((row, j) => {
          pen.lineTo(xOf(row.time), top + height * (1 - floor[j] - row.probs[i]));
        });
        for (let j = run.length - 1; j >= 0; j -= 1) {
          pen.lineTo(xOf(run[j].time), top + height * (1 - floor[j]));
          floor[j] += run[j].probs[i];
        }
        pen.fill();
      });
    }
  });
  const bottom = Math.max(1, bands.length) * BAND_PX;
  const endLeft = width - 2 - pen.measureText(end).width;
  pen.fillStyle = ink;
  pen.textAlign = "center";
  for (let ago = 0; ago <= SHOWN_S; ago += 15) {
    const x = xOf(until - ago);
    const text = "-" + ago + " s";
    pen.globalAlpha = 0.35;
    pen.fillRect(x - 0.5, 2, 1, bottom - 4);
    pen.globalAlpha = 1;
    // On a phone the end has its clock where this one would be.
    if (ago && x + pen.measureText(text).width / 2 < endLeft - 4) pen.fillText(text, x, bottom + 8);
  }
  pen.textAlign = "left";
  pen.fillText(end, endLeft, bottom + 8);
}

// Rows without gaps, not closer than `least` seconds; a run of one is widened to be seen.
function runsOf(rows, least) {
  const runs = [];
  let run = [];
  for (const row of rows) {
    const last = run[run.length - 1];
    if (last && row.time - last.time < least) continue;
    if (!last || row.time - last.time > GAP_S) {
      run = [];
      runs.push(run);
    }
    run.push(row);
  }
  return runs.map((one) =>
    one.length > 1 ? one : [one[0], { ...one[0], time: one[0].time + 2 * least }],
  );
}

function drawPicture(record) {
  const until = record.elapsed();
  const { bands } = record.lastMinute(until);
  const [width, head] = [960, 64];
  const sheet = document.createElement("canvas");
  sheet.width = 2 * width;
  sheet.height = 2 * (head + plotHeight(bands.length));
  const pen = sheet.getContext("2d");
  pen.scale(2, 2);
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, width, sheet.height);
  pen.fillStyle = "#111111";
  pen.font = "600 15px " + FONT;
  const when = record.end().toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  pen.fillText("Apparent expression, the minute before " + when, 8, 22);
  pen.font = "13px " + FONT;
  let x = 8;
  props.class_names.forEach((name, i) => {
    pen.fillStyle = props.class_colors[i];
    pen.fillRect(x, 36, 13, 13);
    pen.fillStyle = "#111111";
    pen.fillText(name, x + 18, 47);
    x += pen.measureText(name).width + 36;
  });
  pen.translate(0, head);
  drawTimeline(pen, bands, until, width, "#111111", record.end().toLocaleTimeString());
  return sheet;
}

// "expressions_2026-01-31_23-59-58.csv", at the visitor's time.
function fileName(time, ending) {
  const local = new Date(time - 60000 * time.getTimezoneOffset()).toISOString();
  return "expressions_" + local.slice(0, 19).replace("T", "_").replaceAll(":", "-") + ending;
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
