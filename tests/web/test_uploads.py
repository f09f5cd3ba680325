"""What visitors sent: where it lies, and when it goes."""

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from fer.web.server import receive
from fer.web.server import uploads as module
from fer.web.server.uploads import Full, Uploads
from tests.conftest import ROOT

HERE = "192.0.2.1"
KB = 1000


@pytest.fixture
def folder(tmp_path):
    return Uploads(tmp_path / "page")


def send(folder, n_bytes=KB, host=HERE, name="cat.jpg"):
    """An upload, as the route takes it in; the path of its file."""
    with folder.room(host, n_bytes) as room:
        room.take(n_bytes)
        (room.path / "hash").mkdir()
        file = room.path / "hash" / name
        file.write_bytes(b"x" * n_bytes)
    return file


@pytest.fixture
def small(folder, monkeypatch):
    """Room for 10 kB in steps of one, and files count as what they have."""
    folder.max_bytes = 10 * KB
    monkeypatch.setattr(module, "_STEP_BYTES", KB)
    monkeypatch.setattr(module, "_LEAST_BYTES", 0)


def result(folder, n_bytes=KB, name="boxes.jpg"):
    with folder.results() as path:
        (path / name).write_bytes(b"x" * n_bytes)
    return path / name


def later(folder, monkeypatch, seconds):
    """Sweep as if it were later."""
    now, clock = module.time.time(), module.time.monotonic()
    monkeypatch.setattr(module.time, "time", lambda: now + seconds)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock + seconds)
    folder.sweep()
    monkeypatch.undo()


def files_in(folder):
    return sorted(path.name for path in folder.folder.rglob("*") if path.is_file())


def test_an_upload_is_gone_when_the_answer_is_made(folder):
    file = send(folder)
    with folder.claim(file):
        assert file.exists()
    assert list((folder.folder / "uploads").iterdir()) == []


def test_equal_files_of_two_visitors_have_nothing_in_common(folder):
    mine, theirs = send(folder), send(folder)
    assert mine.name == theirs.name
    folder.drop(mine)
    assert not mine.exists()
    assert theirs.exists()


def test_it_is_gone_after_an_error_but_stays_for_who_cancels(folder):
    file = send(folder)
    with pytest.raises(ValueError, match="ours"), folder.claim(file):
        raise ValueError("a mistake of ours")
    assert not file.exists()
    file = send(folder)
    with pytest.raises(KeyboardInterrupt), folder.claim(file):
        raise KeyboardInterrupt
    assert file.exists()
    with folder.claim(file) as claim:
        claim.keep = True
    assert file.exists()


def test_the_last_of_two_calls_takes_it_away(folder):
    file = send(folder)
    with folder.claim(file):
        with folder.claim(file):
            pass
        assert file.exists()
    assert not file.exists()


def test_what_no_visitor_sent_is_left_alone(folder, tmp_path):
    other = tmp_path / "mine.jpg"
    other.write_text("x")
    result = folder.folder / "result.jpg"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text("x")
    sent = send(folder)
    for path in (None, other, result, folder.folder / "uploads", folder.folder / "uploads" / ".."):
        with folder.claim(path):
            pass
    folder.drop(folder.folder / "uploads" / "unknown" / ".." / ".." / "result.jpg")
    assert other.exists()
    assert result.exists()
    assert sent.exists()


def test_a_call_may_name_an_upload_and_the_page_s_own_files(folder):
    (folder.folder / "hash").mkdir(parents=True)
    own, copy, result = (folder.folder / "hash" / name for name in ("own", "copy", "result"))
    own.write_text("x")
    folder.protect_current()
    copy.write_text("x")
    folder.offer(copy)
    result.write_text("x")
    sent = send(folder, name="Zoë und \N{GRINNING FACE}.jpg")
    for file in (sent, own, copy):
        assert folder.holds(str(file))
        assert folder.shows(str(file))
    # Who has the address of a result may look at it, and that is all.
    assert folder.shows(str(result))
    assert not folder.holds(str(result))
    folder.drop(sent)
    assert not folder.holds(str(sent))
    assert not folder.shows(str(sent))


