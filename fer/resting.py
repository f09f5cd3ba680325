"""A person's resting face: what is taken out of their answers.

Some faces look sad or angry when they do nothing. `Baseline` holds how one such face is answered,
and `compare` takes what sets it apart from the average neutral face out of that person's answers.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer.check import check_number, check_type
from fer.classify import decide, softmax
from fer.errors import ConfigError, InputError
from fer.types import Faces, FrameResult, ModelConfig

__all__ = ["STRENGTH", "Baseline", "compare", "find_shift"]

# How much of the difference from the average neutral face is taken out. Source: of .5, .75 and 1
# the best on three sets of photographs of known persons, where it gained 2.6, 5.3 and 5.9 points.
STRENGTH = 0.75
# Probabilities of resting faces count as no lower: answers have four decimals.
_LEAST = 1e-4
_LEAST_CORRECTED = 1e-12  # so that nothing has no logarithm
_MAX_CLASSES = 256
_MAX_ID = 2**53 - 1  # what JavaScript counts exactly
_MAX_SUM_ERROR = 0.02  # 256 roundings to four decimals


def _logs(probs: ArrayLike, least: float) -> NDArray[np.float64]:
    """Return the logarithms of probabilities: calibrated logits, but for a constant a row."""
    return np.log(np.maximum(np.asarray(probs, np.float64), least))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    return softmax(logits.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the resting face of one person is answered.

    Attributes:
        probs: the k calibrated probabilities of it, in the order of the model's classes.
        track_id: the track that this person is; 1 is the first face that is followed.

    Raises:
        InputError: a value is of another type, or the probabilities do not sum to 1.
    """

    probs: tuple[float, ...]
    track_id: int = 1

    def __post_init__(self) -> None:
        check_type("track_id", self.track_id, int)
        if not 1 <= self.track_id <= _MAX_ID:
            raise InputError(f"`track_id` must be in 1..{_MAX_ID}. Received: {self.track_id}")
        check_type("probs", self.probs, tuple, list, np.ndarray)
        values = self.probs.ravel() if isinstance(self.probs, np.ndarray) else self.probs
        row = tuple(check_number("probs", p, 0, 1) for p in values)
        if not 2 <= len(row) <= _MAX_CLASSES or abs(sum(row) - 1) > _MAX_SUM_ERROR:
            raise InputError(
                f"`probs` must be 2 to {_MAX_CLASSES} numbers that sum to 1. "
                f"Received: {len(row)} with the sum {sum(row):g}"
            )
        object.__setattr__(self, "probs", row)

    @classmethod
    def average(cls, rows: ArrayLike, track_id: int = 1) -> Self:
        """Average the answers to several pictures of a resting face.

        Args:
            rows: (n, k) calibrated probabilities, n at least 1. Their logarithms are averaged,
                which are the calibrated logits.
            track_id: see the class.

        Raises:
            InputError: they are no such rows.

        >>> Baseline.average([[0.9, 0.1], [0.9, 0.1]]).probs
        (0.9, 0.1)
        """
        try:
            table = np.asarray(rows, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"`rows` must be probabilities (n, k). Received: {error}") from error
        if table.ndim != 2 or not table.size or not np.isfinite(table).all():
            raise InputError(f"`rows` must be probabilities (n, k). Received: {table.shape}")
        mean = _softmax(_logs(table, _LEAST).mean(axis=0)[None])[0]
        return cls(tuple(round(float(p), 6) for p in mean), track_id)

    @classmethod
    def of(cls, result: FrameResult, track_id: int = 1) -> Self:
        """Read the resting face in a picture with one face.

        Args:
            result: of `Pipeline.__call__`.
            track_id: see the class.

        Raises:
            InputError: there is no face, or more than one.
        """
        check_type("result", result, FrameResult)
        n = len(result.faces)
        if n != 1 or result.faces.probs is None:
            raise InputError(f"a picture of a resting face must show one face. Received: {n}")
        return cls.average(result.faces.probs, track_id)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"track_id": self.track_id, "probs": [round(p, 6) for p in self.probs]}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read what `to_json` wrote and a stranger may have changed.

        Raises:
            InputError: anything that `to_json` could not have written.
        """
        if not isinstance(data, dict) or set(data) != {"track_id", "probs"}:
            received = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
            raise InputError(
                "a baseline must be an object with the keys track_id and probs. "
                f"Received: {received}"
            )
        probs = data["probs"]
        if not isinstance(probs, list) or not all(type(p) in (int, float) for p in probs):
            raise InputError("`probs` of a baseline must be a list of numbers")
        return cls(tuple(probs), data["track_id"])


def find_shift(baseline: Baseline, config: ModelConfig) -> NDArray[np.float64]:
    """Return what is taken from the calibrated logits of a person, (k,), up to a constant.

    Args:
        baseline: of that person.
        config: of the model; its `neutral_logits` are those of the average neutral face.

    Raises:
        InputError: `baseline` is none, or of another number of classes.
        ConfigError: the model does not say how it answers the average neutral face.
    """
    check_type("baseline", baseline, Baseline)
    k = len(config.class_names)
    if len(baseline.probs) != k:
        raise InputError(
            f"the baseline must have {k} probabilities, one for each of {config.class_names}. "
            f"Received: {len(baseline.probs)}"
        )
    if config.neutral_logits is None:
        raise ConfigError(
            "`neutral_logits` must stand in fer.json, to compare a face with the average neutral "
            "one; `python -m train neutral FOLDER` measures them. Received: none"
        )
    average = decide(np.array([config.neutral_logits], np.float32), config.served)[0]
    return STRENGTH * (_logs(baseline.probs, _LEAST) - _logs(average, _LEAST))


def compare(faces: Faces, baseline: Baseline, config: ModelConfig) -> Faces:
    """Compare the face of one track with its resting face; others stay as they are.

    Args:
        faces: with `probs` (n, k) and `track_id`.
        baseline: of the person that is the track `baseline.track_id`.
        config: of the model.

    Returns:
        `faces` with `raw_probs`, the probabilities before; in `probs` those of that track are
        softmax(log probs - `find_shift`).

    Raises:
        InputError: the faces have no probs or ids, or see `find_shift`.
        ConfigError: see `find_shift`.
    """
    check_type("faces", faces, Faces)
    shift = find_shift(baseline, config)
    if faces.probs is None or faces.track_id is None:
        raise InputError("`faces` must have probs and track_id. Received: None")
    theirs = faces.track_id == baseline.track_id
    probs = faces.probs.copy()
    probs[theirs] = _softmax(_logs(faces.probs[theirs], _LEAST_CORRECTED) - shift)
    return replace(faces, probs=probs, raw_probs=faces.probs)
