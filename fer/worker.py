"""Run jobs on untrusted files in a separate process, one at a time, within limits.

A decoder that hangs, crashes, holds the interpreter's lock or uses all memory does so there, and
the process is ended. Jobs are functions of importable modules. They return JSON, so a process
that a hostile file controls cannot send code back.

Why neither `multiprocessing` nor pebble: both run the main module of the program again in each
process they spawn, which here builds a page; neither gives back steps of a job while it goes on.
"""

import contextlib
import errno
import functools
import json
import logging
import math
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fer import errors
from fer.errors import FerError, InputError
from fer.memory import give_memory_back

__all__ = ["AVAILABLE", "Bound", "OutOfBounds", "Worker", "WorkerError"]

log = logging.getLogger(__name__)

# Sockets and files that a child process inherits.
AVAILABLE = os.name == "posix"
# Of one answer: a picture with a thousand faces, and their crops, has a fifth of it.
_MAX_ANSWER_BYTES = 64 << 20
_START_S = 60.0
_END_S = 5.0
# From the end of its socket to its exit code.
_DEATH_S = 0.5
# The kernel ends it before the page, whose memory it does not share.
_OOM_SCORE = "500"
# The page, which answers camera frames, goes first where there are fewer cores than work.
_NICE = 5
# By default glibc gives memory back after each large array, and the next one's pages are made
# anew: a picture of 12 megapixels takes half as long again. An idle process gives it back.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}
_IDLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Bound:
    """What one job may take.

    Attributes:
        cpu_s: seconds of processor time, of all threads together.
        wall_s: seconds on the clock.
        memory_mb: megabytes (10^6 bytes) beyond what the process has when it is idle; only Linux
            holds a process to it.
        file_mb: megabytes of each file that it writes.
    """

    cpu_s: float
    wall_s: float
    memory_mb: float
    file_mb: float = 200.0


class OutOfBounds(InputError):
    """A file took more time, memory or disk than it may, or ended the process that read it.

    Attributes:
        what: "time", "memory", "disk" or "crash".
    """

    def __init__(self, message: str, what: str) -> None:
        super().__init__(message)
        self.what = what


class WorkerError(RuntimeError):
    """A bug in a job, with its traceback, or a process that does not start."""


class _TooLarge(Exception):
    """A job wrote a larger file than it may."""


