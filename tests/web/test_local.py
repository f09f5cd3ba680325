"""The local engine's modules in node, beside what Python makes of the same input."""

import gzip
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer import hub
from fer.classify import Classifier, decide
from fer.crop import crop_faces
from fer.explain import explain, overlay
from fer.geometry import roll_degrees
from fer.preprocess import _stretch, resize, to_model_input
from fer.resting import Baseline, compare
from fer.serialize import to_dict
from fer.track import TrackState, step
from fer.types import Decision, Faces, FrameResult, Head, ModelConfig
from fer.web.self_test import draw_test, drawing_logits
from fer.web.server.jobs import shrink
from tests.conftest import make_config, make_two_heads

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)


def soft_noise(height, width, channels):
    """A picture with edges and slopes, as photographs have."""
    small = RNG.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), np.uint8)
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = image.astype(int) + RNG.integers(-9, 10, image.shape)
    image = np.clip(noisy, 0, 255).astype(np.uint8)
    return image if channels == 3 else np.ascontiguousarray(image[..., 0])


class Golden:
    """Files of pictures and one of JSON, in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.n = 0

    def picture(self, image):
        self.n += 1
        name = f"{self.n}.bin"
        (self.folder / name).write_bytes(np.ascontiguousarray(image, np.uint8).tobytes())
        height, width = image.shape[:2]
        channels = 1 if image.ndim == 2 else image.shape[2]
        return {"file": name, "width": width, "height": height, "channels": channels}


def resized(golden):
    sizes = [
        ((480, 640), (240, 320)),  # two by two
        ((480, 640), (160, 213)),
        ((97, 131), (48, 48)),
        ((144, 144), (48, 48)),
        ((301, 533), (301, 200)),
        ((48, 48), (96, 96)),
        ((33, 57), (48, 48)),
        ((70, 40), (48, 48)),  # one side grows, the other shrinks
        ((1, 1), (48, 48)),
        ((48, 48), (112, 112)),
        *(((3 * width // 4, width), (240, 320)) for width in (321, 399, 427, 639, 853, 1001)),
    ]
    for (height, width), (to_height, to_width) in sizes:
        for channels in (1, 3):
            image = soft_noise(height, width, channels)
            small = resize(image, to_width, to_height)
            yield {"from": golden.picture(image), "to": golden.picture(small)}


def warped(golden):
    for side, degrees, scale in ((224, 31.0, 0.7), (97, -12.5, 2.3), (48, 180, 1), (50, 0, 1)):
        image = soft_noise(211, 307, 3)
        matrix = cv2.getRotationMatrix2D((150.3, 90.7), degrees, scale)
        matrix[:, 2] += side / 2 - np.array([150.3, 90.7])
        turned = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        yield {
            "from": golden.picture(image),
            "matrix": matrix.ravel().tolist(),
            "to": golden.picture(turned),
        }


def cropped(golden):
    configs = [
        make_config(stretch_percentile=1.0),
        make_config(color_mode="rgb", crop_margin=1.3),
        make_config(align=False, input_size=64, detail_size=64),
    ]
    boxes = [(30, 20, 90, 95), (-20, -31, 60, 40.5), (100.2, 50.7, 131.9, 99.1), (10, 10, 13, 14)]
    for width in (320, 333, 641):
        image = soft_noise(3 * width // 4, width, 3)
        for config, box in zip(configs * 2, boxes, strict=False):
            span = np.array(box[2:]) - box[:2]
            places = np.array([[0.3, 0.4], [0.7, 0.35], [0.55, 0.6], [0.4, 0.8], [0.75, 0.7]])
            points = (np.array(box[:2]) + places * span).astype(np.float32)
            face = Faces(xyxy=[box], score=[0.9], landmarks=points[None])
            (crop,) = crop_faces(image, face, config)
            yield {
                "from": golden.picture(image),
                "face": {
                    "box": face.xyxy[0].tolist(),
                    "landmarks": points.tolist(),
                    "roll": float(roll_degrees(face.landmarks, face.xyxy)[0]),
                },
                "config": json.loads(config.to_json()),
                "to": golden.picture(crop),
                "input": golden.picture(to_model_input([crop], config)[0]),
            }


def yunet_rows():
    """Outputs for 64 x 96, of which OpenCV's rules keep some boxes."""
    outputs, boxes, scores, rows = {}, [], [], []
    for stride in (8, 16, 32):
        across, down = 96 // stride, 64 // stride
        n = across * down
        cls, obj = RNG.uniform(0.2, 1.05, (2, n)).astype(np.float32)
        bbox = RNG.normal(0, 0.5, (n, 4)).astype(np.float32)
        kps = RNG.normal(0, 1, (n, 10)).astype(np.float32)
        for key, value in (("cls", cls), ("obj", obj), ("bbox", bbox), ("kps", kps)):
            outputs[f"{key}_{stride}"] = value.ravel().tolist()
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
        for i in np.flatnonzero(score >= 0.6):
            place = np.array([i % across, i // across], np.float32)
            center = (place + bbox[i, :2]) * stride
            size = np.exp(bbox[i, 2:]) * stride
            low = center - size / 2
            points = (kps[i].reshape(5, 2) + place) * stride
            boxes.append([*low.astype(int).tolist(), *size.astype(int).tolist()])
            scores.append(float(score[i]))
            rows.append([*low, *(low + size), score[i], *points.ravel()])
    kept = cv2.dnn.NMSBoxes(boxes, scores, 0.6, 0.3)
    faces = [[float(value) for value in rows[i]] for i in kept]
    assert 3 < len(faces) < len(rows)
    return {"outputs": outputs, "rows": 64, "columns": 96, "faces": faces}


def walks():
    """Faces that walk, hide, come back; a clock that is set back; more than are remembered."""
    for seed, n_faces in ((1, 3), (2, 6), (3, 40)):
        rng = np.random.default_rng(seed)
        places = rng.uniform(60, 500, (n_faces, 2))
        speed = rng.normal(0, 4, (n_faces, 2))
        state, frames, time_s = TrackState(), [], 0.0
        for number in range(60):
            time_s += float(rng.choice([1 / 30, 0.2, 1.3], p=[0.8, 0.17, 0.03]))
            if number == 40:
                time_s = 0.5
            places = places + speed
            there = rng.random(n_faces) > (0.15 if number % 20 else 1)
            side = rng.uniform(28, 32, (n_faces, 1))
            boxes = np.concatenate([places, places + side], axis=1)[there].astype(np.float32)
            probs = rng.dirichlet(np.ones(3), int(there.sum())).astype(np.float32)
            boxes, probs = boxes[:32], probs[:32]
            faces = Faces(xyxy=boxes, score=np.ones(len(boxes)), probs=probs)
            # The visitor's browser carries the JSON.
            before = TrackState.from_json(json.loads(json.dumps(state.to_json())))
            state, after = step(before, faces, time_s=time_s, frame_width=640)
            frames.append(
                {
                    "faces": [
                        {"box": box, "probs": row}
                        for box, row in zip(boxes.tolist(), probs.tolist(), strict=True)
                    ],
                    "time_s": time_s,
                    "width": 640,
                    "ids": after.track_id.tolist(),
                    "probs": after.probs.tolist(),
                    "state": state.to_json(),
                }
            )
        assert max(max(frame["ids"], default=0) for frame in frames) > n_faces
        yield frames


def decisions():
    for _ in range(5):
        logits = RNG.normal(0, 4, (1, 4)).astype(np.float32)
        decision = Decision(bias=tuple(RNG.normal(0, 1, 4).tolist()), temperature=0.83)
        yield {
            "logits": logits[0].tolist(),
            "decision": vars_of(decision),
            "probs": decide(logits, decision)[0].tolist(),
        }


_COLUMNS = ("track_id", "xyxy", "score", "landmarks", "probs")


def rests():
    """Frames with a face that is compared with its resting face, and others that are not."""
    names = ("calm", "cross", "glad", "wild")
    config = replace(
        make_config(class_names=names, temperature=0.7, neutral_logits=(1.5, -0.25, -2.0, 0.75)),
        files={"model_web.onnx": "0" * 64},
    )
    for n_rows in (1, 2, 25):
        rows = RNG.dirichlet(np.full(4, 0.4), n_rows).round(4)
        rows[0] = [0.9999, 0.0001, 0, 0]
        baseline = Baseline.average(rows, track_id=2)
        probs = RNG.dirichlet(np.full(4, 0.3), 3).astype(np.float32)
        probs[1] = [1, 0, 0, 0] if n_rows == 1 else probs[1]
        marks = np.tile(np.float32([[8, 8], [16, 8], [12, 12], [9, 18], [15, 18]]), (3, 1, 1))
        faces = Faces(
            xyxy=np.tile(np.float32([4, 4, 20, 24]), (3, 1)),
            score=np.full(3, 0.9),
            landmarks=marks,
            probs=probs,
            track_id=[1, 2, 5],
        )
        result = FrameResult(compare(faces, baseline, config), names, (100, 90), 0.6)
        yield {
            "rows": rows.tolist(),
            "text": config.to_json(),
            "baseline": json.loads(json.dumps(baseline.to_json())),
            "faces": [
                {"track_id": i, "box": box, "score": score, "landmarks": points, "probs": row}
                for i, box, score, points, row in zip(
                    *(getattr(faces, name).tolist() for name in _COLUMNS), strict=True
                )
            ],
            "answer": {key: to_dict(result)[key] for key in ("frame", "class_names", "faces")},
        }


def configs():
    files = {"model_web.onnx": "0" * 64}
    heads = {
        "labels": Head(
            class_names=("a", "b"),
            decisions={
                "balanced": Decision(bias=(0.5, -0.5), temperature=1.2),
                "dataset": Decision(bias=(0.0, 0.0), temperature=0.9),
            },
        ),
        "votes": Head(
            class_names=("a", "b", "c"), decisions={"dataset": Decision(bias=(0.0,) * 3)}
        ),
    }
    one = replace(make_config(class_names=("x", "y", "z"), temperature=0.7), files=files)
    two = ModelConfig(heads=heads, decision="balanced", files=files, version=2)
    for config in (one, two):
        yield {
            "text": config.to_json(),
            "class_names": config.class_names,
            "served": vars_of(config.served),
            "vote_names": config.vote_names,
        }


def rounded():
    exact = [0.25, 0.75, -0.25, 2.5, 0.03125, 100.25, 0.0, 1.0, -3.35, 0.05, 1e-9, 12345.65]
    for value in [*exact, *RNG.normal(0, 100, 300).astype(np.float32).tolist()]:
        for digits in (1, 4, 5):
            yield [value, digits, round(value, digits)]


def answered():
    """Faces of many rolls, certain and uncertain, and the JSON that Python makes of them."""
    upright = np.array([[-10, -10], [10, -10], [0, 0], [-8, 10], [8, 10]])
    turns = np.radians([0, 60, 89, 91, -91, 120, 180, -170])
    points = [upright @ [[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]] + 50 for t in turns]
    n = len(turns)
    probs = np.tile(np.array([[0.9, 0.1], [0.55, 0.45]], np.float32), (n, 1))
    faces = Faces(
        xyxy=np.tile(np.array([30, 30, 70, 70], np.float32), (2 * n, 1)),
        score=np.full(2 * n, 0.8, np.float32),
        landmarks=np.repeat(np.array(points, np.float32), 2, axis=0),
        probs=probs,
        votes=np.tile(np.array([[0.52, 0.36, 0.12]], np.float32), (2 * n, 1)),
    )
    names = ("calm", "wild", "other")
    result = FrameResult(faces, names[:2], (100, 90), uncertain_below=0.6, vote_names=names)
    assert {True, False} == set(result.uncertain[::2])
    given = [
        {"box": box, "score": score, "landmarks": marks, "probs": row, "votes": votes}
        for box, score, marks, row, votes in zip(
            *(
                getattr(faces, name).tolist()
                for name in ("xyxy", "score", "landmarks", "probs", "votes")
            ),
            strict=True,
        )
    ]
    config = {
        "class_names": result.class_names,
        "uncertain_below": result.uncertain_below,
        "votes": {"class_names": names},
    }
    wanted = {key: to_dict(result)[key] for key in ("frame", "class_names", "vote_names", "faces")}
    return {"faces": given, "config": config, "answer": wanted}


def explained(golden):
    """Crops of two sizes, a linear network, and what Python says of each class."""
    for color_mode, side, size in (("gray", 48, 61), ("rgb", 30, 192)):
        config = make_config(color_mode=color_mode, input_size=side, detail_size=side)
        weights = RNG.normal(0, 4e-4, (side * side * config.channels, 2)).astype(np.float32)
        weights = np.round(weights, 6)

        def network(pixels, weights=weights):
            return (pixels.reshape(len(pixels), -1) @ weights).astype(np.float32)

        classifier = Classifier(network, config)
        crop = soft_noise(size, size, 3)
        for index in (0, 1):
            heat = explain(classifier, crop, index)
            yield {
                "crop": golden.picture(crop),
                "config": {**json.loads(config.to_json()), "served": vars_of(config.served)},
                "weights": weights.T.tolist(),
                "index": index,
                "heat": heat.ravel().tolist(),
                "lowers": max(0.0, float(heat.max())),
                "raises": max(0.0, -float(heat.min())),
                "map": golden.picture(overlay(crop, heat)),
            }


def vars_of(decision):
    return {"bias": decision.bias, "temperature": decision.temperature}


def shrunk(golden):
    for height, width in ((300, 200), (191, 193), (20, 30), (801, 333)):
        image = soft_noise(height, width, 3)
        yield {"from": golden.picture(image), "to": golden.picture(shrink(image, 192))}


def test_the_modules_do_what_python_does(node, tmp_path):
    golden = Golden(tmp_path)
    color, gray = soft_noise(50, 71, 3), [soft_noise(48, 48, 1), np.full((9, 9), 77, np.uint8)]
    values = {
        "resize": list(resized(golden)),
        "gray": [
            {
                "from": golden.picture(color),
                "to": golden.picture(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)),
            }
        ],
        "warp": list(warped(golden)),
        "stretch": [
            {
                "from": golden.picture(image),
                "percent": percent,
                "to": golden.picture(_stretch(image, percent)),
            }
            for image in gray
            for percent in (0.0, 1.0, 3.7)
        ],
        "crop": list(cropped(golden)),
        "yunet": yunet_rows(),
        "yunet_sha256": hub._YUNET_SHA256,
        "explain": list(explained(golden)),
        "shrink": list(shrunk(golden)),
        "decide": list(decisions()),
        "round": list(rounded()),
        "answer": answered(),
        "track": list(walks()),
        "rest": list(rests()),
        "config": list(configs()),
        "drawing": golden.picture(draw_test(96)),
    }
    (tmp_path / "golden.json").write_text(json.dumps(values))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(RNG.integers(32, 99, 5000, np.uint8)))
    done = subprocess.run(
        [node, "--test", str(ROOT / "tests" / "local" / "modules.test.mjs")],
        env={**os.environ, "GOLDEN": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "# pass 20\n" in done.stdout


def test_the_logits_of_the_self_test_have_no_bias():
    classifier = make_two_heads()
    batch = to_model_input([draw_test(classifier.config.input_size)], classifier.config)
    (expected,) = classifier.network(batch)["labels"]
    assert drawing_logits(classifier) == pytest.approx(expected.tolist(), abs=1e-4)
    assert set(classifier.config.served.bias) != {0.0}


def test_the_self_test_refuses_far_more_than_float16_changes():
    onnx = pytest.importorskip("onnxruntime")
    classifier = hub.load_classifier()
    session = onnx.InferenceSession(str(hub.WEIGHTS_FOLDER / hub.WEB_NAME))
    batch = to_model_input([draw_test(classifier.config.input_size)], classifier.config)
    logits = session.run(None, {session.get_inputs()[0].name: batch.astype(np.float32)})[0][0]
    text = (ROOT / "fer" / "web" / "local" / "self_test.js").read_text(encoding="utf-8")
    tolerance = float(re.search(r"TOLERANCE = ([\d.]+);", text)[1])
    gap = np.abs(logits - drawing_logits(classifier)).max()
    print(f"largest change of a logit: {gap:.4f}")
    assert gap < tolerance / 50
