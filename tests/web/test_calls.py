"""What a call may contain."""

import json

import pytest

from fer.web.server.calls import (
    MAX_CHARS,
    MAX_DEPTH,
    MAX_PARTS,
    NAME,
    BadCall,
    Calls,
    check_parts,
    read,
)

OURS = "/folder/uploads/1/2/cat.jpg"
META = {"_type": "gradio.FileData"}
FILE = {"path": OURS, "meta": META}
PICTURE = "data:image/jpeg;base64," + "A" * 20_000


def owns(path):
    return path == OURS


@pytest.fixture(scope="module")
def page(unserved_page):
    return unserved_page


@pytest.fixture(scope="module")
def calls(page):
    return Calls(page, owns)


def code_of(check, *arguments):
    """What a check says: "good", or the code with which it refuses."""
    try:
        check(*arguments)
    except BadCall as error:
        return error.code
    return "good"


@pytest.mark.parametrize("name", ["a", "oa5i0bcd7hc", "0b0e-4f_A", "x" * 64])
def test_a_name(name):
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a\n", "é", "\ud800", "../a", "a.b", "a%00"])
def test_no_name(name):
    assert not NAME.fullmatch(name)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff", b"\xff\xfe\x00", b"NaN", b"[Infinity]", b"[-Infinity]"),
        *('"a"'.encode("utf-16"), b"\xef\xbb\xbf{}", b"[" * 7000 + b"]" * 7000),
        *(b'{"a":' * 7000 + b"1" + b"}" * 7000, b"\xed\xa0\x80", b"1 2"),
    ],
    ids=range(13),
)
def test_what_is_no_json_is_refused(body):
    assert code_of(read, body) == "malformed"


@pytest.mark.parametrize(
    "value",
    [
        {str(i): 0 for i in range(90_000)},
        {"a": [{str(i): 0} for i in range(9_000)]},
        [[]] * 90_000,
        [0] * 90_000,
        ["a,[{" * 10_000],
    ],
    ids=["keys", "objects", "lists", "numbers", "a text of separators"],
)
def test_json_of_many_parts_is_not_parsed(value, monkeypatch):
    body = json.dumps(value).encode()
    monkeypatch.setattr("fer.web.server.calls.json.loads", None)
    assert code_of(read, body) == "too_large"
    nested = b"[" * 100_000 + b"]" * 100_000
    assert code_of(read, nested) == "too_large"


def test_texts_may_have_separators():
    value = {"texts": [",[{" * 500] * 4, "image": PICTURE, "parts": [0] * (MAX_PARTS // 4)}
    assert read(json.dumps(value).encode()) == value


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "good"),
        ({"image": PICTURE, "state": {"tracks": [{"box": [1.5, -2, 3e10, 0.0]}]}}, "good"),
        ("Zoë, 15 \N{GRINNING FACE}", "good"),
        ("2.15.00\u202fPM, \u200e\u3000\N{WOMAN}\u200d\N{ROCKET}\t.png", "good"),
        ("x" * MAX_CHARS, "good"),
        ("x" * (MAX_CHARS + 1), "malformed"),
        ("data:text/html," + "x" * MAX_CHARS, "malformed"),
        (PICTURE + "é", "malformed"),
        ("\ud800", "malformed"),
        (["a\ud800b"], "malformed"),
        ({"\ud800": 1}, "malformed"),
        ({"a\nb": 1}, "malformed"),
        ({"x" * 200: 1}, "malformed"),
        ("a\nERROR forged", "malformed"),
        ("\x1b[2J", "malformed"),
        ("\u202egpj.exe", "malformed"),
        ("a\x07b", "malformed"),
        ("\0", "malformed"),
        (10**30, "malformed"),
        (json.loads("1e999"), "malformed"),
        (nested(MAX_DEPTH - 1), "good"),
        (nested(MAX_DEPTH), "malformed"),
        (nested(900), "malformed"),
        ([0] * (MAX_PARTS - 1), "good"),
        ([0] * MAX_PARTS, "too_large"),
        ([[0] * 50] * 100, "too_large"),
        ({str(i): i for i in range(MAX_PARTS)}, "too_large"),
        # Files, with and without their mark, wherever they stand.
        (FILE, "good"),
        ({"path": OURS}, "good"),
        ({"path": None}, "good"),
        ({"path": "/etc/passwd"}, "no_such_file"),
        ({"path": "/etc/passwd", "meta": META}, "no_such_file"),
        ({"path": "/"}, "no_such_file"),
        ({"path": ""}, "no_such_file"),
        ({"path": 7}, "no_such_file"),
        ({"path": [OURS]}, "no_such_file"),
        ({"path": {"path": OURS}}, "no_such_file"),
        ({"path": "https://example.org/a.jpg", "url": "https://example.org/a.jpg"}, "no_such_file"),
        ([{"a": [{"image": {"path": "/etc/passwd"}}]}], "no_such_file"),
        ({"path": OURS, "inner": {"path": "/etc/passwd"}}, "no_such_file"),
        ({"path": OURS, "is_stream": True}, "malformed"),
        ({"path": OURS, "is_stream": False}, "good"),
    ],
    ids=range(42),
)
def test_the_parts_of_a_call(value, code):
    assert code_of(check_parts, value, owns) == code


