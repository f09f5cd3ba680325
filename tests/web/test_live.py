import asyncio
import base64
import contextlib
import io
import itertools
import json
import struct
import threading
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from bench.visitor import Visitor, data_url
from fer import Pipeline
from fer.errors import InputError
from fer.image import read_image
from fer.jpeg import drop_metadata
from fer.web.live import tab as live
from fer.web.live.tab import make_live_frame
from fer.web.server import requests
from fer.web.server.requests import MAX_CHARS, decode_frame
from tests.conftest import (
    FACE,
    VOTE_NAMES,
    FakeDetector,
    make_classifier,
    make_faces,
    make_two_heads,
    noise,
)
from tests.fer.test_image import encode, many_scans


def encoded(frame, kind="JPEG", head="data:image/jpeg;base64,"):
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind)
    return {"image": head + base64.b64encode(buffer.getvalue()).decode()}


def make_pipeline(detector=None):
    return Pipeline(detector or FakeDetector(make_faces([2, 2, 20, 20])), make_classifier())


BROKEN = [
    None,
    "data:image/jpeg;base64,",
    [],
    {},
    {"image": None},
    {"image": 7},
    {"image": ""},
    {"image": "data:image/jpeg;base64,"},
    {"image": "data:image/jpeg;base64,!!!!"},
    {"image": "data:image/jpeg;base64,AAAA"},
    {"image": "data:image/jpeg;base64,é"},
    {"image": "http://127.0.0.1/secret.jpg"},
    {"image": "file:///etc/passwd"},
    {"image": "data:image/jpeg;base64," + "A" * 800_000},
    encoded(noise(9, 9), "PNG"),
    encoded(noise(9, 9), head="data:image/png;base64,"),
    encoded(np.zeros((1400, 1400, 3), np.uint8)),
]


def test_a_frame_comes_through():
    frame = decode_frame(encoded(np.full((24, 32, 3), 200, np.uint8))["image"])
    assert frame.shape == (24, 32, 3)
    assert abs(int(frame.mean()) - 200) < 3


@pytest.mark.parametrize("data", BROKEN)
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(InputError):
        decode_frame(data["image"] if isinstance(data, dict) and "image" in data else data)


def test_good_frames_among_broken_ones_are_all_answered():
    live_frame = make_live_frame(make_pipeline())

    async def stream():
        answers = []
        for broken in BROKEN:
            answers.append(await live_frame(broken, None, "here"))
            answers.append(await live_frame(encoded(noise(24, 32)), None, "here"))
        return answers

    answers = asyncio.run(stream())
    assert {answer["error"]["code"] for answer in answers[::2]} == {"bad_frame"}
    assert all(len(answer["faces"]) == 1 for answer in answers[1::2])
    json.dumps(answers, allow_nan=False)


def test_votes_are_given_where_they_are_asked_for():
    pipeline = Pipeline(FakeDetector(make_faces([2, 2, 20, 20])), make_two_heads())
    live_frame = make_live_frame(pipeline)

    def ask(votes, live_frame=live_frame):
        return asyncio.run(live_frame(encoded(noise(24, 32)) | votes, None, "here"))

    answer = ask({"votes": True})
    assert answer["vote_names"] == list(VOTE_NAMES)
    assert sum(answer["faces"][0]["votes"].values()) == pytest.approx(1, abs=1e-3)
    for votes in ({}, {"votes": False}, {"votes": None}):
        assert "votes" not in ask(votes)["faces"][0]
    assert "true or false" in ask({"votes": 1})["error"]["message"]
    without = make_live_frame(make_pipeline())
    error = ask({"votes": True}, without)["error"]
    assert error["code"] == "bad_frame"
    assert "does not predict them" in error["message"]


