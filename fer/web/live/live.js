// The Live tab. Gradio runs this with `element`, `props` and `server` in scope, after
// face.js, overlay.js, timeline.js and pace.js. The video never leaves the browser: a small JPEG
// goes up only when the last answer is back, with the state of the tracker that the last answer
// brought, so the server remembers nothing.

const JPEG_QUALITY = 0.7;
const SPOKEN_MS = 1000;
const PLOT_MS = 250;
const PATIENCE_MS = 10000; // for one answer
const SLOW_MS = 2500; // after which a visitor is told that an answer is awaited
const FAILURES_SHOWN = 3; // in a row, after which the panel tells why it is empty
const MAX_CARDS = 4;
const NO_ANSWER = "No answer from the server, trying again.";

const find = (selector) => element.querySelector(selector);
const view = find(".view");
const stage = find(".stage");
const video = find("video");
const message = find(".message");
const hint = find(".hint");
const startButton = find(".start");
const stopButton = find(".stop");
const wideButton = find(".wide");
const cameras = find("select");
const speed = find(".speed");
const facesPanel = find(".faces");
const recordPanel = find(".record");
const plot = find(".plot");
const spoken = find(".spoken");
const sheet = document.createElement("canvas");
const welcome = message.textContent;
const invitation = find(".none").textContent;
const visitor = Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-");

const overlay = makeOverlay(find("canvas"), () => stage.classList.contains("mirrored"));
const record = makeRecord();

let stream = null;
let turn = 0; // counts starts, so that a loop of an earlier start ends itself
let state = null; // of the tracker, as the last answer brought it
let askedAt = null; // when the frame was sent whose answer is awaited
let pace = makePace();
let lastSpoken = 0;
let answered = []; // [time, round trip ms] of the last seconds
let nFrames = 0; // that the camera gave
let frameTimes = []; // of the last seconds

const PROBLEMS = {
  NotAllowedError:
    "The camera is blocked. Allow it for this page in the browser's address bar, then start again.",
  NotFoundError: "No camera was found. Connect one, or use the Photo tab.",
  NotReadableError: "The camera is in use by another program. Close it there, then start again.",
  OverconstrainedError: "That camera is not available any more. Choose another one.",
};
const INSECURE =
  "Browsers open a camera only on https pages and on localhost. Open this page that way.";

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const isHidden = () => document.hidden || element.offsetParent === null;

// --- camera ---------------------------------------------------------------------------

function closeStream() {
  turn += 1;
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
  answered = [];
  frameTimes = [];
  askedAt = null;
  overlay.clear();
  tell("");
}

function stop(text) {
  const focused = [document.body, startButton, stopButton].includes(document.activeElement);
  closeStream();
  record.stop();
  stage.dataset.state = "off";
  stopButton.disabled = true;
  startButton.disabled = false;
  if (focused) startButton.focus({ preventScroll: true });
  message.textContent = text || welcome;
  speed.textContent = "";
  spoken.textContent = "";
  showFaces([]);
  showPlot();
  showSummary();
}

// On a phone the two sides come first; then every camera by its name.
async function listCameras(track) {
  const used = track.getSettings();
  const devices = await navigator.mediaDevices.enumerateDevices();
  const inputs = devices.filter((device) => device.kind === "videoinput");
  const sides = used.facingMode && inputs.length > 1 ? ["user", "environment"] : [];
  const option = (text, value, chosen) => new Option(text, JSON.stringify(value), false, chosen);
  cameras.replaceChildren(
    ...sides.map((side) =>
      option(
        side === "user" ? "Front camera" : "Back camera",
        { facingMode: side },
        side === used.facingMode,
      ),
    ),
    ...inputs.map((device, i) =>
      option(
        device.label || "Camera " + (i + 1),
        { deviceId: { exact: device.deviceId } },
        !sides.length && device.deviceId === used.deviceId,
      ),
    ),
  );
  find(".camera").hidden = inputs.length < 2;
}