def not_ours(folder, sent, tmp_path):
    """Paths that no call may name, of which some are there and some are not."""
    outside = tmp_path / "outside.jpg"
    outside.write_text("x")
    for name, target in (("link.jpg", outside), ("inner.jpg", sent)):
        (sent.parent / name).symlink_to(target)
    os.mkfifo(sent.parent / "pipe.jpg")
    (sent.parents[1] / "other").symlink_to(sent.parent)
    (folder.folder / "uploads" / "unknown" / "hash").mkdir(parents=True)
    (folder.folder / "uploads" / "unknown" / "hash" / "cat.jpg").write_text("x")
    here = os.path.relpath(sent)
    return [
        *(str(sent.parent / name) for name in ("link.jpg", "inner.jpg", "pipe.jpg", "none.jpg")),
        *(str(sent.parents[1] / "other" / sent.name), str(sent.parent), str(sent.parents[1])),
        str(folder.folder / "uploads" / "unknown" / "hash" / "cat.jpg"),
        f"{sent.parent}/../{sent.parent.name}/{sent.name}",
        *(f"{sent.parent}/./{sent.name}", f"{sent.parent}//{sent.name}", f"{sent}/", f"/{sent}"),
        *(here, f"/proc/self/cwd/{here}", f"/proc/self/root{sent}"),
        *(str(outside), "/etc/passwd", "/etc", "/dev/stdin", "/proc/self/fd/1", "/", ".", "", "\0"),
        *(f"{sent}\0", f"{sent}\ud800", f"{sent}{'x' * 2000}", f"file://{sent}"),
        *("http://example.org/a.jpg", None, 7, [str(sent)], {"path": str(sent)}, bytes(sent)),
    ]


def test_what_else_is_named_is_not_here_and_not_looked_at(folder, tmp_path, monkeypatch):
    sent = send(folder)
    paths = not_ours(folder, sent, tmp_path)
    assert folder.holds(str(sent))
    seen = []
    for name in ("lstat", "stat", "readlink", "open", "listdir", "scandir"):
        original = getattr(os, name)

        def watch(path, *rest, original=original, **more):
            seen.append(str(path))
            return original(path, *rest, **more)

        monkeypatch.setattr(os, name, watch)
    allowed = [(folder.holds(path), folder.shows(path)) for path in paths]
    monkeypatch.undo()
    assert allowed == [(False, False)] * len(paths)
    ours = [str(one) for one in (folder.folder, *folder.folder.parents)]
    elsewhere = [one for one in seen if one not in ours and not one.startswith(ours[0] + "/")]
    assert elsewhere == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_stays_of_an_upload_that_breaks_off(folder, error):
    def break_off():
        with folder.room(HERE, KB) as room:
            (room.path / "tmp1234").write_bytes(b"x" * 10)
            raise error

    with pytest.raises(error):
        break_off()
    assert files_in(folder) == []
    assert list((folder.folder / "uploads").iterdir()) == []


def test_old_files_go_but_for_the_page_s_own_and_those_at_work(folder, monkeypatch):
    folder.folder.mkdir(parents=True)
    (folder.folder / "thumbnail").mkdir()
    (folder.folder / "thumbnail" / "own.jpg").write_text("x")
    folder.protect_current()
    (folder.folder / "digest").mkdir()
    (folder.folder / "digest" / "result.mp4").write_text("x")
    (folder.folder / "tmpabcd").write_text("")
    waiting, at_work = send(folder, name="waiting.mp4"), send(folder, name="working.mp4")
    with folder.claim(at_work):
        later(folder, monkeypatch, 10 * 60)
        assert files_in(folder) == [
            *("own.jpg", "result.mp4", "tmpabcd", "waiting.mp4", "working.mp4")
        ]
        later(folder, monkeypatch, 15 * 60)
        assert not waiting.exists()
        later(folder, monkeypatch, module.RESULT_AGE_S + 1)
        assert files_in(folder) == ["own.jpg", "working.mp4"]
        assert not (folder.folder / "digest").exists()
    assert files_in(folder) == ["own.jpg"]


def test_what_is_made_is_gone_within_the_hour_and_the_rest_within_a_quarter_of_it():
    assert module.RESULT_AGE_S + module.SWEEP_S <= 3600
    assert module._UPLOAD_AGE_S + module.SWEEP_S <= 900


