"""Check what a call contains: names, texts, files, and their size and number.

A call is the JSON that a page, a program or an assistant sends. It is checked before any of
Gradio's handlers sees it: they open a file by any path, use any text as a key, and print what
they cannot use.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Blocks

__all__ = ["MAX_CHARS", "MAX_DEPTH", "MAX_PARTS", "NAME", "BadCall", "Calls", "check_parts", "read"]

# Of sessions, events, uploads and visitors: Gradio's own are hexadecimal, UUIDs or in base 36.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A state of the tracker has five levels in a call; no more than 32 faces with 12 numbers each.
MAX_DEPTH = 12
MAX_PARTS = 4000
MAX_CHARS = 2048
# Before each part stands one of these; as many again may stand in texts. Counting takes .1 ms,
# parsing a megabyte of small parts .2 s.
_SEPARATORS = b",[{"
_MAX_SEPARATORS = 2 * MAX_PARTS
_MAX_KEY_CHARS = 128
# Control characters but for tabs, line breaks, what turns the order of letters around, and halves
# of surrogate pairs. Names of files have odd spaces and marks in them.
_UNUSABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# A picture in a text is as long as the body lets it be; what it is for checks the rest.
_PICTURE = "data:image/"
_MAX_NUMBER = 1 << 53
# Of the form in which Gradio names a file. `url` is where the browser shows it; nobody opens it.
_FILE_KEYS = frozenset({"path", "url", "size", "orig_name", "mime_type", "is_stream", "meta"})
_FILE_META = {"_type": "gradio.FileData"}

Owns = Callable[[object], bool]


class BadCall(Exception):
    """Raised for a call that is refused.

    Attributes:
        status: of HTTP.
        code: "malformed", "too_large", "no_such_file" or "not_offered".
    """

    def __init__(self, status: int = 400, code: str = "malformed") -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def _not_a_number(_: str) -> Any:
    raise BadCall


def read(body: bytes) -> Any:
    """Parse the JSON in a body: UTF-8, without NaN and infinities, and not of many parts.

    Raises:
        BadCall: something else.
    """
    if sum(body.count(separator) for separator in _SEPARATORS) > _MAX_SEPARATORS:
        raise BadCall(413, "too_large")
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_not_a_number)
    except (ValueError, RecursionError) as error:
        raise BadCall from error


def is_text(value: object) -> bool:
    """Return whether a value is a text that a call may have: short but for pictures."""
    if not isinstance(value, str):
        return False
    if len(value) > MAX_CHARS:
        return value.isascii() and value.startswith(_PICTURE)
    return _UNUSABLE.search(value) is None


def check_parts(value: object, owns: Owns) -> None:
    """Check everything in a value, whatever it is for.

    Args:
        value: as it was read; objects, lists, texts, numbers, truth values, None.
        owns: whether a path is that of a file which a call may name.

    Raises:
        BadCall: too much, too deep, no plain text, or a file that a call may not name. Every
            such file gives the same refusal, and none is looked at before.
    """
    n_parts = 0
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        n_parts += len(level)
        if n_parts > MAX_PARTS:
            raise BadCall(413, "too_large")
        below: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is dict:
                _check_object(part, owns)
                below += part.values()
            elif kind is list:
                below += part
            elif kind is str:
                if not is_text(part):
                    raise BadCall
            elif kind is int:
                if abs(part) > _MAX_NUMBER:
                    raise BadCall
            elif kind is float and abs(part) > 1e300:  # 1e999 is infinite
                raise BadCall
        if not below:
            return
        level = below
    raise BadCall


def _check_object(part: dict[str, Any], owns: Owns) -> None:
    for key in part:
        if len(key) > _MAX_KEY_CHARS or not key.isprintable():
            raise BadCall
    # Gradio opens what stands here, with and without the mark that it is a file.
    if part.get("path") is not None and not owns(part["path"]):
        raise BadCall(400, "no_such_file")
    if part.get("is_stream"):
        raise BadCall


def _is_file(value: object, owns: Owns) -> bool:
    """Return whether a value is None or a file as Gradio's clients name it."""
    if value is None:
        return True
    if not isinstance(value, dict) or not owns(value.get("path")):
        raise BadCall(400, "no_such_file")
    return set(value) <= _FILE_KEYS and value.get("meta") == _FILE_META


def _is_number(value: object, least: float | None, most: float | None) -> bool:
    """Return whether a value is None or a number within its bounds, if it has any."""
    if value is None:
        return True
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return (least is None or value >= least) and (most is None or value <= most)


def _is_selection(value: object) -> bool:
    """Return whether a value says what was selected, as in the data of Gradio's events."""
    return isinstance(value, dict) and "value" in value and _is_index(value.get("index"))


