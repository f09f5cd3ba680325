"""/health, and the counts that it shows."""

import asyncio
import json
import threading
import tomllib
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette

import fer
from fer import Pipeline
from fer.web.server import health as module
from fer.web.server.health import Health
from fer.web.server.start import About
from fer.web.server.traffic import KINDS, Traffic
from fer.web.server.work import InProcess
from tests.conftest import ROOT, FakeDetector, make_classifier, make_faces

ABOUT = About(
    recipe="toy",
    source="someone/fer",
    revision="v1",
    sha256="ab" * 32,
    detector="fake",
    notes=("Using fake, because",),
)


class Classifier:
    """The toy classifier, which can be made to fail or to wait."""

    def __init__(self):
        self.real = make_classifier()
        self.config = self.real.config
        self.n_calls = 0
        self.error = None
        self.go = threading.Event()
        self.go.set()

    def __call__(self, crops):
        self.n_calls += 1
        self.go.wait(30)
        if self.error is not None:
            raise self.error
        return self.real(crops)


@pytest.fixture
def classifier():
    made = Classifier()
    yield made
    made.go.set()


def ask(classifier, *methods, counts=None, gap_s=0.0):
    """The replies to one request after the other."""
    pipeline = Pipeline(FakeDetector(make_faces()), classifier)
    health = Health(pipeline, ABOUT, counts or Traffic())

    async def story():
        app = Starlette(routes=[health.route])
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://page"
        ) as client:
            replies = []
            for method in methods:
                replies.append(await client.request(method, "/health"))
                await asyncio.sleep(gap_s)
            return replies

    return asyncio.run(story())


def test_it_says_on_what_the_page_runs(classifier):
    get, head = ask(classifier, "GET", "HEAD")
    assert get.status_code == head.status_code == 200
    assert head.content == b""
    assert get.headers["cache-control"] == "no-store"
    told = get.json()
    assert told.pop("uptime_s") >= 0
    assert told.pop("memory_mb") > 10
    calls = told.pop("calls")
    assert told == {
        "status": "ok",
        "version": fer.__version__,
        "model": {
            "recipe": "toy",
            "source": "someone/fer",
            "revision": "v1",
            "sha256": "ab" * 32,
        },
        "detector": "fake",
        "notes": ["Using fake, because"],
    }
    assert set(calls) == set(KINDS)
    assert set(calls["frame"]) == {"at_work", "answered", "failed", "cancelled", "refused"}


def test_it_tells_of_the_processes_that_open_files(classifier):
    class Workers(InProcess):
        def facts(self):
            return {"idle": 2, "at_work": 1, "memory_mb": 300.0, "ended": {"time": 1}}

    pipeline = Pipeline(FakeDetector(make_faces()), classifier)
    health = Health(pipeline, ABOUT, Traffic(), Workers(pipeline))
    assert health.facts()["workers"] == Workers(pipeline).facts()


def test_asking_often_asks_the_network_once(classifier):
    assert {reply.status_code for reply in ask(classifier, *["GET"] * 20)} == {200}
    assert classifier.n_calls == 1


def test_asked_later_it_looks_again(classifier, monkeypatch):
    monkeypatch.setattr(module, "_FRESH_S", 0.01)
    ask(classifier, "GET", "GET", gap_s=0.05)
    assert classifier.n_calls == 2


def test_a_network_that_fails_is_said_without_details(classifier, caplog):
    classifier.error = RuntimeError("secret detail")
    first, second = ask(classifier, "GET", "GET")
    assert first.status_code == second.status_code == 503
    assert first.json()["status"] == "error"
    assert first.json()["reason"] == "the classifier raised RuntimeError"
    assert "secret" not in first.text
    assert caplog.text.count("health: the classifier raised") == 1


def test_a_detector_that_fails_is_said(classifier):
    def detector(frame):
        raise ValueError("no")

    problem = asyncio.run(Health(Pipeline(detector, classifier), ABOUT).check())
    assert problem == "the detector raised ValueError"


def test_probabilities_that_are_none_are_said(classifier):
    classifier.real = lambda crops: np.full((1, 2), np.nan, np.float32)
    assert ask(classifier, "GET")[0].json()["reason"] == "the classifier gave no probabilities"


def test_a_network_that_hangs_is_said_and_left_behind(classifier, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    classifier.go.clear()
    replies = ask(classifier, "GET", "GET", "GET")
    assert {reply.json()["reason"] for reply in replies} == {"no answer within 0.1 s"}
    assert classifier.n_calls == 1


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == fer.__version__


def test_memory_is_not_told_where_the_system_does_not(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "Path", lambda _: tmp_path / "nothing")
    assert module.memory_mb() is None


def test_calls_are_counted_by_what_came_of_them():
    counts = Traffic()
    with counts.call("frame"):
        assert counts.counts()["frame"]["at_work"] == 1
    for answer in ({"faces": []}, {"error": {"code": "busy"}}, {"error": {"code": "internal"}}):
        with counts.call("picture") as call:
            call.take(answer)
    with pytest.raises(ValueError, match="ours"), counts.call("picture"):
        raise ValueError("ours")
    with pytest.raises(KeyboardInterrupt), counts.call("video"):
        raise KeyboardInterrupt
    told = counts.counts()
    assert told["frame"] == {
        "at_work": 0,
        "answered": 1,
        "failed": 0,
        "cancelled": 0,
        "refused": {},
    }
    assert told["picture"]["failed"] == 2
    assert told["picture"]["refused"] == {"busy": 1}
    assert told["video"]["cancelled"] == 1


def test_a_summary_is_of_what_came_since_the_last(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("fer.web.server.traffic.time", SimpleNamespace(monotonic=lambda: now[0]))
    counts = Traffic()
    for i in range(100):
        with counts.call("frame"):
            now[0] += (i + 1) / 1000
    with counts.call("picture") as call:
        call.outcome = "bad_image"
    told = counts.summary()
    json.dumps(told)
    assert told.pop("seconds") > 5
    assert told == {
        "frame": {
            "answered": 100,
            "failed": 0,
            "cancelled": 0,
            "refused": {},
            "median_ms": 51.0,
            "p95_ms": 95.0,
        },
        "picture": {"answered": 0, "failed": 0, "cancelled": 0, "refused": {"bad_image": 1}},
    }
    assert set(counts.summary()) == {"seconds"}
    assert counts.counts()["frame"]["answered"] == 100


def test_many_threads_count_as_one():
    counts = Traffic()

    def call():
        for _ in range(500):
            with counts.call("frame"):
                pass

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.counts()["frame"]["answered"] == 4000
    assert counts.counts()["frame"]["at_work"] == 0