def test_one_host_gets_at_most_half_of_the_room(folder, small):
    send(folder, 3 * KB)
    with pytest.raises(Full):
        send(folder, 3 * KB)
    send(folder, 3 * KB, host="192.0.2.2")
    send(folder, 3 * KB, host="192.0.2.3")
    with pytest.raises(Full):
        send(folder, 3 * KB, host="192.0.2.4")


def test_what_is_still_coming_counts_with_what_has_come_and_a_step(folder, small):
    with folder.room(HERE, 4 * KB), folder.room("192.0.2.2", 4 * KB) as slow:
        assert folder.n_bytes() == 2 * KB
        send(folder, 4 * KB, host="192.0.2.3")
        slow.take(KB)
        assert folder.n_bytes() == 6 * KB
        slow.take(1)
        assert folder.n_bytes() == 7 * KB + 1
        slow.take(KB // 2)
        assert folder.n_bytes() == 7 * KB + 1
        slow.take(2 * KB)  # no more than it announced
        assert folder.n_bytes() == 9 * KB


def test_an_upload_that_grows_beyond_the_room_breaks_off(folder, small):
    def grow():
        with folder.room(HERE, 4 * KB) as room:
            (room.path / "part").write_bytes(b"x" * KB)
            for i in range(30):
                assert room.has(KB // 2) == (i % 3 < 2) or i > 2
                room.take(KB // 2)

    send(folder, 4 * KB, host="192.0.2.2")
    with pytest.raises(Full):
        grow()
    assert files_in(folder) == ["cat.jpg"]
    send(folder, 5 * KB)


def test_announcements_keep_nobody_out(folder):
    with ExitStack() as stack:
        for i in range(36):
            stack.enter_context(folder.room(f"192.0.2.{i % 2}", 200 << 20))
        with folder.room("192.0.2.3", 200 << 20) as room:
            for _ in range(200):
                room.take(1 << 20)


def test_what_is_announced_must_fit_in_now(folder, small):
    with pytest.raises(Full), folder.room(HERE, 6 * KB):
        pass


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("plain.jpg", "plain.jpg"),
        ("日本 é.png", "日本 é.png"),
        ("2.15.00\u202fPM.png", "2.15.00_PM.png"),  # as macOS calls a picture of the screen
        ("a\u200eb\u00ad\u3000.jpg", "a_b__.jpg"),
        ("image%03d.jpg", "image_03d.jpg"),
        ("tab\there.jpg", "tab_here.jpg"),
    ],
)
def test_an_upload_gets_a_name_that_all_parts_take(folder, name, given):
    with folder.room("a", 10) as room:
        inner = room.path / "content"
        inner.mkdir()
        (inner / name).write_bytes(b"picture")
        path = receive._rename(inner / name)
    assert Path(path).name == given
    assert folder.holds(path)


def test_for_new_uploads_old_results_make_room(folder, small, monkeypatch):
    old = result(folder, 9 * KB)
    with pytest.raises(Full):
        send(folder, 4 * KB)
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module._SHORT_AGE_S + 1)
    send(folder, 4 * KB)
    assert not old.exists()


def test_for_a_modest_host_the_oldest_of_others_make_room(folder, small):
    old, new = (send(folder, 2 * KB, host="192.0.2.2") for _ in range(2))
    busy, idle = (send(folder, 2 * KB, host="192.0.2.3") for _ in range(2))
    with folder.claim(busy):
        send(folder, 3 * KB)
        # The oldest that nobody works on went, of a host that keeps as much as the new one has.
        assert [path.exists() for path in (old, new, busy, idle)] == [False, True, True, True]
        with pytest.raises(Full):
            send(folder, 5 * KB, host="192.0.2.4")
        assert new.exists()
    assert not busy.exists()


def test_small_files_count_as_more_so_that_there_are_not_very_many(folder, monkeypatch):
    folder.max_bytes = 10_000_000
    monkeypatch.setattr(module, "_LEAST_BYTES", 1_000_000)
    sent = [send(folder, 1) for _ in range(5)]
    with pytest.raises(Full):
        send(folder, 1)
    for _ in range(5):
        result(folder, 1)
    assert folder.n_bytes() == 10
    send(folder, 1, host="192.0.2.2")
    assert [path.exists() for path in sent] == [False] + [True] * 4
    for _ in range(5):
        result(folder, 1)
    with pytest.raises(Full):
        send(folder, 1, host="192.0.2.3")


