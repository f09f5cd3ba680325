"""Drop what Gradio keeps of a visitor once the answer is sent.

Gradio keeps what it was sent as the value of a component of the visitor's session, for the last
10,000 sessions and one of them for as long as the process runs; the last call in a variable of its
queue; answers that nobody fetched for the last 2,000 sessions; and for good the names of uploads
and the paths of files. No component of this page needs a session, so there is none.
"""

import asyncio
import time
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import anyio.to_thread
from gradio.routes import file_upload_statuses
from gradio.state_holder import SessionState, StateHolder

from fer.memory import give_memory_back

__all__ = ["Forgetful", "forget_sessions", "forget_the_last_call"]

# Clients that call by name fetch the answer in a second request.
_ANSWER_AGE_S = 60.0
_SWEEP_S = 5.0
_MAX_WAITING = 20_000


class _NoSession(SessionState):  # type: ignore[misc]
    """Page as it was built, for one call; changes to its components are dropped with it."""

    def __init__(self, page: Any) -> None:
        super().__init__(page)
        self._changed: dict[int, Any] = {}

    def for_a_call(self) -> "_NoSession":
        """Return the same page, for another call."""
        other = copy(self)
        other._changed = {}
        return other

    def __getitem__(self, key: int) -> Any:
        return self._changed[key] if key in self._changed else super().__getitem__(key)

    def __setitem__(self, key: int, value: Any) -> None:
        self._changed[key] = value

    def _update_config(self, key: int) -> None:
        """Keep nothing."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Keep nothing."""


class _NoSessions(StateHolder):  # type: ignore[misc]
    """Has no session by any name, and gives each call the page as it was built."""

    def __init__(self, page: Any) -> None:
        super().__init__()
        self.set_blocks(page)
        self._page = _NoSession(page)

    def __getitem__(self, session_id: str) -> SessionState:
        return self._page.for_a_call()


def forget_sessions(app: Any, page: Any) -> None:
    """Give the app of a page no sessions.

    Args:
        app: Gradio's.
        page: that it serves; none of its components has a state.
    """
    assert not any(block.stateful for block in page.blocks.values())
    app.state_holder = _NoSessions(page)


def forget_the_last_call(queue: Any) -> None:
    """Let a queue of Gradio's drop what it was sent as soon as it is answered, and no answers."""
    process = queue.process_events

    async def process_and_forget(events: Any, *rest: Any) -> None:
        try:
            await process(events, *rest)
        finally:
            for event in events:
                event.data = event.request = event.progress = None

    queue.process_events = process_and_forget
    queue.ANALYTICS_MAX_EVENTS = 1  # no list of who called when
    # Where there are more, Gradio drops the answer that somebody is waiting for. They go by age.
    queue.pending_messages_per_session.max_size = _MAX_WAITING


class Forgetful:
    """Drop, every few seconds, what visitors who left did not fetch.

    Args:
        page: that is served.
        answer_age_s: how long an answer waits for its client.
    """

    def __init__(self, page: Any, answer_age_s: float = _ANSWER_AGE_S) -> None:
        self._page = page
        self._answer_age_s = answer_age_s
        self._queue = page._queue
        self._idle_since: dict[str, float] = {}

    async def run(self) -> None:
        """Sweep until cancelled.

        What was freed is given back to the system, or it would stay in memory until it is used
        again.
        """
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.sweep()
            await anyio.to_thread.run_sync(give_memory_back)

    def sweep(self) -> None:
        """Drop answers that nobody fetched, and records of finished uploads."""
        self._sweep_answers()
        for name in list(file_upload_statuses._signals):
            status = file_upload_statuses._statuses.get(name)
            if status is None or status.is_done:
                file_upload_statuses._signals.pop(name, None)
                file_upload_statuses._statuses.pop(name, None)
        for block in self._page.blocks.values():
            if paths := getattr(block, "temp_files", None):
                block.temp_files = {path for path in paths if Path(path).exists()}

    def _sweep_answers(self) -> None:
        """Drop the messages to sessions that have had no call at work for a while."""
        now = time.monotonic()
        busy = {event.session_hash for event in self._queue.event_ids_to_events.values()}
        idle = {name for name in self._names() if name not in busy}
        self._idle_since = {name: self._idle_since.get(name, now) for name in idle}
        for name, since in list(self._idle_since.items()):
            if now - since > self._answer_age_s:
                self._queue.pending_messages_per_session.pop(name, None)
                self._queue.pending_event_ids_session.pop(name, None)
                del self._idle_since[name]

    def _names(self) -> Iterator[str]:
        yield from list(self._queue.pending_messages_per_session)
        for name in list(self._queue.pending_event_ids_session):
            if name not in self._queue.pending_messages_per_session:
                yield name