// `switching`: to another camera, while everything else goes on.
async function start(which, switching) {
  const cameraThere = navigator.mediaDevices && navigator.mediaDevices.getUserMedia;
  if (!window.isSecureContext || !cameraThere) {
    stop(
      window.isSecureContext ? "This browser cannot open a camera. Use the Photo tab." : INSECURE,
    );
    return;
  }
  closeStream();
  const mine = turn;
  startButton.disabled = true;
  message.textContent = "Waiting for the camera ...";
  if (switching) tell(message.textContent);
  const size = { width: { ideal: 640 }, height: { ideal: 480 } };
  let opened;
  try {
    opened = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { ...size, ...which },
    });
    if (mine !== turn) {
      opened.getTracks().forEach((track) => track.stop());
      return;
    }
    stream = opened;
    const track = stream.getVideoTracks()[0];
    track.addEventListener("ended", () => {
      if (mine === turn) stop("The camera was disconnected.");
    });
    stage.classList.toggle("mirrored", track.getSettings().facingMode !== "environment");
    video.srcObject = stream;
    await video.play();
    await listCameras(track);
  } catch (error) {
    // A camera that was given up meanwhile has nothing to say.
    if (mine === turn) {
      stop(PROBLEMS[error.name] || "The camera could not be opened: " + error.message);
    }
    return;
  }
  if (mine !== turn) return;
  fitStage();
  tell("");
  if (!switching) {
    stage.dataset.state = "on";
    stopButton.disabled = false;
    stopButton.focus({ preventScroll: true });
    state = null;
    record.start();
    recordPanel.hidden = false;
    find(".summary").hidden = true;
  }
  pace = makePace();
  countFrames(mine);
  draw(mine, performance.now());
  await Promise.all([sendFrames(mine), watch(mine)]);
}

// The stage has the shape of the video, so that the canvas lies on it pixel for pixel, also
// after a phone was turned.
function fitStage() {
  if (!video.videoWidth) return;
  stage.style.setProperty("--ratio", String(video.videoWidth / video.videoHeight));
}

