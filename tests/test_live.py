import asyncio
import base64
import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

from fer import Pipeline
from fer.errors import InputError
from fer.image import read_image
from fer.web import live
from fer.web.live import decode_frame, make_live_frame
from tests.conftest import FakeDetector, make_classifier, make_faces, noise


def data_url(frame, kind="JPEG", head="data:image/jpeg;base64,"):
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
    data_url(noise(9, 9), "PNG"),
    data_url(noise(9, 9), head="data:image/png;base64,"),
    data_url(np.zeros((1400, 1400, 3), np.uint8)),
]


def test_a_frame_comes_through():
    frame = decode_frame(data_url(np.full((24, 32, 3), 200, np.uint8))["image"])
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
            answers.append(await live_frame(broken, None))
            answers.append(await live_frame(data_url(noise(24, 32)), None))
        return answers

    answers = asyncio.run(stream())
    assert {answer["error"]["code"] for answer in answers[::2]} == {"bad_frame"}
    assert all(len(answer["faces"]) == 1 for answer in answers[1::2])
    json.dumps(answers, allow_nan=False)


def test_a_crash_in_the_pipeline_is_an_answer_without_details(caplog):
    def crash(frame):
        raise RuntimeError("secret detail")

    crash.title = "crash"
    live_frame = make_live_frame(make_pipeline(crash))
    answer = asyncio.run(live_frame(data_url(noise(24, 32)), None))
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
        for _ in range(total):
            tasks.append(asyncio.create_task(live_frame(data_url(noise(24, 32)), None)))
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


def test_the_page_sends_frames_under_the_limits():
    worst = data_url(noise(480, 640))  # noise is the least compressible picture
    assert len(worst["image"]) < live._MAX_CHARS
    assert read_image(base64.b64decode(worst["image"].split(",")[1])).shape == (480, 640, 3)
