"""Keep visitors' files within a disk limit, and delete them in time.

The page has a temporary folder of its own. Each upload has a folder below it, which is deleted
with the answer; results are kept for a while.
"""

import atexit
import logging
import math
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = [
    "RESULT_AGE_S",
    "SWEEP_S",
    "Claim",
    "Full",
    "Room",
    "Uploads",
    "open_folder",
    "sweep_abandoned",
    "uploads",
]

log = logging.getLogger(__name__)

# With a sweep a minute what is made of a file is gone within the hour, as the page says.
RESULT_AGE_S = 3500.0
SWEEP_S = 60.0
# An upload that nobody asked an answer for, or whose answer was cancelled.
_UPLOAD_AGE_S = 14 * 60.0
# Where there is no room for another, what nobody works on goes when it is as old as this.
_SHORT_AGE_S = 300.0
_MAX_BYTES = 4_000_000_000
# What stays free on the disk, for what is made of the uploads.
_SPARE_BYTES = 1 << 30
# Room is reserved for what has come of an upload and so much more, whatever it announces.
_STEP_BYTES = 8 << 20
# What an upload or a result counts as at least, so that there are some thousand of them at most:
# a folder of more takes seconds to delete.
_LEAST_BYTES = 1 << 20

_MAX_PATH = 1024

_VARIABLE = "GRADIO_TEMP_DIR"
_PREFIX = "fer-page-"
_LOCK_PREFIX = "fer-lock-"


class Full(Exception):
    """Raised when there is no room for an upload."""


@dataclass(slots=True)
class Claim:
    """A call that works on an upload.

    Attributes:
        keep: whether the upload stays for another call.
    """

    keep: bool = False


@dataclass(slots=True)
class _Upload:
    """State of one upload.

    Attributes:
        host: where it came from.
        n_bytes: its size; while it comes, the room that is reserved for it.
        n_at_work: how many calls work on it, its own arrival included.
        since: when it was last worked on, of the monotonic clock.
    """

    host: str
    n_bytes: int
    n_at_work: int = 1
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Result:
    """State of a folder of results.

    Attributes:
        n_bytes: of its files.
        since: when it was made, of the monotonic clock.
    """

    n_bytes: int
    since: float = field(default_factory=time.monotonic)


class Room:
    """Folder of an upload that is being received.

    Attributes:
        path: a folder of its own.
    """

    def __init__(self, path: Path, n_announced: int, grow: Callable[[int], None]) -> None:
        self.path = path
        self._n_announced = n_announced
        self._n_reserved = min(n_announced, _STEP_BYTES)
        self._grow = grow
        self._n_bytes = 0

    def has(self, n_bytes: int) -> bool:
        """Return whether `take` only needs to count."""
        return self._n_bytes + n_bytes <= self._n_reserved

    def take(self, n_bytes: int) -> None:
        """Reserve `n_bytes` more before they are written; may delete files.

        Raises:
            Full: there is none.
        """
        self._n_bytes += n_bytes
        if self._n_bytes > self._n_reserved:
            wanted = min(self._n_bytes + _STEP_BYTES, max(self._n_bytes, self._n_announced))
            self._grow(wanted)
            self._n_reserved = wanted