def test_a_crash_in_the_pipeline_is_an_answer_without_details(caplog):
    def crash(frame):
        raise RuntimeError("secret detail")

    crash.title = "crash"
    live_frame = make_live_frame(make_pipeline(crash))
    answer = asyncio.run(live_frame(encoded(noise(24, 32)), None, "here"))
    assert answer["error"]["code"] == "internal"
    assert "secret" not in json.dumps(answer)
    assert "live frame failed" in caplog.text


def test_beyond_its_queue_the_server_says_busy_and_serves_the_others():
    gate = threading.Event()

    def slow(frame):
        gate.wait(30)
        return make_faces([2, 2, 20, 20])

    slow.title = "slow"
    live_frame = make_live_frame(make_pipeline(slow))
    total = live._N_AT_WORK + live._MAX_WAITING + 5

    async def crowd():
        tasks = []
        for i in range(total):
            frame = encoded(noise(24, 32))
            tasks.append(asyncio.create_task(live_frame(frame, "visitor", f"host-{i}")))
            await asyncio.sleep(0)
        while sum(task.done() for task in tasks) < 5:
            await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(crowd())
    busy = [answer for answer in answers if "error" in answer]
    assert len(busy) == 5
    assert {answer["error"]["code"] for answer in busy} == {"busy"}
    assert min(answer["error"]["retry_after_ms"] for answer in busy) > 0


def with_segments(*segments):
    """A JPEG of 40 x 20 with segments (marker, content) behind its beginning."""
    content = encode(Image.fromarray(noise(20, 40)), "JPEG")
    more = b"".join(
        bytes([0xFF, marker]) + (len(part) + 2).to_bytes(2, "big") + part
        for marker, part in segments
    )
    return content[:2] + more + content[2:]


def exif(n_tags, size):
    """Exif with an orientation, and tags that all point at the same bytes."""
    entries = [(0x0112, 3, 1, 6 << 16)]
    entries += [(0x9000 + i, 7, size - 8, 8) for i in range(n_tags)]
    ifd = struct.pack(">H", len(entries))
    ifd += b"".join(struct.pack(">HHII", *entry) for entry in entries) + bytes(4)
    return b"Exif\0\0MM\0*" + struct.pack(">I", 8) + ifd


@pytest.mark.parametrize(
    ("segments", "kept"),
    [
        ([(0xE1, exif(0, 9))], [0xE1]),
        ([(0xE1, exif(0, 9)), (0xE1, exif(3, 90))], [0xE1]),
        ([(0xE1, exif(4000, 60_000))], []),
        ([(0xE2, bytes(5000)), (0xFE, b"words"), (0xEE, b"Adobe\0\x64\0\0\0\0\x01")], [0xEE]),
    ],
)
def test_of_a_frame_little_is_read_beside_its_picture(segments, kept):
    content = drop_metadata(with_segments(*segments))
    left = [marker for marker in range(0xE1, 0xFF) if bytes([0xFF, marker]) in content[:2000]]
    assert left == kept
    frame = requests.decode_frame(
        "data:image/jpeg;base64," + base64.b64encode(with_segments(*segments)).decode()
    )
    assert frame.shape == ((40, 20, 3) if 0xE1 in kept else (20, 40, 3))  # as the phone was held


def test_the_page_sends_frames_under_the_limits():
    worst = encoded(noise(480, 640))  # noise is the least compressible picture
    assert len(worst["image"]) < MAX_CHARS
    assert read_image(base64.b64decode(worst["image"].split(",")[1])).shape == (480, 640, 3)


def ask(*requests):
    """The answers of a toy pipeline to one request after the other."""
    live_frame = make_live_frame(make_pipeline())

    async def stream():
        return [await live_frame(request, "me", "here") for request in requests]

    return asyncio.run(stream())


