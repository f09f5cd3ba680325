// What is drawn over the video: a box, a label and seven small bars for each face. Boxes and
// bars glide towards the last answer; nothing is drawn that the server did not say.

const GLIDE_MS = 60; // time constant
const FADE_MS = 120; // a face comes and goes
const STALE_MS = 1500; // without an answer, boxes would lie
const BARS_BESIDE = 4; // more faces than this get the small chart only
const SHORT_LABEL_PX = 64; // narrower faces of several: icon and probability, for room
const NO_BARS_PX = 36;
const FONT = "system-ui, sans-serif";

const calmMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

function makeOverlay(canvas, isMirrored) {
  const pen = canvas.getContext("2d");
  let figures = new Map(); // track_id -> what is drawn of it
  let last = 0;
  let shownAt = 0;

  function show(reply) {
    shownAt = performance.now();
    const scale = 1 / reply.frame.width; // the size of a frame changes with the pace
    for (const figure of figures.values()) figure.leaving = true;
    for (const face of reply.faces) {
      const box = face.box_xyxy.map((value) => value * scale);
      const probs = props.class_names.map((name) => face.probs[name]);
      const old = figures.get(face.track_id);
      figures.set(face.track_id, {
        face,
        target: [...box, ...probs],
        now: old ? old.now : [...box, ...probs],
        alpha: old ? old.alpha : 0,
        leaving: false,
      });
    }
  }

  function clear() {
    figures = new Map();
    pen.clearRect(0, 0, canvas.width, canvas.height);
  }

  function draw(time) {
    const dpr = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dpr);
    const height = Math.round(canvas.clientHeight * dpr);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const passed = Math.min(1000, time - last);
    last = time;
    const calm = calmMotion.matches;
    const nearer = calm ? 1 : 1 - Math.exp(-passed / GLIDE_MS);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.setTransform(dpr, 0, 0, dpr, 0, 0); // from here in CSS pixels, crisp on any screen
    for (const [id, figure] of figures) {
      if (time - shownAt > STALE_MS) figure.leaving = true;
      const fade = calm ? 1 : passed / FADE_MS;
      figure.alpha += figure.leaving ? -fade : Math.min(fade, 1 - figure.alpha);
      if (figure.alpha <= 0 && figure.leaving) {
        figures.delete(id);
        continue;
      }
      figure.now = figure.now.map((value, i) => value + (figure.target[i] - value) * nearer);
      pen.globalAlpha = Math.max(0, figure.alpha);
      drawFace(figure, width / dpr, height / dpr);
    }
    pen.globalAlpha = 1;
  }

  function drawFace(figure, width, height) {
    let [x0, y0, x1, y1] = figure.now.slice(0, 4).map((value) => value * width);
    if (isMirrored()) [x0, x1] = [width - x1, width - x0];
    const color = colorOf(figure.face.label);
    pen.lineJoin = "round";
    for (const [lineWidth, style] of [
      [5, "rgba(0, 0, 0, 0.5)"],
      [3, color],
    ]) {
      pen.lineWidth = lineWidth; // a dark rim is seen on any background
      pen.strokeStyle = style;
      pen.setLineDash(figure.face.uncertain && lineWidth === 3 ? [10, 7] : []);
      pen.beginPath();
      pen.roundRect(x0, y0, x1 - x0, y1 - y0, 6);
      pen.stroke();
    }
    pen.setLineDash([]);
    drawLabel(figure.face, color, [x0, y0, x1, y1], width, height);
    drawBars(figure.now.slice(4), [x0, y0, x1, y1], width, height);
  }

  function drawLabel(face, color, [x0, y0, x1, y1], width, height) {
    const short = figures.size > 2 && x1 - x0 < SHORT_LABEL_PX;
    const size = short ? 12 : Math.max(13, Math.min(20, (x1 - x0) / 8));
    pen.font = "600 " + size + "px " + FONT;
    pen.textBaseline = "middle";
    const icon = iconOf(face.label);
    const named = short && icon ? (face.uncertain ? "?" : "") : title(face);
    const text = (named + " " + percent(face.probs[face.label])).trim();
    const textWidth = pen.measureText(text).width;
    pen.font = "400 " + 0.8 * size + "px " + FONT;
    const id = "#" + face.track_id;
    const idWidth = pen.measureText(id).width;
    const iconWidth = icon ? 1.5 * size : 0;
    const boxWidth = iconWidth + textWidth + idWidth + 1.4 * size;
    const boxHeight = 1.7 * size;
    const left = Math.max(2, Math.min(width - boxWidth - 2, x0 - 1.5));
    const above = y0 - boxHeight - 3;
    const top = above >= 2 ? above : Math.max(2, Math.min(y0 + 4, height - boxHeight - 2));
    pen.fillStyle = color;
    pen.strokeStyle = "rgba(0, 0, 0, 0.5)";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.roundRect(left, top, boxWidth, boxHeight, 5);
    pen.stroke();
    pen.fill();
    const ink = inkOf(face.label);
    const middle = top + boxHeight / 2;
    let x = left + 0.45 * size;
    if (icon) {
      drawIcon(pen, icon, x, middle - 0.65 * size, 1.3 * size, ink);
      x += iconWidth;
    }
    pen.fillStyle = ink;
    pen.font = "600 " + size + "px " + FONT;
    pen.fillText(text, x, middle + 0.04 * size);
    pen.font = "400 " + 0.8 * size + "px " + FONT;
    pen.fillText(id, x + textWidth + 0.45 * size, middle + 0.04 * size);
  }

  // Named bars beside the face where there is room, bare ones under it otherwise.
  function drawBars(probs, [x0, y0, x1, y1], width, height) {
    const row = Math.max(13, Math.min(20, width / 55));
    const panel = { width: 9.4 * row, height: row * probs.length + 8 };
    const left = x1 + 8 + panel.width <= width ? x1 + 8 : x0 - 8 - panel.width;
    const room = left >= 2 && panel.height <= height - 4 && figures.size <= BARS_BESIDE;
    if (room && x1 - x0 >= 60) {
      const top = Math.max(2, Math.min(y0, height - panel.height - 2));
      drawPanel(left, top, panel.width, panel.height);
      pen.font = 0.8 * row + "px " + FONT;
      pen.textBaseline = "middle";
      probs.forEach((p, i) => {
        const y = top + 4 + row * i;
        pen.fillStyle = "#ffffff";
        pen.fillText(props.class_names[i], left + 6, y + 0.5 * row, 4 * row);
        drawBar(i, left + 4.6 * row, y + 0.22 * row, 4.4 * row, 0.56 * row, p, true);
      });
      return;
    }
    if (x1 - x0 < NO_BARS_PX) return;
    const bar = 7;
    const small = { width: bar * probs.length + 6, height: 30 };
    const x = Math.max(2, Math.min(width - small.width - 2, x0));
    const y = Math.max(2, Math.min(height - small.height - 2, y1 + 4));
    drawPanel(x, y, small.width, small.height);
    probs.forEach((p, i) => drawBar(i, x + 3 + bar * i + 1, y + 3, bar - 2, 24, p, false));
  }

  function drawPanel(x, y, width, height) {
    pen.fillStyle = "rgba(12, 16, 20, 0.72)";
    pen.beginPath();
    pen.roundRect(x, y, width, height, 5);
    pen.fill();
  }

  function drawBar(i, x, y, width, height, p, lying) {
    pen.fillStyle = "rgba(255, 255, 255, 0.12)";
    pen.fillRect(x, y, width, height);
    pen.fillStyle = props.class_colors[i];
    if (lying) pen.fillRect(x, y, width * p, height);
    else pen.fillRect(x, y + height * (1 - p), width, height * p);
  }

  return { show, clear, draw };
}

// A drawing of 24 x 24 units, stroked at a size in pixels.
function drawIcon(pen, path, x, y, size, color) {
  pen.save();
  pen.translate(x, y);
  pen.scale(size / 24, size / 24);
  pen.lineWidth = 2;
  pen.lineCap = "round";
  pen.lineJoin = "round";
  pen.strokeStyle = color;
  pen.stroke(new Path2D(path));
  pen.restore();
}
