"""Jobs for the tests of worker processes, which import this module and no other of the tests."""

import ctypes
import importlib
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np

from fer.errors import ImageError
from fer.media.writer import VideoWriter

held = []


def echo(payload, *args):
    return [payload, *args]


def count(payload, n, pause_s=0.0, *, tell):
    for i in range(n):
        time.sleep(pause_s)
        tell(i)
    return "end"


def burn(payload):
    while True:
        pass


def hold_the_lock(payload):
    """Work in C that lets no other Python thread run."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def sleep(payload, seconds=600):
    time.sleep(seconds)


def take(payload, megabytes):
    return len(bytearray(megabytes * 1_000_000))


def grow(payload, megabytes):
    held.append(b"x" * (megabytes * 1_000_000))


def take_hidden(payload, megabytes):
    """As a decoder that makes something else of it."""
    try:
        return take(payload, megabytes)
    except MemoryError as error:
        raise ImageError("it may be cut off") from error


def crash(payload):
    ctypes.string_at(0)


def leave(payload, code):
    os._exit(code)


def kill(payload):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(payload):
    raise ImageError("not this one")


def fail(payload):
    raise RuntimeError("secret detail")


def modules_with_jobs(payload):
    importlib.import_module("fer.web.server.jobs")
    return sorted(name for name in sys.modules if "." not in name)


def work(payload, cpu_s):
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass
    return "done"


def sleep_on(payload, path):
    time.sleep(600)


def say_too_much(payload):
    return "x" * (70 << 20)


class DiesOnArrival:
    """Cannot be unpickled alive."""

    def __reduce__(self):
        return os._exit, (7,)


def fill(payload, path):
    with Path(path).open("wb") as file:
        for _ in range(10):
            file.write(bytes(100_000))


def fill_video(payload, path):
    rng = np.random.default_rng(0)
    with VideoWriter(path, 320, 240) as video:
        for i in range(60):
            video.write(rng.integers(0, 256, (240, 320, 3), np.uint8), i / 30)
