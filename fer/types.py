"""The types that travel through the pipeline. numpy only."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from fer.check import check_names, check_number, check_path, check_type
from fer.errors import ConfigError, InputError
from fer.geometry import roll_degrees

__all__ = [
    "DECISIONS",
    "HEADS",
    "MAX_ROLL_DEGREES",
    "Decision",
    "Faces",
    "FrameResult",
    "Head",
    "ModelConfig",
    "check_frame",
    "is_number",
    "parse_json",
]

CONFIG_NAME = "fer.json"
# The first version has one head and one decision; the second names them.
CONFIG_VERSION = 1
HEADS_VERSION = 2
# The outputs of a network with two heads, by name and in order.
HEADS = ("labels", "votes")
# Which shares of the classes the answers assume: all the same, or those of the data set.
DECISIONS = ("balanced", "dataset")
# A face that is rolled by more, as one upside down, counts as uncertain: few of those
# that training sees are, and where the landmarks are wrong, the crop is turned the wrong way.
MAX_ROLL_DEGREES = 90.0


def check_frame(frame: object) -> NDArray[np.uint8]:
    """Return `frame` if it is a frame: uint8 RGB of shape (H, W, 3), H, W >= 1.

    Raises:
        InputError: for anything else; the message names dtype and shape.
    """
    if (
        isinstance(frame, np.ndarray)
        and frame.dtype == np.uint8
        and frame.ndim == 3
        and frame.shape[2] == 3
        and frame.size > 0
    ):
        return frame
    if isinstance(frame, np.ndarray):
        received = f"dtype={frame.dtype}, shape={frame.shape}"
    else:
        received = type(frame).__name__
    raise InputError(f"`frame` must be a uint8 RGB array (H, W, 3). Received: {received}")


def parse_json(text: str | bytes, name: str, kind: type) -> Any:
    """Return what `text` holds: an object (`kind` dict) or a list.

    Raises:
        ConfigError: it is no JSON, or something else; the message calls it `name`.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} must be JSON. Received: {error}") from error
    if not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a list"
        raise ConfigError(f"{name} must be {wanted}. Received: {type(value).__name__}")
    return value


