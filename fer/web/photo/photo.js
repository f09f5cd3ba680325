// The view of one picture's result. Gradio runs this with `element`, `props`, `server` and
// `watch` in scope, after face.js and zoom.js. `props.value` is what `show_picture` returned.
// Which face is looked at is known here only; for its explanation the crop of the face goes up.

const SMALL_PX = 64; // boxes narrower than this have their label when they are chosen
const PAUSE_MS = 120; // so that running through faces with the keys asks for the last one only
const NOTHING = 0.02; // of probability

const find = (selector) => element.querySelector(selector);
const stage = find(".stage");
const boxes = find(".boxes");
const cards = find(".cards");
const bars = find(".bars");
const visitor = Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-");
const welcome = find(".message").textContent;

let picture = null; // what is shown
let chosen = 0; // number of the face
let asked = ""; // "face:class" of the explanation that is looked at
let explanations = new Map(); // "face:class" -> answer
let timer;

const zoom = makeZoom(stage, find(".sheet"), (now) => {
  find(".nearer").disabled = now >= MAX_ZOOM;
  find(".farther").disabled = find(".whole").disabled = now <= 1;
  layLabels();
});

const topOf = (face) => face.probs[face.label];
const spokenName = (face, i) =>
  "Face " + (i + 1) + ", " + title(face) + ", " + percent(topOf(face));

function make(tag, className, ...children) {
  const one = document.createElement(tag);
  if (className) one.className = className;
  one.append(...children);
  return one;
}

function makeButton(className, ...children) {
  const one = make("button", className, ...children);
  one.type = "button";
  return one;
}

function makeImage(url) {
  const image = make("img");
  image.src = url;
  image.alt = "";
  return image;
}

// --- a new picture -----------------------------------------------------------------------

function show() {
  picture = props.value && props.value.data ? props.value : null;
  const problem = props.value && props.value.error;
  clearTimeout(timer);
  explanations = new Map();
  asked = "";
  find(".message").hidden = Boolean(picture || problem);
  find(".message").textContent = welcome;
  find(".fer-error").hidden = !problem;
  find(".fer-error").textContent = problem ? problem.message : "";
  find(".result").hidden = !picture;
  if (!picture) return;
  const { faces, frame } = picture.data;
  find(".sheet img").src = picture.shown.url;
  find(".sheet img").alt = "The picture, with " + countOf(faces);
  stage.style.setProperty("--ratio", String(frame.width / frame.height));
  find(".count").textContent = faces.length
    ? countOf(faces)
    : "No face was found. Faces work best when they are large, lit, and turned towards the camera.";
  const notes = picture.data.notes || [];
  find(".notes").hidden = !notes.length;
  find(".notes").textContent = notes.join(". ");
  find(".annotated").href = picture.annotated.url;
  find(".annotated").download = picture.annotated.orig_name;
  find(".data pre").textContent = JSON.stringify(picture.data, null, 2);
  find(".result").classList.toggle("lone", !faces.length);
  find(".detail").hidden = !faces.length;
  boxes.replaceChildren(...faces.map((face, i) => makeBox(face, i, frame)));
  cards.hidden = faces.length < 2;
  cards.replaceChildren(...(faces.length > 1 ? faces.map(makeCard) : []));
  zoom.reset();
  if (faces.length) choose(0);
}

const countOf = (faces) => (faces.length === 1 ? "1 face" : faces.length + " faces");

function paint(one, face) {
  one.style.setProperty("--color", colorOf(face.label));
  one.style.setProperty("--ink", inkOf(face.label));
}

function makeBox(face, i, frame) {
  const [x0, y0, x1, y1] = face.box_xyxy.map((value, axis) => {
    const side = axis % 2 ? frame.height : frame.width;
    return (100 * Math.min(side, Math.max(0, value))) / side;
  });
  const box = makeButton("box", make("span", "", title(face) + " " + percent(topOf(face))));
  box.classList.toggle("doubt", face.uncertain);
  box.setAttribute("aria-label", spokenName(face, i));
  Object.assign(box.style, {
    left: x0 + "%",
    top: y0 + "%",
    width: x1 - x0 + "%",
    height: y1 - y0 + "%",
  });
  paint(box, face);
  box.addEventListener("click", () => choose(i));
  return box;
}