def test_no_folder_that_is_known_is_walked(folder, monkeypatch):
    known = [send(folder).parents[1], send(folder).parents[1]]
    known += [result(folder).parent for _ in range(5)]
    walked = []
    scandir = os.scandir

    def watch(path):
        walked.append(Path(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watch)
    folder.sweep()
    assert folder.n_bytes() == 7 * KB
    with folder.room(HERE, KB):
        pass
    assert not {*known, folder.folder / "uploads"} & set(walked)
    assert folder.folder in walked


def test_what_gradio_puts_beside_counts_from_the_next_sweep_on(folder, small):
    folder.folder.mkdir(parents=True)
    (folder.folder / "digest").mkdir()
    (folder.folder / "digest" / "copy.jpg").write_bytes(b"x" * 8 * KB)
    folder.sweep()
    assert folder.n_bytes() == 8 * KB
    with pytest.raises(Full):
        send(folder, 4 * KB)


def test_a_full_disk_takes_nothing_more(folder, monkeypatch):
    monkeypatch.setattr(module, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(Full):
        send(folder)


def test_many_threads_send_and_work_at_once(folder):
    problems = []

    def visit():
        try:
            for _ in range(20):
                file = send(folder)
                with folder.claim(file):
                    assert file.stat().st_size == KB
                folder.sweep()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert files_in(folder) == []


def test_gradio_uses_a_folder_of_our_own_that_goes_with_the_process(tmp_path):
    code = (
        "from fer.web.server.uploads import open_folder, uploads; import os, pathlib\n"
        "open_folder(pathlib.Path(os.environ['GRADIO_TEMP_DIR']))\n"
        "from gradio import mcp, utils\n"
        "folder = pathlib.Path(utils.get_upload_folder()); folder.mkdir(); print(folder)\n"
        "assert folder == uploads.folder == pathlib.Path(mcp.DEFAULT_TEMP_DIR)\n"
        "assert os.environ['GRADIO_TEMP_DIR'] == str(folder)\n"
    )
    named = {"GRADIO_TEMP_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | named,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith(str(tmp_path / "fer-page-"))
    assert list(tmp_path.iterdir()) == []


def run_page_folder(parent, code):
    """A process that has a page's folder in `parent`, and does not end by itself."""
    code = (
        "from fer.web.server.uploads import open_folder, uploads; import pathlib, sys\n"
        f"open_folder(pathlib.Path({str(parent)!r}))\n"
        "folder = uploads.folder; folder.mkdir()\n"
        "(folder / 'secret.jpg').write_bytes(b'x')\n"
        f"{code}\nprint(folder, flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_page_left_is_swept_and_a_living_one_is_left_alone(tmp_path):
    killed, left = run_page_folder(tmp_path, "")
    with killed:
        killed.kill()
    living, kept = run_page_folder(
        tmp_path,
        "from fer.web.server.uploads import sweep_abandoned; sweep_abandoned(folder.parent)",
    )
    with living:
        assert not left.exists()
        (tmp_path / "fer-page-of-an-older-version").mkdir()
        module.sweep_abandoned(tmp_path)
        assert [path.name for path in kept.iterdir()] == ["secret.jpg"]
        living.stdin.close()
        assert living.wait(30) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["fer-page-of-an-older-version"]


def test_what_is_made_is_gone_where_that_fails(folder):
    with folder.results() as path:
        (path / "boxes.jpg").write_bytes(b"x")
    assert (path / "boxes.jpg").exists()

    def fail():
        with folder.results() as path:
            (path / "boxes.jpg").write_bytes(b"x")
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        fail()
    assert [made.name for made in folder.folder.iterdir()] == [path.name]


@pytest.mark.usefixtures("small")
def test_what_is_being_made_takes_room_too(folder):
    with folder.results() as path:
        (path / "boxes.mp4").write_bytes(b"x" * 9 * KB)
        assert folder.n_bytes() == 9 * KB
        with pytest.raises(module.Full), folder.room("one", 2 * KB):
            pass
        folder.sweep()
        assert folder.n_bytes() == 9 * KB
    assert folder.n_bytes() == 9 * KB
