"""Wrong types: every public name says what was expected and what came."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import fer
from fer.check import check_names, check_number, check_path, check_type
from fer.errors import ConfigError, FerError, InputError
from fer.explain import explain
from fer.image import read_picture
from fer.video import analyse_video
from tests.conftest import FakeDetector, make_classifier, make_config, make_faces, make_two_heads

# One value of each kind; `no number` stands for the numbers that no argument takes.
WRONG = {
    "none": None,
    "text": "x",
    "bytes": b"x",
    "number": 3,
    "no number": float("nan"),
    "huge": 10**400,
    "complex": 1j,
    "bool": True,
    "list": [],
    "list of text": ["x"],
    "nested": [[0, 0, "x"]],
    "tuple": (object(),),
    "object": {},
    "thing": object(),
    "array": np.zeros(3),
    "array of text": np.array("x"),
    "path": Path("/nowhere/x"),
    "function": lambda: 0,
}
PATH, MAYBE, SEQUENCE = {"text", "path"}, {"none"}, {"list"}


def _calls():
    """Each public callable with arguments that it takes, and for each the kinds that it takes."""
    classifier = make_classifier()
    config = classifier.config
    votes = make_two_heads()
    pipeline = fer.Pipeline(FakeDetector(make_faces([2, 2, 20, 20])), classifier)
    frame = np.zeros((48, 64, 3), np.uint8)
    batch = np.zeros((1, config.input_size, config.input_size, config.channels), np.uint8)
    result = pipeline(frame)
    state, _ = pipeline.track(frame, None, 0.0)
    one = make_faces([0, 0, 2, 2])
    named = make_config(files={"a": "b"})
    load = {
        "model": (None, PATH | MAYBE),
        "revision": (None, {"text"} | MAYBE),
        "detector": ("slim", {"text"} | MAYBE),
        "votes": (False, {"bool"}),
        "decision": (None, {"text"} | MAYBE),
        "min_face_px": (None, {"number"} | MAYBE),
        "on_fallback": (print, {"function"}),
    }
    hub = {"repo_id": (Path("nowhere"), PATH | MAYBE), "revision": (None, {"text"} | MAYBE)}
    resting = {"baseline": (None, MAYBE)}
    kept = {"state": (None, MAYBE), "time_s": (0.0, {"number"}), **resting}
    columns = {
        "xyxy": ([[0, 0, 2, 2]], set()),
        "score": ([0.5], set()),
        "landmarks": (None, MAYBE),
        "probs": (None, MAYBE),
        "track_id": (None, MAYBE),
        "votes": (None, MAYBE),
        "raw_probs": (None, MAYBE),
    }
    shares = {"probs": (np.array([[1.0, 0.0]]), MAYBE), "votes": (None, MAYBE)}
    config_kinds = {
        "class_names": SEQUENCE | {"list of text", "tuple"},
        "heads": {"object"},
        "decision": {"text"},
        "recipe": {"text"},
        "dataset": {"text"},
        "dataset_sha256": {"text"},
        "color_mode": {"text"},
        "input_size": {"number"},
        "detail_size": {"number"},
        "version": {"number"},
        "crop_margin": {"number", "huge"},
        "temperature": {"number"},
        "uncertain_below": {"number"},
        "stretch_percentile": {"number"} | MAYBE,
        "align": {"bool"},
        "files": {"object"},
        "neutral_logits": MAYBE,
    }
    yield (
        fer.Pipeline,
        {
            "detector": (pipeline.detector, {"function"}),
            "classifier": (classifier, set()),
            "votes": (False, {"bool"}),
        },
    )
    yield fer.Pipeline.load, load
    yield pipeline, {"frame": (frame, set())}
    yield pipeline.glance, {"frame": (frame, set())}
    yield pipeline.track, {"frame": (frame, set()), **kept}
    yield pipeline.follow, {"result": (result, set()), **kept}
    yield pipeline.check_baseline, resting
    video = {"path": ("nowhere", PATH), "rate": (None, {"number"} | MAYBE)}
    yield pipeline.video, video | resting
    yield fer.Baseline, {"probs": ((0.5, 0.5), set()), "track_id": (1, {"number"})}
    row = {"rows": ([[0.5, 0.5]], set()), "track_id": (1, {"number"})}
    yield fer.Baseline.average, row
    yield fer.Baseline.of, {"result": (result, set()), "track_id": (1, {"number"})}
    yield fer.Baseline.from_json, {"data": ({"probs": [0.5, 0.5], "track_id": 1}, set())}
    yield pipeline.batch, {"sources": ([], {"list", "list of text", "nested", "tuple"})}
    yield fer.Classifier, {"network": (classifier.network, set()), "config": (config, set())}
    yield classifier, {"crops": ([frame], SEQUENCE)}
    yield votes.with_votes, {"crops": ([frame], SEQUENCE)}
    for method in (classifier.probs, classifier.logits, classifier.head_logits):
        yield method, {"batch": (batch, set())}
    yield fer.Faces, columns
    yield one.with_probs, shares
    yield one.__getitem__, {"index": ([0], {"list"})}
    yield (
        fer.FrameResult,
        {
            "faces": (result.faces, set()),
            "class_names": (result.class_names, set()),
            "frame_size": ((64, 48), set()),
            "uncertain_below": (0.0, {"number"}),
            "timing_ms": ({}, {"object"}),
            "vote_names": ((), {"list", "list of text"}),
        },
    )
    yield (
        fer.ModelConfig,
        {key: (getattr(config, key), kinds) for key, kinds in config_kinds.items()},
    )
    yield fer.ModelConfig.from_json, {"text": (config.to_json(), set())}
    yield fer.ModelConfig.read, {"folder": (Path("fer/weights"), PATH)}
    yield named.head, {"name": ("labels", {"text"})}
    yield named.sha256_of, {"name": ("a", {"text"}), "where": ("", set(WRONG))}
    yield (
        fer.TrackState,
        {
            "time_s": (0.0, {"number"} | MAYBE),
            "next_id": (1, {"number", "huge"}),
            "tracks": ((), set()),
            "n_empty": (0, {"number", "huge"}),
        },
    )
    yield fer.TrackState.from_json, {"data": (state.to_json(), MAYBE)}
    yield (
        fer.YuNetDetector,
        {
            "path": ("nowhere", PATH),
            "score_threshold": (0.6, set()),
            "min_face_px": (None, {"number"} | MAYBE),
        },
    )
    yield (
        fer.SlimFaceDetector,
        {
            "score_threshold": (0.6, set()),
            "min_face_px": (None, {"number"} | MAYBE),
        },
    )
    yield fer.HaarDetector(), {"frame": (frame, set())}
    yield fer.HaarDetector().glance, {"frame": (frame, set())}
    yield fer.annotate, {"frame": (frame, set()), "result": (result, set())}
    yield fer.load_classifier, {**hub, "decision": (None, {"text"} | MAYBE)}
    yield (
        fer.load_detector,
        {
            "name": ("slim", {"text"} | MAYBE),
            "on_fallback": (print, {"function"}),
            "min_face_px": (None, {"number"} | MAYBE),
            "yunet_path": (None, PATH | MAYBE),
        },
    )
    for reader in (fer.read_image, read_picture):
        more = {}
        if reader is read_picture:
            more = {"strict": (False, set(WRONG)), "name": ("a.jpg", {"text"} | MAYBE)}
        yield (
            reader,
            {
                "source": (frame, {"text", "bytes", "path"}),
                "max_pixels": (10**6, {"number"}),
                "formats": (("PNG",), {"list", "list of text"}),
                "max_scans": (10, {"number"}),
                **more,
            },
        )
    yield fer.to_dict, {"result": (result, set())}
    yield fer.to_rows, {"result": (result, set())}
    yield (
        explain,
        {
            "classifier": (classifier, set()),
            "crop": (frame, set()),
            "class_index": (None, {"number"} | MAYBE),
        },
    )
    yield (
        analyse_video,
        {
            "pipeline": (pipeline, set()),
            "path": ("nowhere", PATH),
            "rate": (None, {"number"} | MAYBE),
            "output": (None, PATH | MAYBE),
            "tables": ((), {"list", "list of text"}),
            "on_progress": (None, {"function"} | MAYBE),
            "cancelled": (None, {"function"} | MAYBE),
            "max_duration_s": (None, {"number"} | MAYBE),
            "max_total_pixels": (None, {"number"} | MAYBE),
            **resting,
            "draw": (fer.annotate, {"function"}),
        },
    )


def _name(call):
    return getattr(call, "__qualname__", type(call).__name__)


def _problem(call, arguments, *, may_work):
    """What is wrong with the answer to these arguments; None if nothing is."""
    try:
        found = call(**arguments)
        if inspect.isgenerator(found):
            list(found)
    except (InputError, ConfigError) as error:
        said = str(error)
        if may_work or ("must " in said and "Received: " in said):
            return None
        return f"says {said}"
    except FerError:
        return None if may_work else "another error of this package"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if may_work else "taken"


def test_a_wrong_type_is_an_error_with_what_was_expected(hub):
    problems = []
    for call, arguments in _calls():
        assert set(inspect.signature(call).parameters) == set(arguments)
        good = {key: value for key, (value, _) in arguments.items()}
        for key, (_, kinds) in arguments.items():
            for kind, wrong in WRONG.items():
                problem = _problem(call, good | {key: wrong}, may_work=kind in kinds)
                if problem:
                    problems.append(f"{_name(call)}({key}={kind}): {problem}")
    assert not problems, "\n".join(problems)


def test_every_public_name_is_tried():
    tried = {_name(call).split(".")[0] for call, _ in _calls()}
    errors = {name for name in fer.__all__ if name.endswith("Error")}
    assert set(fer.__all__) - errors - {"Detector"} <= tried


def test_numbers_of_numpy_are_numbers():
    assert check_number("a", np.float32(0.5), 0, 1) == 0.5
    assert check_number("a", np.int64(3)) == 3
    with pytest.raises(InputError, match=r"`a` must be a finite number at least 0. Received: -1"):
        check_number("a", -1, 0)


def test_checks_give_back_what_they_took():
    assert check_path("a", "b") == Path("b")
    assert check_names("a", ["b"]) == ("b",)
    check_type("a", None, int, None)
    with pytest.raises(InputError, match=r"`a` must be int or None. Received: 'b'"):
        check_type("a", "b", int, None)