function countFrames(mine) {
  if (!video.requestVideoFrameCallback) return;
  const count = (now) => {
    if (mine !== turn) return;
    nFrames += 1;
    frameTimes = frameTimes.filter((time) => now - time < 2000);
    frameTimes.push(now);
    video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback(count);
}

// --- frames up, answers down -----------------------------------------------------------

function grab() {
  sheet.width = Math.min(pace.get().width, video.videoWidth);
  sheet.height = Math.round((sheet.width * video.videoHeight) / video.videoWidth);
  sheet.getContext("2d").drawImage(video, 0, 0, sheet.width, sheet.height);
  return sheet.toDataURL("image/jpeg", JPEG_QUALITY);
}

async function ask(request) {
  let timer;
  const late = new Promise((done) => {
    timer = setTimeout(done, PATIENCE_MS);
  });
  try {
    return (await Promise.race([server.live_frame(request), late])) || {};
  } catch {
    return {};
  } finally {
    clearTimeout(timer);
  }
}

async function sendFrames(mine) {
  let failures = 0;
  while (mine === turn) {
    if (isHidden()) {
      await sleep(250);
      pace.resumed(performance.now());
      continue;
    }
    const before = nFrames;
    const sent = performance.now();
    askedAt = sent;
    const reply = await ask({ image: grab(), state, time_s: sent / 1000, visitor });
    if (mine !== turn) return;
    askedAt = null;
    const now = performance.now();
    if (reply.faces) {
      failures = 0;
      state = reply.state;
      pace.answered(now - sent, reply.timing_ms.wait, now);
      answered = answered.filter(([time]) => now - time < 2000);
      answered.push([now, now - sent]);
      take(reply, sent);
    } else {
      failures += 1;
      speed.textContent = "";
      const problem = reply.error || { code: "lost", message: NO_ANSWER };
      if (["busy", "stale", "lost"].includes(problem.code)) pace.failed(now);
      if (problem.code === "bad_state") state = null;
      if (failures >= FAILURES_SHOWN || problem.code === "busy") tell(problem.message);
      if (failures === FAILURES_SHOWN) showFaces([], problem.message);
      const wait = problem.retry_after_ms || Math.min(4000, 100 * 2 ** failures);
      await sleep(wait * (1 + Math.random() / 4)); // so that not all come back at once
    }
    await sleep(Math.max(0, sent + pace.get().intervalMs - performance.now()));
    await nextFrame(before);
  }
}

// Until the camera gave a frame that was not sent yet.
async function nextFrame(before) {
  if (!video.requestVideoFrameCallback) return;
  for (let i = 0; i < 25 && nFrames === before && stream; i += 1) await sleep(4);
}

function take(reply, at) {
  tell("");
  overlay.show(reply);
  record.add(reply, at, video.videoWidth);
  showFaces(reply.faces);
  showSpeed();
  speak(reply.faces);
  stage.dataset.answers = Number(stage.dataset.answers || 0) + 1;
}

// --- what a person sees ------------------------------------------------------------------

function draw(mine, now) {
  if (mine !== turn) return;
  requestAnimationFrame((next) => draw(mine, next));
  if (!isHidden()) overlay.draw(now);
}

// Over the picture, while it keeps running.
function tell(text) {
  hint.hidden = !text;
  if (hint.textContent !== text) hint.textContent = text;
}

const byId = (faces) => [...faces].sort((a, b) => a.track_id - b.track_id).slice(0, MAX_CARDS);

const rateOf = (times) =>
  times.length > 2
    ? Math.round(((times.length - 1) * 1000) / (times[times.length - 1] - times[0]))
    : 0;

function showSpeed() {
  const trips = answered.map(([, ms]) => ms).sort((a, b) => a - b);
  const parts = [
    rateOf(answered.map(([time]) => time)) + " answers/s",
    Math.round(trips[trips.length >> 1]) + " ms",
  ];
  if (frameTimes.length > 2) parts.unshift("video " + rateOf(frameTimes) + "/s");
  if (pace.get() !== PACES[0]) parts.push("slowed down, " + pace.get().width + " px");
  speed.textContent = parts.join(" · ");
}

// Read out only what changed: percentages would never rest.
function speak(faces) {
  const now = performance.now();
  if (now - lastSpoken < SPOKEN_MS) return;
  const who = (face) => (faces.length > 1 ? "face " + face.track_id + " " : "");
  const sure = (face) => (face.uncertain ? "uncertain, perhaps " : "") + face.label;
  const text = byId(faces)
    .map((face) => who(face) + sure(face))
    .join(", ");
  if (spoken.textContent === (text || "no face")) return;
  spoken.textContent = text || "no face";
  lastSpoken = now;
}

function makeBarRow(name) {
  const row = document.createElement("div");
  row.className = "fer-bar";
  row.innerHTML =
    '<span></span><span class="track"><span class="fill"></span></span><span class="percent"></span>';
  row.firstChild.textContent = name;
  row.querySelector(".fill").style.background = colorOf(name);
  return row;
}

function makeCard() {
  const card = document.createElement("div");
  card.className = "fer-card";
  const head = document.createElement("div");
  head.className = "fer-card-head";
  card.append(head, ...props.class_names.map(makeBarRow));
  return card;
}

function showFaces(faces, reason = "No face in view.") {
  const shown = byId(faces);
  const none = facesPanel.querySelector(".none");
  none.hidden = shown.length > 0;
  none.textContent = stream ? reason : invitation;
  let cards = [...facesPanel.querySelectorAll(".fer-card")];
  while (cards.length > shown.length) cards.pop().remove();
  while (cards.length < shown.length) {
    const card = makeCard();
    facesPanel.append(card);
    cards.push(card);
  }
  shown.forEach((face, i) => {
    const head = cards[i].querySelector(".fer-card-head");
    const text = title(face);
    const key = text + " " + face.track_id;
    if (head.dataset.key !== key) {
      head.dataset.key = key;
      const name = document.createElement("span");
      const number = document.createElement("small");
      name.textContent = text;
      number.textContent = "face " + face.track_id;
      name.append(number);
      head.replaceChildren(makeIcon(face.label), name);
    }
    const rows = cards[i].querySelectorAll(".fer-bar");
    props.class_names.forEach((name, j) => {
      const p = face.probs[name];
      rows[j].querySelector(".fill").style.width = 100 * p + "%";
      rows[j].querySelector(".percent").textContent = percent(p);
    });
  });
}

async function watch(mine) {
  while (mine === turn) {
    if (!isHidden()) showPlot();
    if (askedAt !== null && performance.now() - askedAt > SLOW_MS) tell(NO_ANSWER);
    await sleep(PLOT_MS);
  }
}

function showPlot() {
  if (recordPanel.hidden || !plot.clientWidth) return;
  const until = record.elapsed();
  const { bands, nSeen } = record.lastMinute(until);
  const more = nSeen > bands.length ? `, ${bands.length} of ${nSeen} faces` : "";
  find(".record h3").textContent = "Last minute" + more;
  const dpr = window.devicePixelRatio || 1;
  const [width, height] = [plot.clientWidth, plotHeight(bands.length)];
  plot.style.height = height + "px";
  plot.width = Math.round(width * dpr);
  plot.height = Math.round(height * dpr);
  const pen = plot.getContext("2d");
  pen.scale(dpr, dpr);
  const end = stream ? "now" : record.end().toLocaleTimeString();
  drawTimeline(pen, bands, until, width, getComputedStyle(element).color, end);
}

function showSummary() {
  const { longest, nSeen } = record.summary();
  find(".summary").hidden = !nSeen;
  if (!nSeen) return;
  find(".summary caption").textContent =
    nSeen > longest.length
      ? `Since the start, the ${longest.length} of ${nSeen} faces seen longest`
      : "Since the start";
  find(".summary tbody").replaceChildren(
    ...longest.map(([id, face]) => {
      const shares = Object.entries(face.shares).sort((a, b) => b[1] - a[1]);
      const row = document.createElement("tr");
      const cells = [
        String(id),
        face.seconds.toFixed(1) + " s",
        shares.map(([name, s]) => name + " " + percent(s / face.seconds)).join(", "),
        percent(face.uncertain / face.seconds),
      ];
      cells.forEach((text) => (row.insertCell().textContent = text));
      row.cells[2].prepend(makeShareBar(shares));
      return row;
    }),
  );
}

function makeShareBar(shares) {
  const bar = document.createElement("div");
  bar.className = "shares";
  bar.append(
    ...shares.map(([name, s]) => {
      const part = document.createElement("i");
      part.style.flexGrow = String(s);
      part.style.background = colorOf(name);
      return part;
    }),
  );
  return bar;
}

// --- controls ----------------------------------------------------------------------------

// iPhones have no full screen for anything but a video: there the view fills the window.
function toggleWide() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (view.classList.contains("filled")) fill(false);
  else if (view.requestFullscreen) view.requestFullscreen().catch(() => fill(true));
  else fill(true);
}

