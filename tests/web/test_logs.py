"""The log: JSON where strangers come, and nothing of them in it."""

import asyncio
import gc
import json
import logging
import subprocess
import sys
import traceback
import warnings
from types import SimpleNamespace

import pytest

from fer.settings import Settings
from fer.web.server.logs import FIELDS, JsonFormatter, _Seldom, only_the_log, set_up_logging
from tests.conftest import ROOT

SECRET = "holiday of the Quaggas.jpg"


@pytest.fixture
def lines(capsys):
    """Sets the log up with variables; gives what it wrote, line for line."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def start(**variables):
        set_up_logging(Settings.from_env(variables).log)
        return lambda: capsys.readouterr().err.splitlines()

    yield start
    root.handlers[:], _ = before
    root.setLevel(before[1])


def crash():
    try:
        raise OSError(f"cannot open {SECRET}")
    except OSError as error:
        raise ValueError(f"{SECRET} is none") from error


def test_a_line_for_a_machine(lines):
    read = lines(FER_LOG="json")
    about = {FIELDS: {"event": "start", "detector": "YuNet"}}
    logging.getLogger("fer.web").info("started\nas %s", "asked", extra=about)
    (line,) = map(json.loads, read())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "fer.web",
        "message": "started\nas asked",
        "event": "start",
        "detector": "YuNet",
    }


def test_of_an_error_type_and_place_are_told_but_no_message(lines):
    read = lines(FER_LOG="json")
    try:
        crash()
    except ValueError:
        logging.getLogger("fer.web").exception("picture failed")
    (text,) = read()
    assert "Quagga" not in text
    error = json.loads(text)["error"]
    assert error["type"] == "ValueError"
    assert error["cause"] == "OSError"
    assert error["where"][-1].startswith("web/test_logs.py:")
    assert error["where"][-1].endswith(" crash")


@pytest.mark.parametrize(
    ("variables", "is_json"),
    [
        ({}, False),
        ({"FER_LOG": "text"}, False),
        ({"SPACE_ID": "someone/fer"}, True),
        ({"SPACE_ID": "someone/fer", "FER_LOG": "text"}, False),
        ({"FER_LOG": "json"}, True),
    ],
)
def test_it_is_json_on_a_space_or_where_it_is_asked_for(lines, variables, is_json):
    read = lines(**variables)
    logging.getLogger("fer").warning("summary", extra={FIELDS: {"event": "summary", "n": 1}})
    logging.getLogger("fer").warning("all is said", extra={FIELDS: {"event": "start", "n": 1}})
    texts = read()
    assert [text.startswith("{") for text in texts] == [is_json] * 2
    assert is_json or texts == ['WARNING fer: summary {"n": 1}', "WARNING fer: all is said"]


def test_what_others_print_while_visitors_are_served_is_told_by_its_kind(lines, caplog):
    # The tests' Hub has a server of the same kind, which it keeps quiet.
    caplog.set_level(logging.ERROR, logger="uvicorn.error")
    read = lines(FER_LOG="json")
    stderr = sys.stderr
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
    with only_the_log():
        try:
            crash()
        except ValueError:
            traceback.print_exc()
        print(SECRET, file=sys.stderr)
        print(file=sys.stderr)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("deprecated", UserWarning, stacklevel=1)
        logging.getLogger("uvicorn.error").error("of the server")
    assert sys.stderr is stderr
    texts = read()
    assert "Quagga" not in "".join(texts)
    found = list(map(json.loads, texts))
    assert [line["message"].split(":")[0] for line in found][:2] == ["an error was printed"] * 2
    assert [line["error"]["type"] for line in found[:2]] == ["OSError", "ValueError"]
    assert found[1]["error"]["where"][0].endswith(" crash")
    assert found[2]["message"] == "text was printed"
    assert found[2]["n_characters"] == len(SECRET)
    assert "deprecated" in found[3]["message"]
    assert found[4] | {"time": 0} == {
        "time": 0,
        "level": "ERROR",
        "logger": "uvicorn.error",
        "message": "of the server",
    }
    assert len(found) == 5


@pytest.mark.parametrize("form", ["json", "text"])
def test_sessions_are_not_in_the_lines_of_asyncio(form, lines):
    read = lines(FER_LOG=form)

    async def lose():
        async def fail():
            raise ValueError("of no visitor")

        from gradio.utils import set_task_name

        task = asyncio.create_task(fail())
        set_task_name(task, "quagga7731", 3, "event9942", batch=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(lose())
    told = "\n".join(read())
    assert "Task exception was never retrieved" in told
    assert "quagga7731" not in told
    assert "event9942" not in told


def test_who_sends_nonsense_does_not_fill_the_log(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("fer.web.server.logs.time", SimpleNamespace(monotonic=lambda: now[0]))
    seldom = _Seldom()

    def passes(level, text):
        return seldom(logging.LogRecord("uvicorn.error", level, "", 1, text, None, None))

    assert [passes(logging.WARNING, "Invalid request") for _ in range(4)] == [True] + [False] * 3
    assert passes(logging.WARNING, "another warning")
    assert all(passes(logging.ERROR, "a mistake of ours") for _ in range(4))
    now[0] += 61
    assert passes(logging.WARNING, "Invalid request")


def test_for_a_person_others_may_print(lines):
    read = lines()
    with only_the_log():
        print("as it is", file=sys.stderr)
    assert read() == ["as it is"]


def test_an_error_before_the_first_visitor_says_all():
    code = "from fer.web.server import logs; logs.set_up_logging('json'); raise OSError('why')"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr.rstrip().endswith("OSError: why")


def test_what_json_does_not_know_is_written_as_text():
    record = logging.makeLogRecord({"msg": "x", FIELDS: {"path": ROOT}})
    assert json.loads(JsonFormatter().format(record))["path"] == str(ROOT)