def number(page, name):
    (found,) = (i for i, fn in page.fns.items() if fn.api_name == name)
    return found


def component(page, elem_id):
    (found,) = (i for i, block in page.blocks.items() if block.elem_id == elem_id)
    return found


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "good"),
        ({"session_hash": "\ud800"}, "malformed"),
        ({"session_hash": {"a": []}}, "malformed"),
        ({"session_hash": None}, "malformed"),
        ({"component_id": 10**9}, "not_offered"),
        ({"component_id": [1]}, "malformed"),
        ({"component_id": True}, "malformed"),
        ({"component_id": -1}, "malformed"),
        ({"fn_name": "__init__"}, "not_offered"),
        ({"fn_name": "../../etc/passwd"}, "malformed"),
        ({"fn_name": "explain_face"}, "not_offered"),
        ({"more": 1}, "malformed"),
        ({"data": {"image": {"path": "/etc/passwd"}}}, "no_such_file"),
        ({"data": "\ud800"}, "malformed"),
    ],
    ids=range(14),
)
def test_the_function_of_a_component(changes, code, page, calls):
    call = {
        "data": {"image": PICTURE, "state": None, "time_s": 1.5, "visitor": "1-2"},
        "component_id": component(page, "live"),
        "session_hash": "abc",
        "fn_name": "live_frame",
    }
    assert code_of(calls.check_server_function, call | changes) == code
    for key in call:
        rest = {name: value for name, value in call.items() if name != key}
        assert code_of(calls.check_server_function, rest) == "malformed"
    for other in (None, [], 7, "x"):
        assert code_of(calls.check_server_function, other) == "malformed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "good"),
        ({"data": [None]}, "good"),
        ({"event_id": None, "simple_format": False, "batched": False}, "good"),
        ({"fn_index": 999}, "not_offered"),
        ({"fn_index": -1}, "malformed"),
        ({"fn_index": "1"}, "malformed"),
        ({"fn_index": None}, "malformed"),
        ({"trigger_id": 10**9}, "malformed"),
        ({"session_hash": None}, "malformed"),
        ({"session_hash": "a b"}, "malformed"),
        ({"event_id": "\ud800"}, "malformed"),
        ({"batched": True}, "malformed"),
        ({"simple_format": True}, "malformed"),
        ({"oauth_token": "x"}, "malformed"),
        ({"request": {}}, "malformed"),
        ({"data": None}, "malformed"),
        ({"data": {}}, "malformed"),
        ({"data": []}, "malformed"),
        ({"data": [FILE, FILE]}, "malformed"),
        ({"data": [OURS]}, "no_such_file"),
        ({"data": [PICTURE]}, "no_such_file"),
        ({"data": [[FILE]]}, "no_such_file"),
        ({"data": [{}]}, "no_such_file"),
        ({"data": [{"url": "https://example.org/a.jpg", "meta": META}]}, "no_such_file"),
        ({"data": [{"path": "/etc/passwd", "meta": META}]}, "no_such_file"),
        ({"data": [{"path": "/etc/passwd"}]}, "no_such_file"),
        ({"data": [{"path": OURS}]}, "malformed"),
        ({"data": [FILE | {"meta": {"_type": "x"}}]}, "malformed"),
        ({"data": [FILE | {"video": FILE}]}, "malformed"),
        ({"event_data": {"value": {"image": {"path": "/etc/passwd"}}}}, "no_such_file"),
    ],
    ids=range(30),
)
def test_an_event_of_the_page(changes, code, page, calls):
    photo = component(page, "photo-input")
    call = {"data": [FILE], "fn_index": number(page, "show"), "session_hash": "abc"}
    call |= {"trigger_id": photo, "event_data": {"index": 1}}
    assert code_of(calls.check_event, call | changes, True) == code


@pytest.mark.parametrize(
    ("event_data", "code"),
    [
        ({"index": 0, "value": None}, "good"),
        ({"index": 1, "value": {"image": None, "caption": "a"}, "selected": True}, "good"),
        *((data, "malformed") for data in (None, {}, [], 7, "x", {"index": 1}, {"value": 1})),
        *(
            ({"index": index, "value": 1}, "malformed")
            for index in (-1, None, 1.5, "a", True, [0, 1], {}, 2**60)
        ),
    ],
    ids=range(17),
)
def test_who_selects_says_what(event_data, code, page, calls):
    call = {"data": [], "fn_index": number(page, "show_example"), "session_hash": "a"}
    assert code_of(calls.check_event, call | {"event_data": event_data}, True) == code
    if code == "malformed":
        assert code_of(calls.check_event, call, True) == code


