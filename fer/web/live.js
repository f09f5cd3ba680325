// The Live tab. Gradio runs this with `element`, `props` and `server` in scope.
// The video never leaves the browser: a small JPEG goes up only when the last answer is
// back, and boxes are drawn here from what the server said.

const FRAME_WIDTH = 320; // px sent; a face an arm's length away is then about 90 px wide
const JPEG_QUALITY = 0.7;
const MIN_INTERVAL_MS = 33; // never faster than a camera
const GLIDE_MS = 60; // time constant with which a drawn box nears the last answer
const SPOKEN_MS = 1000;
const PATIENCE_MS = 10000; // for one answer
const FAILURES_SHOWN = 3; // in a row, after which old boxes would lie
const MAX_CARDS = 4;

const find = (selector) => element.querySelector(selector);
const stage = find(".stage");
const video = find("video");
const canvas = find("canvas");
const message = find(".message");
const startButton = find(".start");
const stopButton = find(".stop");
const cameras = find("select");
const speed = find(".speed");
const facesPanel = find(".faces");
const spoken = find(".spoken");
const sheet = document.createElement("canvas");
const welcome = message.textContent;

let stream = null;
let turn = 0; // counts starts, so that a loop of an earlier start ends itself
let answer = null; // the last good one
let drawn = []; // boxes as drawn, nearing `answer`
let lastDraw = 0;
let lastSpoken = 0;
let answered = []; // [time, round trip ms] of the last seconds

const PROBLEMS = {
  NotAllowedError:
    "The camera is blocked. Allow it for this page in the browser's address bar, then start again.",
  NotFoundError: "No camera was found. Connect one, or use the Photo tab.",
  NotReadableError: "The camera is in use by another program. Close it there, then start again.",
  OverconstrainedError: "That camera is not available any more. Choose another one.",
};

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const isHidden = () => document.hidden || element.offsetParent === null;
const percent = (p) => Math.round(100 * p) + " %";

function colorOf(name) {
  return props.class_colors[props.class_names.indexOf(name)] || "#999999";
}

function textOn(color) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 110 ? "#000000" : "#ffffff";
}

function caption(face) {
  return face.label + (face.uncertain ? "? " : " ") + percent(face.probs[face.label]);
}

function closeStream() {
  turn += 1;
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
  answer = null;
  drawn = [];
  answered = [];
}

function stop(text) {
  closeStream();
  stage.dataset.state = "off";
  stopButton.disabled = true;
  startButton.disabled = false;
  message.textContent = text || welcome;
  speed.textContent = "";
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  showFaces([]);
}

async function listCameras(track) {
  const used = track.getSettings().deviceId;
  const devices = await navigator.mediaDevices.enumerateDevices();
  const inputs = devices.filter((device) => device.kind === "videoinput");
  cameras.replaceChildren(
    ...inputs.map((device, i) => {
      const name = device.label || "Camera " + (i + 1);
      return new Option(name, device.deviceId, false, device.deviceId === used);
    })
  );
  cameras.disabled = inputs.length < 2;
}

async function start(deviceId) {
  if (!window.isSecureContext) {
    stop("Browsers open a camera only on https pages and on localhost. Open this page that way.");
    return;
  }
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) {
    stop("This browser cannot open a camera. Use the Photo tab.");
    return;
  }
  closeStream();
  const mine = turn;
  startButton.disabled = true;
  message.textContent = "Waiting for the camera ...";
  const size = { width: { ideal: 640 }, height: { ideal: 480 } };
  const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
  let opened;
  try {
    opened = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...size, ...which } });
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
  stage.dataset.state = "on";
  stopButton.disabled = false;
  stopButton.focus({ preventScroll: true });
  requestAnimationFrame(draw);
  await sendFrames(mine);
}

// The stage has the shape of the video, so that the canvas lies on it pixel for pixel, also
// after a phone was turned.
function fitStage() {
  if (!video.videoWidth) return;
  const ratio = video.videoWidth / video.videoHeight;
  stage.style.aspectRatio = String(ratio);
  stage.style.width = "min(100%, " + 72 * ratio + "vh)";
}

function grab() {
  sheet.width = Math.min(FRAME_WIDTH, video.videoWidth);
  sheet.height = Math.round((sheet.width * video.videoHeight) / video.videoWidth);
  sheet.getContext("2d").drawImage(video, 0, 0, sheet.width, sheet.height);
  return sheet.toDataURL("image/jpeg", JPEG_QUALITY);
}

async function sendFrames(mine) {
  let failures = 0;
  while (mine === turn) {
    if (isHidden()) {
      await sleep(250);
      continue;
    }
    const sent = performance.now();
    let reply;
    try {
      const late = sleep(PATIENCE_MS).then(() => Promise.reject(new Error("late")));
      reply = await Promise.race([server.live_frame({ image: grab() }), late]);
    } catch (error) {
      reply = { error: { code: "network", message: "No answer from the server, trying again." } };
    }
    if (mine !== turn) return;
    const now = performance.now();
    if (reply && reply.faces) {
      failures = 0;
      answered.push([now, now - sent]);
      take(reply);
    } else {
      failures += 1;
      const problem = (reply && reply.error) || {};
      speed.textContent = problem.message || "No answer from the server, trying again.";
      if (failures === FAILURES_SHOWN) {
        answer = null;
        drawn = [];
        canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
        showFaces([], speed.textContent);
      }
      await sleep(problem.retry_after_ms || Math.min(4000, 100 * 2 ** failures));
    }
    await sleep(Math.max(0, sent + MIN_INTERVAL_MS - performance.now()));
  }
}