def _column(name: str, value: object, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.array(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"type {array.dtype}")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{name}` must be numbers of shape {shape} (-1: any). Received: {error}"
        ) from error
    if array.ndim != len(shape) or any(
        want not in (-1, got) for want, got in zip(shape, array.shape, strict=True)
    ):
        raise InputError(
            f"`{name}` must have shape {shape} (-1: any). Received: shape={array.shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        kept: NDArray[Any] = array.astype(dtype)
    for each in (array, kept):
        if each.dtype.kind == "f" and not np.isfinite(each).all():
            raise InputError(f"`{name}` must be finite. Received: NaN or infinity")
    array = kept
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one frame, as parallel arrays; row i is face i. No face is n = 0.

    Attributes:
        xyxy: (n, 4) float32 boxes in frame pixels, half-open, not clipped to the frame.
        score: (n,) float32 detector score in [0, 1].
        landmarks: (n, 5, 2) float32 pixels x, y: the eye on the left of the picture, the
            eye on its right, nose tip, left and right mouth corner; None when the
            detector gives none.
        probs: (n, k) float32 calibrated class probabilities, rows sum to 1; None before
            classification.
        votes: (n, v) float32 how the votes of ten people would be shared, rows sum to 1; None
            unless requested.
        raw_probs: (n, k) float32 what `probs` were before a face was compared with its resting
            face (`fer.resting`); None where none was.
        track_id: (n,) int64 identity across frames; None in a single picture.

    Raises:
        InputError: lengths differ, or a value is out of its range.
    """

    xyxy: NDArray[np.float32]
    score: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None = None
    probs: NDArray[np.float32] | None = None
    track_id: NDArray[np.int64] | None = None
    votes: NDArray[np.float32] | None = None
    raw_probs: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        xyxy = _column("xyxy", self.xyxy, (-1, 4), np.float32)
        n = len(xyxy)
        if n and not (xyxy[:, 2:] > xyxy[:, :2]).all():
            raise InputError(f"`xyxy` must have x1 > x0 and y1 > y0. Received: {xyxy.tolist()}")
        score = _column("score", self.score, (n,), np.float32)
        if n and (score.min() < 0 or score.max() > 1):
            raise InputError(f"`score` must lie in [0, 1]. Received: {score.tolist()}")
        object.__setattr__(self, "xyxy", xyxy)
        object.__setattr__(self, "score", score)
        if self.landmarks is not None:
            points = _column("landmarks", self.landmarks, (n, 5, 2), np.float32)
            object.__setattr__(self, "landmarks", points)
        for name in ("probs", "votes", "raw_probs"):
            if getattr(self, name) is None:
                continue
            shares = _column(name, getattr(self, name), (n, -1), np.float32)
            if n and (shares.min() < 0 or np.abs(shares.sum(axis=1) - 1).max() > 1e-3):
                raise InputError(f"`{name}` rows must be non-negative and sum to 1")
            object.__setattr__(self, name, shares)
        if self.track_id is not None:
            ids = _column("track_id", self.track_id, (n,), np.int64)
            object.__setattr__(self, "track_id", ids)

    @classmethod
    def empty(cls) -> Self:
        """No face at all."""
        return cls(xyxy=np.zeros((0, 4), np.float32), score=np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.xyxy)

    def __iter__(self) -> Iterator["Faces"]:
        return (self[[i]] for i in range(len(self)))

    def __getitem__(self, index: Any) -> "Faces":
        """Return the faces that `index` (mask, slice or integer array) selects.

        Raises:
            InputError: it is of another kind, or asks for faces that are not there.
        """
        try:
            rows = np.arange(len(self))[index]
        except (IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"the index of {len(self)} faces must be a mask, slice or integer array. "
                f"Received: {error}"
            ) from error

        def pick(array: NDArray[Any] | None) -> Any:
            return None if array is None else array[rows]

        return Faces(
            xyxy=self.xyxy[rows],
            score=self.score[rows],
            landmarks=pick(self.landmarks),
            probs=pick(self.probs),
            track_id=pick(self.track_id),
            votes=pick(self.votes),
            raw_probs=pick(self.raw_probs),
        )

    def with_probs(
        self, probs: NDArray[np.float32], votes: NDArray[np.float32] | None = None
    ) -> "Faces":
        """Return a copy with `probs` (n, k), and with `votes` (n, v) or without."""
        return replace(self, probs=probs, votes=votes, raw_probs=None)


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """What the pipeline found in one frame.

    Attributes:
        faces: the faces, with `probs`.
        class_names: the k names of the columns of `faces.probs`.
        frame_size: (width, height) of the frame in pixels.
        uncertain_below: a face whose top probability is lower counts as uncertain; one that
            is rolled by more than `MAX_ROLL_DEGREES` does, too.
        timing_ms: milliseconds spent in each stage, in order.
        vote_names: the v names of the columns of `faces.votes`; none without votes.

    Raises:
        InputError: a value is of another type, or there are not as many names as columns.
    """

    faces: Faces
    class_names: tuple[str, ...]
    frame_size: tuple[int, int]
    uncertain_below: float = 0.0
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    vote_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_type("faces", self.faces, Faces)
        for key in ("class_names", "vote_names"):
            object.__setattr__(self, key, check_names(key, getattr(self, key)))
        check_type("frame_size", self.frame_size, tuple)
        if len(self.frame_size) != 2:
            raise InputError(f"`frame_size` must be width, height. Received: {self.frame_size}")
        for side in self.frame_size:
            check_number("frame_size", side, 1)
        check_number("uncertain_below", self.uncertain_below, 0)
        check_type("timing_ms", self.timing_ms, Mapping)
        for columns, names in (
            ("probs", self.class_names),
            ("votes", self.vote_names),
            ("raw_probs", self.class_names),
        ):
            shares = getattr(self.faces, columns)
            if shares is not None and shares.shape[1] != len(names):
                raise InputError(
                    f"`faces.{columns}` must have a column for each of {names}. "
                    f"Received: {shares.shape[1]}"
                )

    @property
    def labels(self) -> list[str]:
        """The most probable class of each face."""
        if self.faces.probs is None:
            return []
        return [self.class_names[i] for i in self.faces.probs.argmax(axis=1)]

    @property
    def uncertain(self) -> list[bool]:
        """Whether each face has a top probability under `uncertain_below`, or no upright position.

        The landmarks say how far a face is rolled, see `MAX_ROLL_DEGREES`; without them only the
        probability counts.
        """
        if self.faces.probs is None:
            return []
        rolls = np.abs(roll_degrees(self.faces.landmarks, self.faces.xyxy))
        low = self.faces.probs.max(axis=1) < self.uncertain_below
        return [bool(each) for each in low | (rolls > MAX_ROLL_DEGREES)]


def is_number(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether `value` is a finite number in [low, high], not a bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # An integer may be too large for a float, so `isfinite` is for floats only.
    return low <= value <= high and (isinstance(value, int) or math.isfinite(value))


def _check(checks: list[tuple[bool, str, object]]) -> None:
    """Raise ConfigError for the first of `checks` (holds, expected, received) that fails."""
    for holds, expected, received in checks:
        if not holds:
            raise ConfigError(f"{expected}. Received: {received!r}")


def _temperature_check(value: object) -> tuple[bool, str, object]:
    return is_number(value, 0.05, 20), "`temperature` must be 0.05..20", value


def _names_check(names: tuple[str, ...]) -> tuple[bool, str, object]:
    holds = (
        len(names) >= 2
        and all(isinstance(name, str) and name for name in names)
        and len(set(names)) == len(names)
    )
    return holds, "`class_names` must be at least two different names", names


def _tuple(name: str, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"`{name}` must be a list. Received: {value!r}")
    return tuple(value)


def _from_dict(kind: type, value: object, where: str) -> Any:
    """Build a dataclass `kind` from an object of JSON that has exactly its fields."""
    expected = [item.name for item in fields(kind)]
    if not isinstance(value, Mapping) or set(value) != set(expected):
        received = sorted(value) if isinstance(value, Mapping) else value
        raise ConfigError(f"{where} must be an object with {expected}. Received: {received!r}")
    try:
        return kind(**value)
    except ConfigError as error:
        raise ConfigError(f"{where} cannot be used: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How the logits (k,) of a head become probabilities: softmax((logits + bias) / temperature).

    Attributes:
        bias: k numbers to add, one a class.
        temperature: to divide by, fitted on validation after the bias.

    Raises:
        ConfigError: a value is impossible.
    """

    bias: tuple[float, ...]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", _tuple("bias", self.bias))
        _check(
            [
                (
                    all(is_number(value, -100, 100) for value in self.bias),
                    "`bias` must be numbers -100..100",
                    self.bias,
                ),
                _temperature_check(self.temperature),
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One output of a network.

    Attributes:
        class_names: the k class names in the order of its logits.
        decisions: by the names of `DECISIONS`, as many as were fitted.

    Raises:
        ConfigError: a value is impossible.
    """

    class_names: tuple[str, ...]
    decisions: Mapping[str, Decision]

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", _tuple("class_names", self.class_names))
        decisions = self.decisions
        known = isinstance(decisions, Mapping) and decisions and set(decisions) <= set(DECISIONS)
        _check(
            [
                _names_check(self.class_names),
                (bool(known), f"`decisions` must be among {DECISIONS}", decisions),
            ]
        )
        built = {
            name: value
            if isinstance(value, Decision)
            else _from_dict(Decision, value, f"`decisions.{name}`")
            for name, value in decisions.items()
        }
        for name, value in built.items():
            if len(value.bias) != len(self.class_names):
                raise ConfigError(
                    f"`decisions.{name}.bias` must have {len(self.class_names)} numbers. "
                    f"Received: {len(value.bias)}"
                )
        object.__setattr__(self, "decisions", built)


def _stored_elsewhere(has_heads: bool) -> set[str]:
    """Return the fields of `ModelConfig` that a file with or without `heads` does not have."""
    return {"class_names", "temperature"} if has_heads else {"heads", "decision"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What must be known to use a weight file: its `fer.json`.

    This is the only place where the order of the class names is written down. Version 1 of the
    file is of a network with one head and has `class_names` and `temperature`. Version 2 has
    `heads` and `decision` instead; here both versions have all four.

    Attributes:
        class_names: the k class names in the order of the labels' logits. With `heads` they are
            those of `heads["labels"]`, and need not be given.
        heads: the outputs of the network by the names of `HEADS`, "labels" at least; none for a
            network with one output, which is that of the labels. The votes' one decision is
            "dataset".
        decision: which of the decisions of the labels' head is served.
        input_size: side of the square model input in pixels.
        detail_size: side in pixels of the picture that a crop is reduced to before it is
            enlarged to `input_size`: a model trained on 48-pixel faces must not be shown
            finer detail than it has ever seen.
        stretch_percentile: this percentile of a crop's pixels becomes 0 and 100 minus it
            255, with straight gray levels between; None leaves the contrast as it is.
        color_mode: "gray" (1 channel) or "rgb" (3 channels).
        crop_margin: side of the square face crop divided by the longer side of the
            detector's box.
        align: whether crops are rolled upright when the detector gives landmarks.
        temperature: logits are divided by this before softmax; fitted on validation. With
            `heads` it is that of the served decision, and need not be given.
        uncertain_below: a top probability under this is shown as uncertain.
        neutral_logits: the mean logits (k,) of the labels' head, as the network gives them, over
            neutral faces that it was not trained on; `fer.resting` compares with them. None
            where they were not measured.
        recipe: the training recipe.
        dataset: the training data: a Hub repository and its commit, "user/name@commit", or
            the name of a local folder.
        dataset_sha256: digest of the decoded pixels and labels that were trained on.
        files: sha256 of each weight file by its name.
        version: of this format: 1, or 2 with `heads`.

    Raises:
        ConfigError: a value is impossible.
    """

    class_names: tuple[str, ...] = ()
    heads: Mapping[str, Head] = field(default_factory=dict)
    decision: str = "dataset"
    input_size: int = 96
    detail_size: int = 48
    stretch_percentile: float | None = None
    color_mode: Literal["gray", "rgb"] = "gray"
    crop_margin: float = 1.0
    align: bool = True
    temperature: float = 1.0
    uncertain_below: float = 0.0
    neutral_logits: tuple[float, ...] | None = None
    recipe: str = ""
    dataset: str = ""
    dataset_sha256: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    version: int = CONFIG_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", _tuple("class_names", self.class_names))
        kinds: dict[str, tuple[type, ...]] = {
            **dict.fromkeys(("version", "input_size", "detail_size"), (int,)),
            **dict.fromkeys(("crop_margin", "temperature", "uncertain_below"), (int, float)),
            **dict.fromkeys(("decision", "recipe", "dataset", "dataset_sha256"), (str,)),
            "stretch_percentile": (int, float, type(None)),
            "neutral_logits": (list, tuple, type(None)),
            "align": (bool,),
            "color_mode": (str,),
            **dict.fromkeys(("heads", "files"), (Mapping,)),
        }
        for key, kind in kinds.items():
            value = getattr(self, key)
            if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
                expected = " or ".join(item.__name__ for item in kind)
                raise ConfigError(f"`{key}` must be {expected}. Received: {value!r}")
        version = HEADS_VERSION if self.heads else CONFIG_VERSION
        _check(
            [
                (
                    self.version == version,
                    f"`version` must be {version} {'with' if self.heads else 'without'} `heads`",
                    self.version,
                )
            ]
        )
        if self.heads:
            self._read_heads()
        decisions = sorted(self.head("labels").decisions)
        _check(
            [
                (
                    self.decision in decisions,
                    f"`decision` must be one of {decisions}",
                    self.decision,
                ),
                (16 <= self.input_size <= 1024, "`input_size` must be 16..1024", self.input_size),
                (8 <= self.detail_size <= 1024, "`detail_size` must be 8..1024", self.detail_size),
                (
                    self.stretch_percentile is None or 0 <= self.stretch_percentile <= 25,
                    "`stretch_percentile` must be 0..25 or null",
                    self.stretch_percentile,
                ),
                (
                    self.color_mode in ("gray", "rgb"),
                    '`color_mode` must be "gray" or "rgb"',
                    self.color_mode,
                ),
                (0.5 <= self.crop_margin <= 4, "`crop_margin` must be 0.5..4", self.crop_margin),
                (
                    0 <= self.uncertain_below <= 1,
                    "`uncertain_below` must be 0..1",
                    self.uncertain_below,
                ),
            ]
        )
        if self.neutral_logits is not None:
            self._read_neutral()

    def _read_neutral(self) -> None:
        """Check `neutral_logits`, which a file has as a list."""
        logits = _tuple("neutral_logits", self.neutral_logits)
        k = len(self.class_names)
        holds = len(logits) == k and all(is_number(each, -100, 100) for each in logits)
        _check([(holds, f"`neutral_logits` must be {k} numbers -100..100, or null", logits)])
        object.__setattr__(self, "neutral_logits", logits)

    def _read_heads(self) -> None:
        """Check `heads`, and take class names and temperature from the labels' head."""
        if "labels" not in self.heads or not set(self.heads) <= set(HEADS):
            raise ConfigError(
                f"`heads` must be {HEADS}, the first at least. Received: {sorted(self.heads)}"
            )
        heads = {
            name: value if isinstance(value, Head) else _from_dict(Head, value, f"`heads.{name}`")
            for name, value in self.heads.items()
        }
        object.__setattr__(self, "heads", heads)
        if "votes" in heads and set(heads["votes"].decisions) != {"dataset"}:
            raise ConfigError(
                '`heads.votes.decisions` must be "dataset" alone. '
                f"Received: {sorted(heads['votes'].decisions)}"
            )
        labels = heads["labels"]
        if self.decision not in labels.decisions:
            return  # the caller says so
        temperatures = [1.0, *(each.temperature for each in labels.decisions.values())]
        _check(
            [
                (
                    self.class_names in ((), labels.class_names),
                    f"`class_names` must be those of the labels' head, {labels.class_names}",
                    self.class_names,
                ),
                (
                    self.temperature in temperatures,
                    "`temperature` must stand in `heads`",
                    self.temperature,
                ),
            ]
        )
        object.__setattr__(self, "class_names", labels.class_names)
        object.__setattr__(self, "temperature", labels.decisions[self.decision].temperature)

    def head(self, name: str) -> Head:
        """Return the head of that name; a network with one output has "labels" alone.

        Raises:
            ConfigError: the network has no such head.
        """
        check_type("name", name, str)
        if self.heads and name in self.heads:
            return self.heads[name]
        if self.heads or name != "labels":
            held = sorted(self.heads) or ["labels"]
            raise ConfigError(f"the network must have a head {name!r}. Received: one with {held}")
        none = (0.0,) * len(self.class_names)
        only = Decision(bias=none, temperature=self.temperature)
        return Head(class_names=self.class_names, decisions={"dataset": only})

    def sha256_of(self, name: str, where: str = "") -> str:
        """Return the sha256 that a file of the weights must have.

        Args:
            name: of the file.
            where: " of REPOSITORY", for the message.

        Raises:
            ConfigError: the file is not named.
        """
        check_type("name", name, str)
        if name not in self.files:
            raise ConfigError(
                f"`files` in {CONFIG_NAME}{where} must name {name} and its sha256. "
                f"Received: {sorted(self.files)}"
            )
        return self.files[name]

    @property
    def served(self) -> Decision:
        """How the logits of the labels' head become the answers."""
        return self.head("labels").decisions[self.decision]

    @property
    def vote_names(self) -> tuple[str, ...]:
        """The names of the votes' classes in the order of their logits; none without that head."""
        return self.heads["votes"].class_names if "votes" in self.heads else ()

    @property
    def channels(self) -> int:
        """Channels of the model input: 1 for gray, 3 for rgb."""
        return 1 if self.color_mode == "gray" else 3

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read `fer.json`.

        Raises:
            ConfigError: no JSON object, an unknown or missing key, an impossible value.
        """
        check_type("text", text, str, bytes)
        values = parse_json(text, CONFIG_NAME, dict)
        known = {item.name for item in fields(cls)} - _stored_elsewhere("heads" in values)
        if unknown := sorted(set(values) - known):
            raise ConfigError(
                f"{CONFIG_NAME} has unknown keys {unknown}. Expected: {sorted(known)}"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"{CONFIG_NAME} cannot be used: {error}") from error

    def to_json(self) -> str:
        """Return the text of `fer.json`, keys in the order of this class, newline at the end."""
        left_out = _stored_elsewhere(bool(self.heads))
        if self.neutral_logits is None:
            left_out.add("neutral_logits")
        names = [item.name for item in fields(self) if item.name not in left_out]
        values = {name: getattr(self, name) for name in names}
        if self.heads:
            values["heads"] = {name: asdict(head) for name, head in self.heads.items()}
        values["files"] = dict(self.files)
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `fer.json` from `folder`.

        Raises:
            ConfigError: as `from_json`, or there is no such file.
        """
        path = check_path("folder", folder) / CONFIG_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise ConfigError(
                f"{CONFIG_NAME} must stand in {folder}, as the export of a trained model writes "
                "it. Received: a folder without one"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{CONFIG_NAME} must stand in {folder}. Received: {error}") from error
        return cls.from_json(text)
