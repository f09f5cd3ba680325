"""Nothing of a visitor outlives the answer."""

import base64
import gc
import io
import json
import secrets
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from bench.apps import free_port
from fer import Pipeline
from fer.settings import Settings
from fer.web import page
from fer.web.server import forget, serve
from fer.web.server.start import About
from fer.web.server.work import InProcess
from tests.conftest import FakeDetector, make_classifier, make_faces, noise

TEXTS = (str, bytes, bytearray)


@pytest.fixture(scope="module")
def served():
    """A page that is served by this process."""
    pipeline = Pipeline(FakeDetector(make_faces([2, 2, 20, 20])), make_classifier())

    def start():
        about = About("toy", None, None, None, "fake")
        made = page.build_page(pipeline, about, Settings(), InProcess(pipeline))
        serve.launch(made, prevent_thread_lock=True, quiet=True, server_port=free_port())
        return made

    with ThreadPoolExecutor(1) as pool:  # a browser's tests leave a loop running in this thread
        made = pool.submit(start).result()
    yield made
    made.close()


def post(served, path, call):
    request = urllib.request.Request(
        f"{served.local_url}gradio_api/{path}",
        json.dumps(call).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read())


def get(served, path):
    with urllib.request.urlopen(f"{served.local_url}gradio_api/{path}", timeout=30) as reply:
        return reply.read().decode()


def frame(mark):
    """A JPEG with a mark behind its end, as a data URL in which the mark can be read."""
    buffer = io.BytesIO()
    Image.fromarray(noise(24, 30)).save(buffer, "JPEG")
    content = buffer.getvalue()
    content += b"\0" * (-len(content) % 3)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode() + "".join(mark)


def texts():
    """Every text and byte string that an object, a thread or a coroutine of this process has."""
    gc.collect()
    for one in gc.get_objects():
        for part in gc.get_referents(one):
            if isinstance(part, TEXTS):
                yield part
    for top in sys._current_frames().values():
        place = top
        while place is not None:
            yield from (one for one in place.f_locals.values() if isinstance(one, TEXTS))
            place = place.f_back


def found(mark):
    """How many texts of this process have a mark in them."""
    text = "".join(mark)
    n_found = 0
    for one in texts():
        if len(one) > len(text):
            n_found += (text if isinstance(one, str) else text.encode()) in one
    return n_found


def marked():
    """A mark that no other text of this process has, in two parts."""
    return secrets.token_hex(16), secrets.token_hex(16)


def gone(mark, limit_s=60.0):  # in a large process one search takes seconds
    end = time.monotonic() + limit_s
    while (n_found := found(mark)) and time.monotonic() < end:
        time.sleep(0.2)
    return n_found == 0


def test_the_search_finds_what_is_kept(served):
    mark = marked()
    kept = [frame(mark)]
    assert found(mark) == 1
    kept.clear()
    assert found(mark) == 0


def by_name(served, mark):
    event = post(served, "call/live_frame", {"data": [frame(mark), None, 0.0]})["event_id"]
    assert '"faces"' in get(served, f"call/live_frame/{event}")


def by_parameter(served, mark):
    event = post(served, "call/v2/live_frame", {"image": frame(mark)})["event_id"]
    assert '"faces"' in get(served, f"call/live_frame/{event}")


def by_name_and_away(served, mark):
    post(served, "call/live_frame", {"data": [frame(mark), None, 0.0]})
    idle(served)


def in_a_session(served, mark):
    session = secrets.token_hex(8)
    call = {"data": [frame(mark), None, 0.0], "fn_index": 0, "session_hash": session}
    post(served, "queue/join", call)
    assert '"faces"' in get(served, f"queue/data?session_hash={session}")


def from_the_page(served, mark):
    (live,) = (n for n, block in served.blocks.items() if block.elem_id == "live")
    data = {"image": frame(mark), "state": None, "time_s": 0.0, "visitor": "me"}
    call = {"data": data, "component_id": live, "session_hash": "me", "fn_name": "live_frame"}
    assert "faces" in post(served, "component_server", call)


def broken(served, mark):
    event = post(served, "call/live_frame", {"data": ["X" + frame(mark)[:2000], None, 0.0]})
    assert "bad_frame" in get(served, f"call/live_frame/{event['event_id']}")


def refused(served, mark):
    with pytest.raises(urllib.error.HTTPError):
        post(served, "call/live_frame", {"data": [frame(mark), None]})


@pytest.mark.parametrize(
    "send", [by_name, by_parameter, by_name_and_away, in_a_session, from_the_page, broken, refused]
)
def test_a_marked_frame_is_nowhere_after_the_answer(send, served):
    mark = marked()
    send(served, mark)
    assert gone(mark)


def idle(served):
    """Wait until no call is at work."""
    end = time.monotonic() + 10
    while served._queue.event_ids_to_events and time.monotonic() < end:
        time.sleep(0.02)
    assert served._queue.event_ids_to_events == {}


@pytest.mark.long
def test_five_hundred_sessions_leave_nothing(served):
    forgetful = forget.Forgetful(served, answer_age_s=-1)
    in_a_session(served, marked())
    idle(served)
    forgetful.sweep()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(500):
        in_a_session(served, marked())
    idle(served)
    assert len(served._queue.pending_messages_per_session) >= 500
    forgetful.sweep()
    gc.collect()
    assert len(served._queue.pending_messages_per_session) == 0
    assert served._queue.pending_event_ids_session == {}
    assert len(gc.get_objects()) - before < 500


def test_an_answer_waits_for_whoever_asked(served):
    session = secrets.token_hex(8)
    call = {"data": [frame(marked()), None, 0.0], "fn_index": 0, "session_hash": session}
    post(served, "queue/join", call)
    idle(served)
    forget.Forgetful(served).sweep()
    assert '"faces"' in get(served, f"queue/data?session_hash={session}")


def test_what_a_call_changes_of_the_page_goes_with_it(served):
    sessions = served.state_holder
    (start,) = (n for n, block in served.blocks.items() if block.elem_id == "video-csv")
    one, other = sessions["a"], sessions["a"]
    one[start] = "changed"
    one._update_value_in_config(start, "value")
    assert one[start] == "changed"
    assert other[start] is served.blocks[start]
    assert sessions["a"][start] is served.blocks[start]
    assert "a" not in sessions