class Worker:
    """A process for one job at a time. It ends when this process does, however that happens.

    Args:
        payload: a pickled object, which each job gets as its first argument.

    Attributes:
        pid: of the process.
    """

    def __init__(self, payload: bytes) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from fer.worker import serve; serve({theirs.fileno()})"],
                # Nothing is written to it: it closes when this process ends, which ends the child.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={
                    **os.environ,
                    **_MALLOC,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
                # Ctrl-C in a terminal is meant for this process alone.
                process_group=0,
            )
        self.pid = self._process.pid
        self._channel = Connection(ours.detach())
        self._over: str | None = None
        try:
            with self._timer(_START_S):
                self._channel.send_bytes(payload)
                self._receive()
        except BaseException as error:
            self.end()
            if isinstance(error, OSError | EOFError):
                raise WorkerError(f"a worker process does not start: {error!r}") from error
            raise

    @property
    def alive(self) -> bool:
        """Whether it can take another job."""
        return not self._channel.closed and self._process.poll() is None

    def memory_mb(self) -> float:
        """Return its resident memory in megabytes; 0 where the system does not tell."""
        return _memory_mb(self.pid)

    def call(self, job: Callable[..., Any], *args: Any, bound: Bound) -> Any:
        """Return what `job(payload, *args)` returns; see `steps`.

        Args:
            job: as for `steps`, but that it gets no `tell`.
            args: as for `steps`.
            bound: as for `steps`.

        Raises:
            FerError: as for `steps`.
            WorkerError: as for `steps`.
        """
        (result,) = self._work(job, args, bound, False, None)
        return result

    def steps(
        self, job: Callable[..., Any], *args: Any, bound: Bound, tick_s: float
    ) -> Generator[Any, None, None]:
        """Do a job that tells how far it is; yield what it tells and, last, what it returns.

        Closing this ends the process.

        Args:
            job: a function of a module that can be imported: `job(payload, *args, tell=tell)`,
                which may call `tell` with anything that is JSON.
            args: of it, after the payload; can be pickled.
            bound: what it may take.
            tick_s: yield None each time that nothing came for this many seconds.

        Raises:
            FerError: raised by the job.
            OutOfBounds: it took too much, or the process died of it. Its file is named as the
                last part of the first of `args`.
            WorkerError: it raised another error.
        """
        yield from self._work(job, args, bound, True, tick_s)

    def _work(
        self,
        job: Callable[..., Any],
        args: tuple[Any, ...],
        bound: Bound,
        tells: bool,
        tick_s: float | None,
    ) -> Generator[Any, None, None]:
        content = pickle.dumps((job, args, bound, tells))
        done = False
        try:
            with self._timer(bound.wall_s):
                self._channel.send_bytes(content)
                while not done:
                    if tick_s is not None and not self._channel.poll(tick_s):
                        yield None
                        continue
                    kind, value = self._receive()
                    done = kind == "done"
                    yield value
        except (EOFError, OSError) as error:
            raise self._explain(args, bound) from error
        except (FerError, WorkerError):
            done = True
            raise
        except MemoryError as error:
            raise self._out_of("memory", args, bound) from error
        except _TooLarge as error:
            raise self._out_of("disk", args, bound) from error
        finally:
            if not done:
                self.end()

    def end(self) -> None:
        """End the process, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._channel.close()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """Begin to end the process; for threads other than the one that called it."""
        with contextlib.suppress(OSError):
            self._process.kill()

    @contextlib.contextmanager
    def _timer(self, seconds: float) -> Iterator[None]:
        def over() -> None:
            self._over = "time"
            self.kill()

        timer = threading.Timer(seconds, over)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _receive(self) -> tuple[str, Any]:
        kind, value = json.loads(self._channel.recv_bytes(_MAX_ANSWER_BYTES))
        if kind == "memory":
            raise MemoryError
        if kind == "disk":
            raise _TooLarge
        if kind == "crash":
            raise WorkerError(value)
        if kind == "error":
            name, message = value
            found = getattr(errors, name, FerError)
            raise found(message)
        return kind, value

    def _explain(self, args: tuple[Any, ...], bound: Bound) -> OutOfBounds:
        """Why the process died."""
        try:
            self._process.wait(_DEATH_S)
        except subprocess.TimeoutExpired:  # it sent what no job sends
            self.kill()
        # Who but the kernel kills it otherwise does so because there is no memory left.
        by_signal = {-signal.SIGXCPU: "time", -signal.SIGKILL: "memory"}
        over = self._over or by_signal.get(self._process.returncode, "crash")
        return self._out_of(over, args, bound)

    def _out_of(self, what: str, args: tuple[Any, ...], bound: Bound) -> OutOfBounds:
        name = Path(args[0]).name if args and isinstance(args[0], str | Path) else "this file"
        messages = {
            "time": f"{name} takes too long to read: more than {bound.cpu_s:.0f} s of work. "
            "Send a smaller or simpler one.",
            "memory": f"{name} takes too much memory to read: more than {bound.memory_mb:.0f} MB. "
            "Send a smaller or simpler one.",
            "disk": f"{name} needs files of more than {bound.file_mb:.0f} MB for what comes of "
            "it. Send a smaller or simpler one.",
            "crash": f"{name} cannot be read: the process that read it ended.",
        }
        log.debug("a job ended for its %s, exit code %s", what, self._process.returncode)
        return OutOfBounds(messages[what], what)


def _memory_mb(pid: int | str) -> float:
    try:
        n_pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return n_pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def serve(fd: int) -> None:
    """Do the jobs that come over a socket until it closes; what a worker process runs."""
    _end_with_parent()
    os.nice(_NICE)
    channel = Connection(fd)
    # Messages of C libraries about an untrusted file do not belong into the log.
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)
    try:
        payload = pickle.loads(channel.recv_bytes())
    except Exception:
        _send(channel, "crash", traceback.format_exc())
        return
    _send(channel, "ready", None)
    with contextlib.suppress(EOFError, OSError):
        while True:
            if not channel.poll(_IDLE_S):
                give_memory_back()
            job, args, bound, tells = pickle.loads(channel.recv_bytes())
            more = {"tell": functools.partial(_send, channel, "step")} if tells else {}
            with _held_to(bound):
                _do(channel, functools.partial(job, payload, *args, **more))


def _do(channel: Connection, job: Callable[[], Any]) -> None:
    try:
        answer: tuple[str, Any] = "done", job()
    except Exception as error:
        if _is_memory(error):
            answer = "memory", None
        elif _is_too_large(error):
            answer = "disk", None
        elif isinstance(error, FerError):
            answer = "error", (type(error).__name__, str(error))
        else:
            answer = "crash", traceback.format_exc()
    _send(channel, *answer)


def _send(channel: Connection, kind: str, value: Any) -> None:
    channel.send_bytes(json.dumps((kind, value)).encode())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and, one after the other, those that it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_memory(error: BaseException | None) -> bool:
    """Whether an error comes from memory that there was not."""
    # OpenCV has a number of its own for it, cv::Error::StsNoMem.
    return any(
        isinstance(one, MemoryError) or getattr(one, "code", None) == -4 for one in _causes(error)
    )


def _is_too_large(error: BaseException | None) -> bool:
    """Whether an error comes from a file that grew beyond the limit."""
    return any(getattr(one, "errno", None) == errno.EFBIG for one in _causes(error))


def _end_with_parent() -> None:
    """Have the system end this process when the one that started it is gone.

    Its standard input closes then. Linux sends a signal for that, which ends it in the middle of
    a decoder that lets no other thread run.
    """
    import fcntl

    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([0], [], [], 0)[0]:  # gone before this
            os._exit(1)
    else:

        def wait() -> None:
            os.read(0, 1)
            os._exit(1)

        threading.Thread(target=wait, daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, "ascii")


@contextlib.contextmanager
def _held_to(bound: Bound) -> Iterator[None]:
    """Let the kernel hold this process to a bound."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CORE, 0)
    # Python ignores its signal: the write fails.
    _limit(resource.RLIMIT_FSIZE, int(1e6 * bound.file_mb))
    # The default action of its signal ends the process.
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + bound.cpu_s))
    if sys.platform == "linux":
        n_pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
        n_bytes = n_pages * os.sysconf("SC_PAGE_SIZE")
        _limit(resource.RLIMIT_DATA, n_bytes + int(1e6 * bound.memory_mb))
    try:
        yield
    finally:
        _limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        _limit(resource.RLIMIT_CPU, resource.RLIM_INFINITY)
        _limit(resource.RLIMIT_DATA, resource.RLIM_INFINITY)


def _limit(kind: int, soft: int) -> None:
    """Set the soft limit, as far as the hard one lets."""
    import resource

    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    resource.setrlimit(kind, (soft, hard))