function fill(on) {
  view.classList.toggle("filled", on);
  showWide();
}

function showWide() {
  const wide = Boolean(document.fullscreenElement) || view.classList.contains("filled");
  wideButton.textContent = wide ? "Leave full screen" : "Full screen";
  wideButton.setAttribute("aria-pressed", String(wide));
}

find(".legend").replaceChildren(
  ...props.class_names.map((name) => {
    const entry = document.createElement("span");
    const mark = document.createElement("i");
    mark.style.background = colorOf(name);
    entry.append(mark, name);
    return entry;
  }),
);
video.addEventListener("resize", fitStage);
window.addEventListener("resize", showPlot);
document.addEventListener("fullscreenchange", showWide);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view.classList.contains("filled")) fill(false);
});
wideButton.addEventListener("click", toggleWide);
startButton.addEventListener("click", () =>
  start(cameras.value ? JSON.parse(cameras.value) : { facingMode: "user" }),
);
stopButton.addEventListener("click", () => stop());
cameras.addEventListener("change", () => {
  if (stage.dataset.state === "on") start(JSON.parse(cameras.value), true);
});
find(".csv").addEventListener("click", () => {
  download(new Blob([record.csv()], { type: "text/csv" }), fileName(record.end(), ".csv"));
});
find(".png").addEventListener("click", () => {
  drawPicture(record).toBlob((blob) => download(blob, fileName(record.end(), ".png")), "image/png");
});