def test_the_state_goes_out_and_comes_back():
    (first,) = ask(encoded(noise(24, 32)) | {"time_s": 10.0})
    (second,) = ask(encoded(noise(24, 32)) | {"time_s": 10.1, "state": first["state"]})
    assert [face["track_id"] for face in first["faces"] + second["faces"]] == [1, 1]
    assert second["state"]["time_s"] == 10.1
    (other,) = ask(encoded(noise(24, 32)) | {"time_s": 20.0, "state": second["state"]})
    assert [face["track_id"] for face in other["faces"]] == [2]
    assert list(first["timing_ms"]) == ["wait", "detect", "crop", "classify", "track"]


def test_a_request_may_carry_a_resting_face():
    pipeline = Pipeline(
        FakeDetector(make_faces([2, 2, 20, 20])), make_classifier(neutral_logits=(1.0, -1.0))
    )
    live_frame = make_live_frame(pipeline)

    def send(**more):
        request = encoded(np.full((24, 32, 3), 150, np.uint8)) | {"time_s": 1.0} | more
        return asyncio.run(live_frame(request, "me", "here"))

    plain = send()
    (face,) = plain["faces"]
    baseline = {"track_id": 1, "probs": list(face["probs"].values())}
    answer = send(baseline=baseline)
    (rested,) = answer["faces"]
    assert "raw" not in face
    assert rested["raw"] == face["probs"]
    assert rested["label"] != face["label"]
    assert answer["state"] == plain["state"]
    for wrong in (7, [], {}, baseline | {"track_id": -1}, baseline | {"probs": [1.0]}):
        assert send(baseline=wrong)["error"]["code"] == "bad_state"
    assert ask(encoded(noise(24, 32)) | {"baseline": baseline})[0]["error"]["code"] == "bad_state"


@pytest.mark.parametrize("time_s", ["now", float("nan"), 1e300, [], True])
def test_a_time_that_is_none_is_refused(time_s):
    (answer,) = ask(encoded(noise(24, 32)) | {"time_s": time_s})
    assert answer["error"]["code"] == "bad_frame"


@pytest.mark.parametrize("state", [7, {}, [], "x", {"time_s": 1, "next_id": 1, "tracks": [1]}])
def test_a_state_that_is_none_is_its_own_error(state):
    (answer,) = ask(encoded(noise(24, 32)) | {"state": state})
    assert answer["error"]["code"] == "bad_state"


def test_a_log_line_cannot_be_forged(caplog):
    caplog.set_level("DEBUG", logger="fer")
    ask({"image": "data:image/jpeg;base64,AAAA\nERROR forged"}, {"image": "x", "state": "\r\n"})
    assert [record.getMessage() for record in caplog.records] == [
        "live frame refused: bad_frame"
    ] * 2


def jpeg(frame):
    return base64.b64decode(encoded(frame)["image"].split(",")[1])


def as_url(content):
    return {"image": "data:image/jpeg;base64," + base64.b64encode(content).decode()}


def bomb():
    """A JPEG of a few hundred bytes that says it is 65,500 pixels wide and high."""
    content = jpeg(noise(16, 16))
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + b"\xff\xdc\xff\xdc" + content[at + 4 :]


def hostile_calls(visitor, client):
    """Endless: functions that send one broken, empty, huge or hostile request each."""
    good = encoded(noise(24, 32))
    path = "/gradio_api/component_server"
    whole = jpeg(noise(48, 64))
    deep = "[" * 100_000 + "]" * 100_000

    async def parts():
        for _ in range(30):
            yield b"x" * 65_536

    bodies = [
        *(data for data in BROKEN if len(str(data)) < 600_000),
        *(as_url(content) for content in (b"", whole[:50], whole[:-400], bomb(), whole[::-1])),
        as_url(many_scans(1000)),
        *(good | {"state": state} for state in (0, "x", [deep[:900]], {"tracks": []})),
        *(good | {"time_s": time_s} for time_s in ("\n", [], {}, 10**30)),
        good | {"visitor": {"a": 1}, "state": "forged\nERROR root: line"},
    ]
    calls = [lambda data=data: visitor.call(data) for data in bodies]
    calls += [
        lambda: visitor.call({"image": "data:image/jpeg;base64," + "A" * 2_000_000}),
        lambda: visitor.call(good, component_id=10**9),
        lambda: visitor.call(good, component_id=[1]),
        lambda: visitor.call(good, fn_name="__init__"),
        lambda: visitor.call(good, fn_name="../../etc/passwd"),
        lambda: visitor.call(good, session_hash={"a": []}),
        lambda: client.post(path, content=b""),
        lambda: client.post(path, content=b"{"),
        lambda: client.post(path, content=b"\xff\xfe\x00"),
        lambda: client.post(path, content=deep, headers={"content-type": "application/json"}),
        lambda: client.post(path, content=parts()),
        lambda: client.post(path, files={"a": b"b"}),
        lambda: client.post(path, json={"data": None}),
    ]
    return itertools.cycle(calls)


