"""Run what Gradio does before it serves inside an event loop that is closed."""

import asyncio
import functools
from collections.abc import Callable
from contextlib import closing, suppress
from typing import ParamSpec, TypeVar

__all__ = ["in_event_loop"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def in_event_loop(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Call the function where an event loop runs, and close that loop.

    Where none runs, Gradio opens one for each of its locks and forgets it. Collected open, it
    may print a traceback. Source: github.com/gradio-app/gradio/issues/12699.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        async def run() -> _R:
            return function(*args, **kwargs)

        running = None
        with suppress(RuntimeError):
            running = asyncio.get_running_loop()
        if running is not None:  # in a notebook
            return function(*args, **kwargs)
        with closing(asyncio.new_event_loop()) as loop:
            return loop.run_until_complete(run())

    return call