function take(reply) {
  const before = drawn;
  answer = reply;
  drawn = reply.faces.map((face) => {
    const box = face.box_xyxy;
    const old = before.find((item) => overlap(item.box, box) > 0.3);
    return { face, target: box, box: old ? old.box : box.slice() };
  });
  const now = performance.now();
  answered = answered.filter(([time]) => now - time < 2000);
  const trips = answered.map(([, ms]) => ms).sort((a, b) => a - b);
  const span = now - answered[0][0];
  const rate = span > 200 ? ((answered.length - 1) * 1000) / span : 0;
  speed.textContent =
    rate.toFixed(0) + " answers/s · " + trips[trips.length >> 1].toFixed(0) + " ms";
  showFaces(reply.faces);
  if (now - lastSpoken > SPOKEN_MS) {
    const text = reply.faces.slice(0, MAX_CARDS).map(caption).join(", ") || "no face";
    // Read out only what changed: the percentages would never rest.
    const calm = text.replace(/ \d+ %/g, "");
    if (spoken.textContent !== calm) {
      spoken.textContent = calm;
      lastSpoken = now;
    }
  }
  stage.dataset.answers = Number(stage.dataset.answers || 0) + 1;
  stage.dataset.faces = JSON.stringify(
    reply.faces.map((face) => ({ label: face.label, box: face.box_xyxy, frame: reply.frame }))
  );
}

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return (width * height) / (area(a) + area(b) - width * height);
}

function draw(now) {
  if (!stream) return;
  requestAnimationFrame(draw);
  if (!answer || isHidden()) return;
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const step = 1 - Math.exp(-(now - lastDraw) / GLIDE_MS);
  lastDraw = now;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  for (const item of drawn) {
    item.box = item.box.map((value, i) => value + (item.target[i] - value) * step);
    drawFace(pen, item, width, height, scale);
  }
}

function drawFace(pen, item, width, height, scale) {
  const zoom = width / answer.frame.width;
  let [x0, y0, x1, y1] = item.box.map((value) => value * zoom);
  if (stage.classList.contains("mirrored")) [x0, x1] = [width - x1, width - x0];
  const color = colorOf(item.face.label);
  pen.lineJoin = "round";
  pen.lineWidth = 5 * scale;
  pen.strokeStyle = "rgba(0, 0, 0, 0.45)"; // seen on any background
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  pen.lineWidth = 3 * scale;
  pen.strokeStyle = color;
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  const size = Math.max(14, Math.min(22, (x1 - x0) / scale / 8)) * scale;
  pen.font = "600 " + size + "px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const text = caption(item.face);
  const boxWidth = pen.measureText(text).width + size;
  const boxHeight = size * 1.6;
  const left = Math.max(0, Math.min(width - boxWidth, x0 - 1.5 * scale));
  const top = y0 - boxHeight < 0 ? Math.min(y1, height - boxHeight) : y0 - boxHeight;
  pen.fillStyle = color;
  pen.beginPath();
  pen.roundRect(left, top, boxWidth, boxHeight, 4 * scale);
  pen.fill();
  pen.fillStyle = textOn(color);
  pen.fillText(text, left + size / 2, top + boxHeight / 2);
}

function makeCard() {
  const card = document.createElement("div");
  card.className = "fer-card";
  const head = document.createElement("div");
  head.className = "fer-card-head";
  card.append(head);
  for (const name of props.class_names) {
    const row = document.createElement("div");
    row.className = "fer-bar";
    row.innerHTML =
      '<span></span><span class="track"><span class="fill"></span></span><span class="percent"></span>';
    row.firstChild.textContent = name;
    row.querySelector(".fill").style.background = colorOf(name);
    card.append(row);
  }
  return card;
}

function showFaces(faces, reason = "No face in view.") {
  const shown = faces.slice(0, MAX_CARDS);
  const none = facesPanel.querySelector(".none");
  none.hidden = shown.length > 0;
  if (stream) none.textContent = reason;
  let cards = [...facesPanel.querySelectorAll(".fer-card")];
  while (cards.length > shown.length) cards.pop().remove();
  while (cards.length < shown.length) {
    const card = makeCard();
    facesPanel.append(card);
    cards.push(card);
  }
  shown.forEach((face, i) => {
    cards[i].querySelector(".fer-card-head").textContent = face.uncertain
      ? "uncertain: " + face.label + "?"
      : face.label;
    const rows = cards[i].querySelectorAll(".fer-bar");
    props.class_names.forEach((name, j) => {
      const p = face.probs[name];
      rows[j].querySelector(".fill").style.width = 100 * p + "%";
      rows[j].querySelector(".percent").textContent = percent(p);
    });
  });
}

video.addEventListener("resize", fitStage);
startButton.addEventListener("click", () => start(cameras.disabled ? undefined : cameras.value));
stopButton.addEventListener("click", () => {
  stop();
  startButton.focus({ preventScroll: true });
});
cameras.addEventListener("change", () => start(cameras.value));