class Calls:
    """Check calls against the components and functions of a page.

    Args:
        page: that is served.
        owns: whether a path is that of a file which a call may name.
    """

    def __init__(self, page: Blocks, owns: Owns) -> None:
        self._fns = page.fns
        self._blocks = frozenset(page.blocks)
        self._owns = owns
        self._by_name = {
            fn.api_name: fn for fn in page.fns.values() if fn.api_visibility == "public"
        }
        self._parameters = {
            name.removeprefix("/"): endpoint["parameters"]
            for name, endpoint in page.get_api_info()["named_endpoints"].items()
        }
        self._server_functions = {
            (number, function.__name__)
            for number, block in page.blocks.items()
            for function in getattr(block, "server_fns", None) or ()
        }

    def check_server_function(self, call: Any) -> None:
        """Check the call of a function of a component, such as a live frame."""
        _check_keys(call, _SERVER_FUNCTION, all_of=True)
        if (call["component_id"], call["fn_name"]) not in self._server_functions:
            raise BadCall(404, "not_offered")
        check_parts(call["data"], self._owns)

    def check_event(self, call: Any, queued: bool) -> None:
        """Check the call of an event of the page, which names it by its number.

        Args:
            call: what was sent.
            queued: whether it came by the route of those that wait in Gradio's queue.
        """
        _check_keys(call, _EVENT)
        if call.get("session_hash") is None:
            raise BadCall
        fn = self._fns.get(call.get("fn_index"))
        # What has no function here runs in the browser.
        if fn is None or fn.fn is None or fn.queue != queued:
            raise BadCall(404, "not_offered")
        if call.get("trigger_id") is not None and call["trigger_id"] not in self._blocks:
            raise BadCall
        check_parts(call.get("event_data"), self._owns)
        if fn.collects_event_data and not _is_selection(call.get("event_data")):
            raise BadCall
        self._check_inputs(fn, call.get("data"))

    def check_endpoint(self, name: str, call: Any) -> None:
        """Check the call of an endpoint by its name, with its data in order."""
        _check_keys(call, _ENDPOINT)
        self._check_inputs(self._endpoint(name), call.get("data"))

    def check_named(self, name: str, call: Any) -> None:
        """Check the call of an endpoint by its name, with its data by their names."""
        fn = self._endpoint(name)
        parameters = {one["parameter_name"]: one for one in self._parameters[name]}
        if not isinstance(call, dict) or not set(call) <= set(parameters):
            raise BadCall
        check_parts(call, self._owns)
        for block, (parameter, about) in zip(fn.inputs, parameters.items(), strict=True):
            if parameter in call:
                self._check_input(block, call[parameter])
            elif not about["parameter_has_default"]:
                raise BadCall

    def check_cancel(self, call: Any) -> None:
        """Check who wants which event to end."""
        _check_keys(call, _CANCEL, all_of=True)
        if call.get("fn_index") not in self._fns:
            raise BadCall(404, "not_offered")

    def check_message(self, call: Any) -> None:
        """Check what an assistant says in JSON-RPC; it sends pictures, and names no files."""
        check_parts(call, lambda _: False)

    def check_reset(self, call: Any) -> None:
        """Check the name of the event that a client lets go."""
        _check_keys(call, {"event_id": _is_name}, all_of=True)

    def _endpoint(self, name: str) -> Any:
        fn = self._by_name.get(name)
        if fn is None:
            raise BadCall(404, "not_offered")
        return fn

    def _check_inputs(self, fn: Any, data: Any) -> None:
        if not isinstance(data, list) or len(data) != len(fn.inputs):
            raise BadCall
        check_parts(data, self._owns)
        for block, value in zip(fn.inputs, data, strict=True):
            self._check_input(block, value)

    def _check_input(self, block: Any, value: Any) -> None:
        if isinstance(block, gr.Image | gr.File | gr.Video):
            fits = _is_file(value, self._owns)
        elif isinstance(block, gr.Number):
            fits = _is_number(value, block.minimum, block.maximum)
        elif isinstance(block, gr.Dropdown | gr.Radio):
            choices = [choice for _, choice in block.choices]
            fits = any(value == one and type(value) is type(one) for one in choices)
        else:
            fits = True
        if not fits:
            raise BadCall


def _check_keys(
    call: Any, known: Mapping[str, Callable[[Any], bool]], all_of: bool = False
) -> None:
    """Check that a call is an object with known keys, each with a value that it may have."""
    if not isinstance(call, dict) or not set(call) <= set(known):
        raise BadCall
    if all_of and len(call) < len(known):
        raise BadCall
    for key, value in call.items():
        if not known[key](value):
            raise BadCall


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _is_name_or_none(value: Any) -> bool:
    return value is None or _is_name(value)


def _is_index(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_NUMBER


def _is_index_or_none(value: Any) -> bool:
    return value is None or _is_index(value)


def _is_off(value: Any) -> bool:
    """Return whether an option that no client of this page needs is off."""
    return value is None or value is False


def _anything(_: Any) -> bool:
    """Accept any value; a later check reads it."""
    return True


_SERVER_FUNCTION = {
    "data": _anything,
    "component_id": _is_index,
    "session_hash": _is_name,
    "fn_name": _is_name,
}
_EVENT = {
    "data": _anything,
    "event_data": _anything,
    "fn_index": _is_index,
    "trigger_id": _is_index_or_none,
    "session_hash": _is_name_or_none,
    "event_id": _is_name_or_none,
    "simple_format": _is_off,
    "batched": _is_off,
    "oauth_token": _is_off,
}
_ENDPOINT = {
    "data": _anything,
    "session_hash": _is_name_or_none,
    "oauth_token": _is_off,
}
_CANCEL = {"session_hash": _is_name, "fn_index": _is_index, "event_id": _is_name}
