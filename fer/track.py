"""Track faces from frame to frame: stable ids, probabilities that do not flicker.

`step` is a pure function: the whole memory is a `TrackState`, a few tuples that survive
JSON. The live page sends it to the visitor's browser with each result and gets it back with
the next frame. So the server has no sessions to store, expire or protect, and any worker or
machine can process any frame. The price is that a visitor may change the state, so `from_json`
checks all of it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fer.check import check_number, check_type
from fer.errors import InputError
from fer.geometry import center_xy
from fer.types import Faces

__all__ = ["MAX_TRACKS", "Track", "TrackState", "step"]

MAX_TRACKS = 32
# Probabilities forget at this rate: long enough that a blink or a blurred frame changes no
# label, short enough that a raised brow is seen.
# Source: tuned: tests/fer/test_track.py, the clip with four surprised moments.
SMOOTHING_S = 0.3
# A face missing for FORGET_S seconds gets a new id; until then it is
# hidden and keeps its id. If no frame came at all, as from a busy server or over a
# slow network, the faces of the last frame keep their ids for FORGET_UNSEEN_S seconds.
FORGET_S = 1.0
FORGET_UNSEEN_S = 5.0
# The position of a hidden face is predicted from its velocity, which is damped with time.
_MOTION_S = 0.25
_COAST_S = 1.0
# A face matches a track up to this distance from its predicted position, in sizes of the face,
# plus _REACH_PER_S for each second out of view; a change of size counts as distance.
_REACH = 0.8
_REACH_PER_S = 0.8
_MAX_REACH = 1.6

# No face of a camera is smaller or quicker than this; the limits keep numbers in range.
_MIN_SIZE = 1e-4
_MIN_GAP_S = 1e-3
_MAX_POSITION = 1e5
_MAX_CLASSES = 256
_MAX_ID = 2**53 - 1  # what JavaScript counts exactly
_MAX_EMPTY = 1_000_000
_KEYS = {"time_s", "next_id", "tracks"}
_EMPTY_KEY = "n_empty"


@dataclass(frozen=True, slots=True)
class Track:
    """One tracked face.

    Attributes:
        track_id: its number, from 1.
        center: x, y in widths of the frame, so that the size of the frame may change.
        size: width, height of the box in widths of the frame.
        velocity: of the centre, in widths of the frame a second.
        probs: smoothed class probabilities; they sum to 1.
        seen_s: when it was last seen, in seconds.
    """

    track_id: int
    center: tuple[float, float]
    size: tuple[float, float]
    velocity: tuple[float, float]
    probs: tuple[float, ...]
    seen_s: float


@dataclass(frozen=True, slots=True)
class TrackState:
    """All that is remembered from one frame to the next; empty by default.

    Attributes:
        time_s: of the last frame, in seconds of any clock; None before the first.
        next_id: the id of the next new face.
        tracks: at most `MAX_TRACKS`, the last seen first.
        n_empty: how many frames in a row had no face, up to a million.

    Raises:
        InputError: a value is of another type.
    """

    time_s: float | None = None
    next_id: int = 1
    tracks: tuple[Track, ...] = ()
    n_empty: int = 0

    def __post_init__(self) -> None:
        if self.time_s is not None:
            check_number("time_s", self.time_s)
        check_type("next_id", self.next_id, int)
        check_type("n_empty", self.n_empty, int)
        check_type("tracks", self.tracks, tuple)
        for track in self.tracks:
            check_type("tracks", track, Track)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready data, about 150 characters per face."""

        def short(values: tuple[float, ...]) -> list[float]:
            return [round(value, 5) for value in values]

        return {
            "time_s": self.time_s,
            "next_id": self.next_id,
            "tracks": [
                {
                    "id": track.track_id,
                    "box": short(track.center + track.size + track.velocity),
                    "probs": short(track.probs),
                    "seen_s": track.seen_s,
                }
                for track in self.tracks
            ],
            **({_EMPTY_KEY: self.n_empty} if self.n_empty else {}),
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what `to_json` wrote and a stranger may have changed; None is a fresh state.

        Raises:
            InputError: anything that `to_json` could not have written.
        """
        if data is None:
            return cls()
        if not isinstance(data, dict) or set(data) - {_EMPTY_KEY} != _KEYS:
            received = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
            raise InputError(
                f"a track state must be an object with the keys {sorted(_KEYS)}. "
                f"Received: {received}"
            )
        time_s, next_id, tracks = data["time_s"], data["next_id"], data["tracks"]
        n_empty = data.get(_EMPTY_KEY, 0)
        if n_empty != 0 and _integer(_EMPTY_KEY, n_empty) > _MAX_EMPTY:
            raise InputError(f"`{_EMPTY_KEY}` must be at most {_MAX_EMPTY}")
        if time_s is None and next_id == 1 and tracks == [] and n_empty == 0:
            return cls()
        (time_s,) = _floats("time_s", [time_s], 1)
        next_id = _integer("next_id", next_id)
        if not isinstance(tracks, list) or len(tracks) > MAX_TRACKS:
            raise InputError(f"`tracks` must be a list of at most {MAX_TRACKS}")
        read = tuple(_read_track(item, time_s, next_id) for item in tracks)
        if len({track.track_id for track in read}) < len(read):
            raise InputError("the ids of `tracks` must differ")
        if len({len(track.probs) for track in read}) > 1:
            raise InputError("the `probs` of all tracks must have one length")
        return cls(time_s, next_id, read, int(n_empty))


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_ID:
        raise InputError(f"`{name}` must be an integer in 1..{_MAX_ID}")
    return value


def _floats(name: str, value: object, length: int, bound: float = 1e12) -> list[float]:
    if (
        not isinstance(value, list)
        or len(value) != length
        or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        or not all(-bound <= v <= bound for v in value)
    ):
        raise InputError(f"`{name}` must be {length} numbers in -{bound:g}..{bound:g}")
    return [float(v) for v in value]


def _read_track(data: object, time_s: float, next_id: int) -> Track:
    if not isinstance(data, dict) or set(data) != {"id", "box", "probs", "seen_s"}:
        raise InputError("a track must be an object with the keys id, box, probs, seen_s")
    track_id = _integer("id", data["id"])
    x, y, width, height, vx, vy = _floats("box", data["box"], 6, _MAX_POSITION)
    if not isinstance(data["probs"], list) or len(data["probs"]) > _MAX_CLASSES:
        raise InputError(f"`probs` must be a list of at most {_MAX_CLASSES}")
    probs = _floats("probs", data["probs"], len(data["probs"]), 1.0)
    (seen_s,) = _floats("seen_s", [data["seen_s"]], 1)
    total = sum(probs)
    if track_id >= next_id or seen_s > time_s:
        raise InputError("a track must be older than its state")
    if min(width, height) < _MIN_SIZE or not probs or min(probs) < 0 or abs(total - 1) > 0.01:
        raise InputError("a track must have a size, and probs that sum to 1")
    shares = tuple(p / total for p in probs)
    return Track(track_id, (x, y), (width, height), (vx, vy), shares, seen_s)


def step(
    state: TrackState, faces: Faces, *, time_s: float, frame_width: float
) -> tuple[TrackState, Faces]:
    """Match the faces of one frame to the known tracks.

    A face takes over the track that it fits best: the nearest to where the track should be
    by now, in units of the face's own size, its change of size counted in. Its
    probabilities are an exponential moving average over seconds, not frames. Tracks of the
    frame before come first. A track that no face fits shows nothing; it keeps its id for
    `FORGET_S`, in case the face was hidden. Where the clock runs backwards everything is
    forgotten but the ids.

    Args:
        state: of the frame before; `TrackState()` at first.
        faces: what was found, with `probs` (n, k); the first `MAX_TRACKS` are remembered.
        time_s: when the frame was taken, in seconds of one clock.
        frame_width: of this frame in pixels.

    Returns:
        The state for the next frame; `faces` with `track_id` and smoothed `probs`.

    Raises:
        InputError: no probs, a time or width that is none, another number of classes than
            in `state`.

    >>> found = Faces(xyxy=[[0, 0, 10, 10]], score=[0.9], probs=[[1.0, 0.0]])
    >>> state, faces = step(TrackState(), found, time_s=0.0, frame_width=40)
    >>> state, faces = step(state, found, time_s=0.1, frame_width=40)
    >>> faces.track_id.tolist()
    [1]
    """
    if faces.probs is None:
        raise InputError("`faces` must have probs. Received: None")
    time_s = check_number("time_s", time_s)
    frame_width = check_number("frame_width", frame_width)
    if frame_width <= 0:
        raise InputError(f"`frame_width` must be positive. Received: {frame_width}")
    n_classes = faces.probs.shape[1]
    if state.tracks and len(state.tracks[0].probs) != n_classes:
        raise InputError(
            f"the state must be of {n_classes} classes. Received: {len(state.tracks[0].probs)}"
        )
    if state.time_s is not None and time_s < state.time_s:
        state = TrackState(next_id=state.next_id)
    there = [
        track
        for track in state.tracks
        if track.seen_s == state.time_s and time_s - track.seen_s <= FORGET_UNSEEN_S
    ]
    hidden = [
        track
        for track in state.tracks
        if track.seen_s != state.time_s and time_s - track.seen_s <= FORGET_S
    ]
    centers = center_xy(faces.xyxy).astype(np.float64) / frame_width  # (n, 2)
    sides = (faces.xyxy[:, 2:] - faces.xyxy[:, :2]).astype(np.float64)
    sizes = np.maximum(sides / frame_width, _MIN_SIZE)  # (n, 2)
    # Faces of the last frame are matched first, so that none takes the id of a hidden face.
    taken = _match(there, centers, sizes, time_s)
    left = np.array([i for i in range(len(faces)) if i not in taken], np.intp)
    back = _match(hidden, centers[left], sizes[left], time_s)
    taken |= {int(left[i]): track for i, track in back.items()}
    probs = faces.probs.astype(np.float64)
    next_id = state.next_id
    seen = []
    for i in range(len(faces)):
        if i in taken:
            track = _follow(taken[i], centers[i], sizes[i], probs[i], time_s)
        else:
            shares = tuple(probs[i].tolist())
            track = Track(next_id, _pair(centers[i]), _pair(sizes[i]), (0.0, 0.0), shares, time_s)
            next_id += 1
        seen.append(track)
    found = {track.track_id for track in taken.values()}
    unfound = [track for track in there + hidden if track.track_id not in found]
    unfound.sort(key=lambda track: -track.seen_s)
    tracked = replace(
        faces,
        track_id=np.array([track.track_id for track in seen], np.int64),
        probs=np.array([track.probs for track in seen], np.float32).reshape(-1, n_classes),
    )
    n_empty = 0 if seen else min(state.n_empty + 1, _MAX_EMPTY)
    return TrackState(time_s, next_id, tuple((seen + unfound)[:MAX_TRACKS]), n_empty), tracked


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _match(
    tracks: list[Track],
    centers: NDArray[np.float64],
    sizes: NDArray[np.float64],
    time_s: float,
) -> dict[int, Track]:
    """Return the track of each face by the face's number; the best fits first."""
    if not tracks or not len(centers):
        return {}
    gap = np.array([time_s - track.seen_s for track in tracks])  # (t,)
    coasted = _COAST_S * (1 - np.exp(-gap / _COAST_S))
    velocity = np.array([track.velocity for track in tracks])
    expected = np.array([track.center for track in tracks]) + velocity * coasted[:, None]
    old = np.sqrt(np.prod([track.size for track in tracks], axis=1))  # (t,)
    new = np.sqrt(np.prod(sizes, axis=1))  # (n,)
    away = np.hypot(*(centers[:, None] - expected).transpose(2, 0, 1))  # (n, t)
    cost = away / np.sqrt(new[:, None] * old) + np.abs(np.log(new[:, None] / old))
    fits = cost < np.minimum(_REACH + _REACH_PER_S * gap, _MAX_REACH)
    taken: dict[int, int] = {}
    for flat in np.argsort(cost, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(tracks))
        if fits[i, j] and i not in taken and j not in taken.values():
            taken[i] = j
    return {i: tracks[j] for i, j in taken.items()}


def _follow(
    track: Track,
    center: NDArray[np.float64],
    size: NDArray[np.float64],
    probs: NDArray[np.float64],
    time_s: float,
) -> Track:
    """`track` after its face was seen again."""
    gap = time_s - track.seen_s
    old = np.array(track.probs)
    smoothed = old + (1 - math.exp(-gap / SMOOTHING_S)) * (probs - old)
    velocity = np.array(track.velocity)
    if gap > _MIN_GAP_S:
        moved = (center - np.array(track.center)) / gap
        velocity = velocity + (1 - math.exp(-gap / _MOTION_S)) * (moved - velocity)
    return Track(
        track.track_id,
        _pair(center),
        _pair(size),
        _pair(np.clip(velocity, -100, 100)),
        tuple(smoothed.tolist()),
        time_s,
    )