def test_what_runs_in_the_browser_is_not_called_here(page, calls):
    for i, fn in page.fns.items():
        if fn.fn is None:
            call = {"data": [], "fn_index": i, "session_hash": "a"}
            assert code_of(calls.check_event, call, fn.queue) == "not_offered"


def test_each_route_has_its_own_events(page, calls):
    waits = {"data": [None], "fn_index": number(page, "show"), "session_hash": "a"}
    unqueued = next(i for i, fn in page.fns.items() if fn.fn is not None and fn.queue is False)
    at_once = {"data": [], "fn_index": unqueued, "session_hash": "a"}
    assert code_of(calls.check_event, waits, True) == "good"
    assert code_of(calls.check_event, waits, False) == "not_offered"
    assert code_of(calls.check_event, at_once, False) == "good"
    assert code_of(calls.check_event, at_once, True) == "not_offered"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("live_frame", [PICTURE, None, 1.5], "good"),
        ("live_frame", ["no picture", {}, None], "good"),
        ("live_frame", [PICTURE], "malformed"),
        ("live_frame", [{"path": "/etc/passwd"}, None, 0], "no_such_file"),
        ("predict_image", [FILE], "good"),
        ("predict_image", [None], "good"),
        ("predict_image", [{"path": "/etc/passwd"}], "no_such_file"),
        ("predict_image", ["/etc/passwd"], "no_such_file"),
        ("predict_video", [FILE, 5], "good"),
        ("predict_video", [FILE, 0.5], "good"),
        ("predict_video", [FILE, None], "good"),
        ("predict_video", [FILE, -5], "malformed"),
        ("predict_video", [FILE, 0], "malformed"),
        ("predict_video", [FILE, 0.05], "malformed"),
        ("predict_video", [FILE, 30.5], "malformed"),
        ("predict_video", [FILE, 1e299], "malformed"),
        ("predict_video", [FILE, float("nan")], "malformed"),
        ("predict_video", [FILE, "5"], "malformed"),
        ("predict_video", [FILE, True], "malformed"),
        ("predict_video", [FILE, [5]], "malformed"),
        ("show", [FILE], "not_offered"),
        ("analyse", [FILE, 15], "not_offered"),
        ("predict", [], "not_offered"),
    ],
)
def test_an_endpoint(name, data, code, calls):
    assert code_of(calls.check_endpoint, name, {"data": data}) == code
    parameters = {
        "live_frame": ("image", "state", "time_s"),
        "predict_image": ("image",),
        "predict_video": ("video", "rate"),
    }.get(name, ("image",))
    if len(parameters) == len(data):
        by_name = dict(zip(parameters, data, strict=True))
        assert code_of(calls.check_named, name, by_name) == code


def test_an_endpoint_s_data_by_name(calls):
    assert code_of(calls.check_named, "live_frame", {"image": PICTURE}) == "good"
    assert code_of(calls.check_named, "live_frame", {"state": None}) == "malformed"
    assert code_of(calls.check_named, "live_frame", {"image": "x", "other": 1}) == "malformed"
    assert code_of(calls.check_named, "live_frame", [PICTURE]) == "malformed"
    assert code_of(calls.check_endpoint, "live_frame", {"data": ["x"] * 3, "fn": 1}) == "malformed"


def test_a_choice_of_the_page_is_one_of_those_it_offers(page, calls):
    call = {"fn_index": number(page, "analyse"), "session_hash": "a"}
    for value, code in ((15, "good"), (30, "good"), (7, "malformed"), (True, "malformed")):
        assert code_of(calls.check_event, call | {"data": [FILE, value]}, True) == code
    assert code_of(calls.check_event, call | {"data": [FILE, [15]]}, True) == "malformed"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"session_hash": "abc", "fn_index": 8, "event_id": "def"}, "good"),
        ({"session_hash": "\ud800", "fn_index": 8, "event_id": "def"}, "malformed"),
        ({"session_hash": "abc", "fn_index": 999, "event_id": "def"}, "not_offered"),
        ({"session_hash": "abc", "fn_index": 8, "event_id": "x" * 65}, "malformed"),
        ({"session_hash": "abc", "fn_index": 8}, "malformed"),
        ([], "malformed"),
    ],
)
def test_who_cancels(call, code, calls):
    assert code_of(calls.check_cancel, call) == code


def test_an_assistant_names_no_files(calls):
    def message(image):
        call = {"name": "predict_image", "arguments": {"image": image}}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}

    assert code_of(calls.check_message, message(PICTURE)) == "good"
    # Gradio's client, which runs in this process then, would send the file that is named.
    for image in (FILE, {"path": "/etc/passwd", "meta": META}, [[{"path": "/etc/passwd"}]]):
        assert code_of(calls.check_message, message(image)) == "no_such_file"


def test_a_program_lets_an_event_go(calls):
    assert code_of(calls.check_reset, {"event_id": "abc"}) == "good"
    assert code_of(calls.check_reset, {"event_id": "a b"}) == "malformed"