class Uploads:
    """The temporary folder of the page. For any number of threads.

    Args:
        folder: where everything lies; whatever is in it is the page's. `use` sets it later
            when None.

    Attributes:
        max_bytes: of all that is in the folder.
    """

    folder: Path

    def __init__(self, folder: Path | None = None, max_bytes: int = _MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        if folder is not None:
            self.use(folder)
        self._lock = threading.Lock()
        self._uploads: dict[Path, _Upload] = {}
        self._results: dict[Path, _Result] = {}
        self._making: set[Path] = set()
        self._n_other_bytes = 0  # of what Gradio put beside them, at the last sweep
        self._own: frozenset[Path] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether it has a folder."""
        return hasattr(self, "folder")

    def use(self, folder: Path) -> None:
        """Set the folder, which need not exist."""
        self.folder = folder
        self._incoming = folder / "uploads"
        self._depth = len(self._incoming.parts)

    @contextmanager
    def room(self, host: str, n_bytes: int) -> Iterator[Room]:
        """Make a folder for an upload, which is deleted again if that fails.

        Args:
            host: where it comes from; one host gets at most half of all the room.
            n_bytes: that it announces. They must fit in now, but are not kept free for it.

        Raises:
            Full: there is no room for it.
        """
        path = self._incoming / secrets.token_hex(16)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        upload = _Upload(host, min(n_bytes, _STEP_BYTES))
        with self._changes() as gone:
            self._reserve(upload, n_bytes, gone)
            self._uploads[path] = upload
        path.mkdir(parents=True, mode=0o700)

        def grow(n_reserved: int) -> None:
            with self._changes() as gone:
                self._reserve(upload, n_reserved, gone)
                upload.n_bytes = n_reserved

        try:
            yield Room(path, n_bytes, grow)
        except BaseException:
            with self._changes() as gone:
                self._forget(path, gone)
            raise
        size = _size(path)
        with self._lock:
            upload.n_bytes = size
            self._let_go(upload)

    @contextmanager
    def claim(self, path: str | Path | None) -> Iterator[Claim]:
        """Work on the upload that a file belongs to: it goes at the end, with all it holds.

        It stays for another try where the visitor cancels, and while another call works on it.
        A file that no visitor sent is left alone.
        """
        claim = Claim()
        where = None if path is None else self._folder_of(path)
        with self._lock:
            upload = None if where is None else self._uploads.get(where)
            if upload is not None:
                upload.n_at_work += 1
        try:
            yield claim
        except BaseException as error:
            claim.keep |= not isinstance(error, Exception)  # hung up or cancelled
            raise
        finally:
            if where is not None and upload is not None:
                with self._changes() as gone:
                    self._let_go(upload)
                    if not claim.keep and not upload.n_at_work:
                        self._forget(where, gone)

    @contextmanager
    def results(self) -> Iterator[Path]:
        """Make a folder for results, which is deleted again if that fails."""
        path = self.folder / secrets.token_hex(16)
        path.mkdir(parents=True, mode=0o700)
        with self._lock:
            self._making.add(path)
        try:
            yield path
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            with self._lock:
                self._making.discard(path)
            raise
        result = _Result(_size(path))
        with self._lock:
            self._making.discard(path)
            self._results[path] = result

    def drop(self, path: str | Path) -> None:
        """Delete the upload that a file belongs to, unless a call works on it."""
        with self.claim(path):
            pass

    def protect_current(self) -> None:
        """Keep the files that are in the folder now while the page runs."""
        self._own = frozenset(path for path, *_ in _files(self.folder))

    def offer(self, path: str | Path) -> None:
        """Make a file in the folder one of the page's own, such as a copy of an example."""
        with self._lock:
            self._own |= {Path(path)}

    def holds(self, path: object) -> bool:
        """Return whether a call may name this file: a present upload, or one of the page's own.

        Other paths are never opened, so that nothing about them can be learnt.
        """
        file = _plain_path(path)
        if file is None:
            return False
        if file not in self._own:
            # A folder of its own, one by its content, the file.
            if not file.is_relative_to(self._incoming) or len(file.parts) - 3 != self._depth:
                return False
            with self._lock:
                if file.parents[1] not in self._uploads:
                    return False
        return _is_regular(file)

    def shows(self, path: object) -> bool:
        """Return whether this file is served to who knows its name: as `holds`, or a result."""
        file = _plain_path(path)
        if file is None or not file.is_relative_to(self.folder):
            return False
        return self.holds(path) if file.is_relative_to(self._incoming) else _is_regular(file)

    def sweep(self) -> None:
        """Delete what is too old."""
        with self._changes() as gone:
            self._sweep(RESULT_AGE_S, gone)
        self._n_other_bytes = self._sweep_others()

    def n_bytes(self) -> int:
        """Return the known size of all uploads and results."""
        with self._lock:
            known: list[_Upload | _Result] = [*self._uploads.values(), *self._results.values()]
            return sum(one.n_bytes for one in known) + self._n_other()

    def _folder_of(self, path: str | Path) -> Path | None:
        full = Path(os.path.abspath(path))  # noqa: PTH100, which resolves no links
        if not full.is_relative_to(self._incoming) or full == self._incoming:
            return None
        return self._incoming / full.relative_to(self._incoming).parts[0]

    def _let_go(self, upload: _Upload) -> None:
        upload.n_at_work -= 1
        upload.since = time.monotonic()

    @contextmanager
    def _changes(self) -> Iterator[dict[Path, int]]:
        """Change what is known; the folders that are named, with their bytes, are deleted after."""
        gone: dict[Path, int] = {}
        try:
            with self._lock:
                yield gone
        finally:
            for path in gone:
                shutil.rmtree(path, ignore_errors=True)

    def _forget(self, path: Path, gone: dict[Path, int]) -> None:
        known = self._uploads.pop(path, None) or self._results.pop(path, None)
        gone[path] = known.n_bytes if known is not None else 0

    def _reserve(self, upload: _Upload, n_bytes: int, gone: dict[Path, int]) -> None:
        """Make room for `n_bytes` of an upload by deleting what is old or too much.

        Raises:
            Full: it may not.
        """
        n_missing = math.inf
        for age_s in (math.inf, RESULT_AGE_S, _SHORT_AGE_S):
            self._sweep(age_s, gone)
            n_missing = self._missing(upload, n_bytes, gone)
            if n_missing <= 0:
                return
        if math.isinf(n_missing):
            raise Full
        excess = self._excess(upload, n_bytes)
        if sum(size for _, size in excess) < n_missing:
            raise Full
        for path, size in excess:
            self._forget(path, gone)
            n_missing -= size
            if n_missing <= 0:
                return

    def _missing(self, upload: _Upload, n_bytes: int, gone: dict[Path, int]) -> float:
        """Return how many bytes to delete for an upload of `n_bytes`; infinite where none help.

        None do where its host has half of all the room, and where the disk is full.
        """
        limit = self.max_bytes
        others = [one for one in self._uploads.values() if one is not upload]
        mine = sum(_counted(one) for one in others if one.host == upload.host)
        coming = sum(one.n_bytes for one in others if one.n_at_work)
        n_free = shutil.disk_usage(self.folder).free + sum(gone.values()) - _SPARE_BYTES
        if 2 * (mine + n_bytes) > limit or coming + n_bytes > n_free:
            return math.inf
        known: list[_Upload | _Result] = [*others, *self._results.values()]
        return sum(map(_counted, known)) + self._n_other() + n_bytes - limit

    def _n_other(self) -> int:
        """Return the bytes outside uploads and results: unfinished results and Gradio's files."""
        return self._n_other_bytes + sum(map(_size, self._making))

    def _excess(self, upload: _Upload, n_bytes: int) -> list[tuple[Path, int]]:
        """Return idle uploads of hosts with more than this one will have; oldest first.

        So many of each host that it keeps as much as this one gets.
        """
        held: Counter[str] = Counter()
        for one in self._uploads.values():
            held[one.host] += _counted(one) if one is not upload else 0
        mine = held[upload.host] + n_bytes
        found = []
        for path, one in sorted(self._uploads.items(), key=lambda item: item[1].since):
            if not one.n_at_work and held[one.host] > mine:
                held[one.host] -= _counted(one)
                found.append((path, _counted(one)))
        return found

    def _sweep(self, age_s: float, gone: dict[Path, int]) -> None:
        """Forget what is older; uploads after a quarter of an hour, unless a call works on them."""
        now = time.monotonic()
        for path, upload in list(self._uploads.items()):
            if not upload.n_at_work and now - upload.since > min(age_s, _UPLOAD_AGE_S):
                self._forget(path, gone)
        for path, result in list(self._results.items()):
            if now - result.since > age_s:
                self._forget(path, gone)

    def _sweep_others(self) -> int:
        """Delete what Gradio put into the folder longer ago; the bytes of what it has put since.

        It walks no folder that is known here, of which there may be thousands.
        """
        now = time.time()
        n_bytes = 0
        for path, size, changed in _files(
            self.folder, {self._incoming, *self._results, *self._making}
        ):
            if path in self._own:
                continue
            if now - changed <= RESULT_AGE_S:
                n_bytes += size
                continue
            path.unlink(missing_ok=True)
            if path.parent != self.folder:
                with suppress(OSError):  # another file is in it
                    path.parent.rmdir()
        return n_bytes


def _counted(one: _Upload | _Result) -> int:
    return max(one.n_bytes, _LEAST_BYTES)


def _size(folder: Path) -> int:
    return sum(size for _, size, _ in _files(folder))


def _files(folder: Path, without: Collection[Path] = frozenset()) -> list[tuple[Path, int, float]]:
    """Return path, size and time of change of all files below a folder, while others come and go.

    Args:
        folder: to walk.
        without: folders right below it that are left out.
    """
    left_out = {path.name for path in without}
    found = []
    for root, folders, names in os.walk(folder):
        if Path(root) == folder:
            folders[:] = [name for name in folders if name not in left_out]
        for name in names:
            path = Path(root, name)
            with suppress(OSError):
                status = path.lstat()
                found.append((path, status.st_size, status.st_ctime))
    return found


def _plain_path(path: object) -> Path | None:
    """Return an absolute path without `..`; None for anything else."""
    if not isinstance(path, str) or len(path) > _MAX_PATH or not path.isprintable():
        return None
    file = Path(path)
    return file if file.is_absolute() and os.path.normpath(path) == path == str(file) else None


def _is_regular(file: Path) -> bool:
    """Return whether this is a regular file and not behind a link."""
    try:
        return stat.S_ISREG(file.lstat().st_mode) and file.resolve() == file
    except OSError:
        return False


def open_folder(parent: Path | None = None) -> None:
    """Give `uploads` a folder of this process alone, and have Gradio use it; it goes at exit.

    A lock file next to it, created first, shows others that its page runs: the system releases
    it when the process ends, however that happens.

    Args:
        parent: where to make it; the system's temporary folder when None.
    """
    parent = parent or Path(tempfile.gettempdir())
    if parent.name.startswith(_PREFIX):  # that of the process which started this one
        parent = parent.parent
    token = secrets.token_hex(8)
    folder = (parent / f"{_PREFIX}{token}").resolve()
    os.environ[_VARIABLE] = str(folder)
    lock = FileLock(folder.with_name(f"{_LOCK_PREFIX}{token}"), blocking=False)
    with suppress(OSError, Timeout):  # where nothing can be written, uploads say so
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    atexit.register(_remove, folder, lock)
    uploads.use(folder)


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def sweep_abandoned(parent: Path) -> None:
    """Delete the folders in `parent` of pages that were killed; never that of one that lives."""
    for path in parent.glob(f"{_LOCK_PREFIX}*"):
        lock = FileLock(path, blocking=False)
        # Held by another page, or by this one; or of another user.
        with suppress(OSError, Timeout):
            lock.acquire()
            folder = path.with_name(path.name.replace(_LOCK_PREFIX, _PREFIX, 1))
            log.info("deleting what a page that was killed left behind")
            _remove(folder, lock)


# One process serves one page. `open_folder` gives it its folder.
uploads = Uploads()