function makeCard(face, i) {
  const name = face.label + (face.uncertain ? "?" : "");
  const text = make("span", "", name, make("small", "", percent(topOf(face)) + " · #" + (i + 1)));
  const card = makeButton("", makeImage(picture.crops[i]), text);
  card.setAttribute("aria-label", spokenName(face, i));
  paint(card, face);
  card.addEventListener("click", () => {
    choose(i);
    zoom.reveal(boxes.children[i]);
    find(".detail").scrollIntoView({ block: "nearest" });
  });
  return card;
}

// Labels stay inside the stage and off small boxes.
function layLabels() {
  const outer = stage.getBoundingClientRect();
  for (const box of boxes.children) {
    const inner = box.getBoundingClientRect();
    box.classList.toggle("small", inner.width < SMALL_PX);
    box.classList.toggle("top", inner.top - outer.top < 32);
    const label = box.firstChild.offsetWidth;
    box.classList.toggle("right", inner.left + label > outer.right - 4);
  }
}

// --- one face ------------------------------------------------------------------------------

function choose(i) {
  chosen = i;
  const { faces } = picture.data;
  const face = faces[i];
  for (const row of [boxes, cards]) {
    [...row.children].forEach((one, j) => {
      one.setAttribute("aria-pressed", String(j === i));
      one.tabIndex = j === i ? 0 : -1;
    });
  }
  const number = faces.length > 1 ? ["face " + (i + 1) + " of " + faces.length] : [];
  find(".detail h3").replaceChildren(
    ...(iconOf(face.label) ? [makeIcon(face.label)] : []),
    make("span", "", title(face) + " " + percent(topOf(face)), make("small", "", ...number)),
  );
  find(".crop").src = picture.crops[i];
  bars.replaceChildren(...props.class_names.map((name) => makeBar(name, face.probs[name])));
  explain(face.label);
}

function makeBar(name, p) {
  const fill = make("span", "fill");
  fill.style.width = 100 * p + "%";
  fill.style.background = colorOf(name);
  const bar = makeButton(
    "fer-bar",
    make("span", "", name),
    make("span", "track", fill),
    make("span", "percent", percent(p)),
  );
  bar.dataset.name = name;
  bar.addEventListener("click", () => explain(name));
  return bar;
}

function explain(name) {
  const key = chosen + ":" + name;
  const crop = picture.crops[chosen];
  asked = key;
  for (const bar of bars.children) {
    bar.setAttribute("aria-pressed", String(bar.dataset.name === name));
  }
  find(".legend span").textContent = "speaks for " + name;
  clearTimeout(timer);
  if (explanations.has(key)) {
    showExplanation(name, explanations.get(key));
    return;
  }
  find(".map img").src = crop;
  find(".map").dataset.state = "asked";
  find(".busy").hidden = false;
  find(".why").textContent = "";
  timer = setTimeout(async () => {
    const known = explanations; // another picture has another one
    let answer;
    try {
      answer = await server.explain_face({ crop, class_index: classOf(name), visitor });
    } catch {
      answer = null;
    }
    answer = answer || { error: { message: "No answer from the server. Choose the face again." } };
    if (answer.map) known.set(key, answer);
    if (known === explanations && key === asked) showExplanation(name, answer);
  }, PAUSE_MS);
}

function showExplanation(name, answer) {
  find(".busy").hidden = true;
  find(".map").dataset.state = answer.map ? "shown" : "failed";
  find(".why").textContent = answer.map ? sentence(name, answer) : answer.error.message;
  if (!answer.map) return;
  find(".map img").src = answer.map;
  find(".map img").alt = "What speaks for " + name + " in this face, and what against it";
}

function sentence(name, { lowers, raises }) {
  const points = (p) => Math.round(100 * p) + " points";
  const down = `Covering the most orange place lowers ${name} by ${points(lowers)}.`;
  const up = `Covering the most blue place raises ${name} by ${points(raises)}.`;
  const said = [lowers < NOTHING ? "" : down, raises < NOTHING ? "" : up].filter(Boolean);
  return said.join(" ") || `No single place decides: ${name} stays, whichever part is covered.`;
}

