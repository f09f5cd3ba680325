"""Serve GET /health: whether the page can answer, and what it runs on."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fer import __version__
from fer.pipeline import Pipeline
from fer.web.server.start import About
from fer.web.server.traffic import Traffic, traffic
from fer.web.server.work import Workers

__all__ = ["Health", "memory_mb"]

log = logging.getLogger(__name__)

# Cache the result so that polling cannot load the server.
_FRESH_S = 5.0
_PATIENCE_S = 5.0
_GRAY = 128
_SIDE_PX = 96


def memory_mb() -> float | None:
    """Return the resident memory of this process in megabytes; None where unknown."""
    try:
        n_pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(n_pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


class Health:
    """Check detector and classifier, one request at a time.

    Args:
        pipeline: that is checked.
        about: weights and detector.
        counts: of the calls so far.
        work: the worker processes, whose counts are reported.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        about: About,
        counts: Traffic = traffic,
        work: Workers | None = None,
    ) -> None:
        self._work = work
        self._pipeline = pipeline
        self._about = about
        self._counts = counts
        self._problem: str | None = None
        self._checked_at = -np.inf
        self._lock = anyio.Lock()
        self._asking = False

    @property
    def route(self) -> Route:
        """Return the route /health, for GET and HEAD: 200, or 503 with a `reason`."""
        return Route("/health", self._answer, methods=["GET"])

    async def _answer(self, _: Request) -> Response:
        problem = await self.check()
        status = {"status": "ok"} if problem is None else {"status": "error", "reason": problem}
        return JSONResponse(
            status | self.facts(), 200 if problem is None else 503, {"cache-control": "no-store"}
        )

    def facts(self) -> dict[str, Any]:
        """Return the facts in the answer other than its status."""
        return {
            "version": __version__,
            **self._about.facts(),
            "uptime_s": round(self._counts.uptime_s, 1),
            "memory_mb": memory_mb(),
            "calls": self._counts.counts(),
        } | ({} if self._work is None else {"workers": self._work.facts()})

    async def check(self) -> str | None:
        """Return why the pipeline does not answer, None where it does; cached for seconds."""
        async with self._lock:
            if time.monotonic() - self._checked_at > _FRESH_S:
                before = self._problem
                self._problem = await self._ask()
                self._checked_at = time.monotonic()
                if self._problem is not None and self._problem != before:
                    log.error("health: %s", self._problem)
            return self._problem

    async def _ask(self) -> str | None:
        # A thread that hangs is left behind, but one alone.
        if not self._asking:
            self._asking = True
            with anyio.move_on_after(_PATIENCE_S):
                return await anyio.to_thread.run_sync(self._try, abandon_on_cancel=True)
        return f"no answer within {_PATIENCE_S:g} s"

    def _try(self) -> str | None:
        """Run the pipeline on a gray picture; return what failed."""
        gray = np.full((_SIDE_PX, _SIDE_PX, 3), _GRAY, np.uint8)
        part = "detector"
        try:
            self._pipeline.detector(gray)
            part = "classifier"
            probs = self._pipeline.classifier([gray])
        except Exception as error:
            log.exception("health: the %s failed", part)
            return f"the {part} raised {type(error).__name__}"
        finally:
            self._asking = False
        n_classes = len(self._pipeline.classifier.config.class_names)
        if probs.shape != (1, n_classes) or not np.allclose(probs.sum(), 1, atol=1e-3):
            return "the classifier gave no probabilities"
        return None
