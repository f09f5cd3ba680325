"""A process for strangers' files: what it gives back, what ends it, and what ends with it."""

import pickle
import signal
import subprocess
import sys
import time

import psutil
import pytest

from fer.errors import ImageError
from fer.worker import AVAILABLE, Bound, OutOfBounds, Worker, WorkerError
from tests import worker_jobs as jobs
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this system has no such processes")

PAYLOAD = pickle.dumps("payload")
WIDE = Bound(cpu_s=20, wall_s=60, memory_mb=500)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds memory")


@pytest.fixture(scope="module")
def shared():
    """A process that the tests which do it no harm share."""
    worker = Worker(PAYLOAD)
    yield worker
    worker.end()


@pytest.fixture
def worker():
    made = Worker(PAYLOAD)
    yield made
    made.end()


def is_gone(pid):
    """Whether a process has ended, after a moment."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_job_gets_its_arguments_and_gives_an_answer(shared):
    assert shared.call(jobs.echo, 1, "x", bound=WIDE) == ["payload", 1, "x"]


def test_steps_come_as_they_are_made(shared):
    steps = list(shared.steps(jobs.count, 3, 0.2, bound=WIDE, tick_s=0.02))
    assert [step for step in steps if step is not None] == [0, 1, 2, "end"]
    assert None in steps  # nobody waits longer than a tick to be heard
    assert shared.alive


def test_errors_on_purpose_are_the_same_here_and_others_have_their_trace(shared):
    with pytest.raises(ImageError, match="not this one"):
        shared.call(jobs.refuse, bound=WIDE)
    with pytest.raises(WorkerError, match="secret detail") as caught:
        shared.call(jobs.fail, bound=WIDE)
    assert "worker_jobs.py" in str(caught.value)
    assert shared.alive


def test_a_worker_has_no_gradio_no_tensorflow_and_no_folder(shared):
    names = shared.call(jobs.modules_with_jobs, bound=WIDE)
    assert {"fer", "numpy"} <= set(names)
    assert not {"gradio", "fastapi", "keras", "tensorflow"} & set(names)


TABLE = [
    (jobs.burn, (), "time"),
    (jobs.hold_the_lock, (), "time"),
    (jobs.sleep, (), "time"),
    (jobs.crash, (), "crash"),
    (jobs.leave, (3,), "crash"),
    (jobs.say_too_much, (), "crash"),
    (jobs.kill, (), "memory"),  # as the kernel does where there is none left
    pytest.param(jobs.take, (400,), "memory", marks=on_linux),
    pytest.param(jobs.take_hidden, (400,), "memory", marks=on_linux),
]


@pytest.mark.parametrize(("job", "args", "what"), TABLE)
def test_a_bound_ends_the_process_and_is_a_sentence(worker, job, args, what):
    with pytest.raises(OutOfBounds) as caught:
        worker.call(job, *args, bound=Bound(cpu_s=1, wall_s=4, memory_mb=200))
    assert caught.value.what == what
    said = {"time": "takes too long", "memory": "takes too much memory", "crash": "cannot be read"}
    assert said[what] in str(caught.value)
    assert not worker.alive
    assert is_gone(worker.pid)


@pytest.mark.parametrize("job", [jobs.fill, jobs.fill_video])
def test_no_job_fills_the_disk(job, worker, tmp_path):
    bound = Bound(cpu_s=20, wall_s=60, memory_mb=500, file_mb=0.2)
    with pytest.raises(OutOfBounds, match=r"^clip\.mp4 needs files of more than 0 MB") as caught:
        worker.call(job, str(tmp_path / "clip.mp4"), bound=bound)
    assert caught.value.what == "disk"
    assert all(file.stat().st_size <= 200_000 for file in tmp_path.iterdir())


def test_bounds_are_of_each_job_and_not_of_all_together(shared):
    for _ in range(4):
        assert shared.call(jobs.work, 0.6, bound=Bound(1, 60, 200)) == "done"
    if sys.platform == "linux":
        for _ in range(3):
            assert shared.call(jobs.take, 120, bound=Bound(5, 60, 200)) == 120_000_000


def test_the_file_is_named_without_its_folder(worker):
    with pytest.raises(OutOfBounds, match=r"^cat\.png takes too long"):
        worker.call(jobs.sleep_on, "/somewhere/secret/cat.png", bound=Bound(9, 0.2, 200))


def test_who_goes_away_ends_the_job(worker):
    steps = worker.steps(jobs.count, 1000, 0.05, bound=WIDE, tick_s=0.5)
    assert next(steps) == 0
    steps.close()
    assert not worker.alive
    assert is_gone(worker.pid)


def test_a_process_that_does_not_start_is_said():
    with pytest.raises(WorkerError, match="ModuleNotFoundError"):
        Worker(b"cnowhere_at_all\nthing\n.")
    with pytest.raises(WorkerError, match="does not start"):
        Worker(pickle.dumps(jobs.DiesOnArrival()))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("job", ["hold_the_lock", "sleep", None])
def test_it_dies_with_who_started_it(how, job):
    """Also in the middle of a decoder that lets no Python run."""
    if sys.platform != "linux" and job == "hold_the_lock":
        pytest.skip("only Linux sends a signal when a pipe closes")
    code = (
        "import pickle, threading, time\n"
        "from fer.worker import Bound, Worker\n"
        "from tests import worker_jobs as jobs\n"
        "worker = Worker(pickle.dumps(0))\n"
        f"job = {job and f'jobs.{job}'}\n"
        "call = lambda: worker.call(job, bound=Bound(600, 600, 500))\n"
        "threading.Thread(target=call if job else time.time, daemon=True).start()\n"
        "time.sleep(.3); print(worker.pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        parent.send_signal(how)
        parent.wait(20)
    assert is_gone(pid)


def test_what_comes_back_is_no_code():
    """Answers are JSON; a process that a file has taken over cannot have objects made here."""
    text = (ROOT / "fer" / "worker.py").read_text(encoding="utf-8")
    inside, outside = text.partition("\ndef serve(")[2], text.partition("\ndef serve(")[0]
    assert "pickle.loads" in inside
    assert "pickle.loads" not in outside
    assert ".recv()" not in text