// --- controls --------------------------------------------------------------------------------

function download(text, type, ending) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = picture.name + "_expressions" + ending;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Arrow keys go from face to face, as in any row of which Tab reaches one.
function step(event, row) {
  const n = row.children.length;
  const to = {
    ArrowRight: (chosen + 1) % n,
    ArrowDown: (chosen + 1) % n,
    ArrowLeft: (chosen + n - 1) % n,
    ArrowUp: (chosen + n - 1) % n,
    Home: 0,
    End: n - 1,
  }[event.key];
  if (to === undefined || !n) return;
  event.preventDefault();
  choose(to);
  row.children[to].focus({ preventScroll: row === boxes });
  zoom.reveal(boxes.children[to]);
}

const KEYS = { "+": () => zoom.by(STEP), "=": () => zoom.by(STEP), "-": () => zoom.by(1 / STEP) };
KEYS[0] = KEYS.Escape = zoom.reset;

boxes.addEventListener("keydown", (event) => step(event, boxes));
boxes.addEventListener("focusin", (event) => {
  if (event.target.matches(":focus-visible")) zoom.reveal(event.target);
});
cards.addEventListener("keydown", (event) => step(event, cards));
stage.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
find(".nearer").addEventListener("click", () => zoom.by(STEP));
find(".farther").addEventListener("click", () => zoom.by(1 / STEP));
find(".whole").addEventListener("click", zoom.reset);
find(".csv").addEventListener(
  "click",
  () => download(`\ufeff${picture.csv}`, "text/csv", ".csv"), // with the mark that Excel needs
);
find(".json").addEventListener("click", () =>
  download(JSON.stringify(picture.data, null, 2) + "\n", "application/json", ".json"),
);
find(".clear").addEventListener("click", () => {
  props.value = null;
  show();
});

// --- pictures from the clipboard, and dropped ones -------------------------------------------

// Through the tab's own input, so that a pasted picture is an uploaded one.
async function give(file) {
  const input = (selector) => document.querySelector("#" + props.input_id + " " + selector);
  if (!input("input[type=file]")) input("button[aria-label='Upload file']").click();
  for (let i = 0; i < 20 && !input("input[type=file]"); i += 1) {
    await new Promise((done) => setTimeout(done, 50));
  }
  const files = new DataTransfer();
  // Gradio takes what has the type of a picture.
  files.items.add(
    isNamedPicture(file) ? new File([file], file.name, { type: "image/x-file" }) : file,
  );
  input("input[type=file]").files = files.files;
  input("input[type=file]").dispatchEvent(new Event("change", { bubbles: true }));
}

find(".clear").hidden = !props.input_id;

// Few browsers know the type of .heic, .jp2 or .mpo.
const isNamedPicture = (file) =>
  !file.type.startsWith("image/") &&
  props.endings.some((ending) => file.name.toLowerCase().endsWith(ending));
const pictureIn = (data) =>
  [...data.files].find((file) => file.type.startsWith("image/") || isNamedPicture(file));

if (props.input_id) {
  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (!file || element.offsetParent === null) return;
    event.preventDefault();
    give(file);
  });
  // What is chosen or dropped in Gradio's own component goes in by its name, too.
  const within = (event) => event.target.closest && event.target.closest("#" + props.input_id);
  const takeOver = (event, data) => {
    const file = within(event) && data && data.files[0];
    if (!file || !isNamedPicture(file)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    give(file);
  };
  document.addEventListener("change", (event) => takeOver(event, event.target), true);
  document.addEventListener("drop", (event) => takeOver(event, event.dataTransfer), true);
  document.addEventListener(
    "click",
    (event) => {
      if (within(event) && event.target.type === "file") {
        event.target.accept = ["image/*", ...props.endings].join(",");
      }
    },
    true,
  );
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    const file = pictureIn(event.dataTransfer);
    if (file) give(file);
  });
}

watch("value", show);
show();