@pytest.mark.long
@pytest.mark.slow
def test_five_hundred_hostile_frames_do_not_disturb_a_stream(start_app):
    from fer import read_image

    n_hostile = 500
    app = start_app(FER_DETECTOR="slim")
    face = data_url(read_image(FACE))
    end = time.monotonic() + 30
    while "public link" not in app.log and time.monotonic() < end:  # Gradio's last word
        time.sleep(0.1)
    quiet = len(app.log.splitlines())

    async def stream():
        async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
            guest, enemy = Visitor(client, "guest"), Visitor(client, "enemy")
            calls = hostile_calls(enemy, client)
            good, bad = [], []

            async def attack():
                for _ in range(n_hostile):
                    # A connection that the server closes while a huge body is sent is fine.
                    with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                        bad.append(await next(calls)())

            attacked = asyncio.create_task(attack())
            while not attacked.done():
                good.append(await guest.send(face))
            await attacked
            return good, bad

    good, bad = asyncio.run(stream())
    assert len(good) > 50
    assert all([found["track_id"] for found in answer["faces"]] == [1] for answer in good)
    assert len(bad) > 0.9 * n_hostile
    for reply in bad:
        assert reply.status_code in (200, 400, 404, 413, 422), reply.text
        assert reply.status_code != 200 or reply.json()["error"]["code"].startswith("bad_")
    # LiteRT says so once for each interpreter, the second when two frames are at work.
    lines = [line for line in app.log.splitlines()[quiet:] if "XNNPACK delegate" not in line]
    assert lines == []
    calls = httpx.get(app.url + "/health").json()["calls"]
    assert calls["frame"]["answered"] == len(good)
    assert set(calls["frame"]["refused"]) <= {"bad_frame", "bad_state", "stale"}
    assert calls["frame"]["failed"] == 0
    assert set(calls["request"]["refused"]) == {"malformed", "not_offered", "too_large"}


@pytest.mark.slow
def test_the_endpoint_for_programs_answers_as_the_page_is_answered(slim_app):
    from gradio_client import Client

    from fer import read_image

    face = data_url(read_image(FACE))
    client = Client(slim_app.url, verbose=False)
    state = None
    for i in range(3):
        answer = client.predict(face, state, i / 10, api_name="/live_frame")
        state = answer["state"]
        assert [found["track_id"] for found in answer["faces"]] == [1]

    async def by_the_page():
        async with httpx.AsyncClient(base_url=slim_app.url, timeout=60) as http:
            return await Visitor(http, "me").send(face)

    same = ("frame", "class_names")
    page = asyncio.run(by_the_page())
    assert {key: answer[key] for key in same} == {key: page[key] for key in same}
    assert answer["faces"][0]["box_xyxy"] == page["faces"][0]["box_xyxy"]
    refused = client.predict("no picture", api_name="/live_frame")
    assert refused["error"]["code"] == "bad_frame"
    about = client.view_api(return_format="dict")["named_endpoints"]["/live_frame"]
    assert [item["parameter_name"] for item in about["parameters"]] == ["image", "state", "time_s"]
