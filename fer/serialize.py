"""FrameResult -> plain data: one nested for JSON, flat rows for tables."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer.check import check_type
from fer.errors import InputError
from fer.types import FrameResult

__all__ = ["to_dict", "to_rows"]


def to_dict(result: FrameResult) -> dict[str, Any]:
    """Convert a result to JSON-ready data.

    Returns:
        `frame` {width, height} in pixels; `class_names`; `faces`, best detected first,
        each with `track_id` (None in a single picture), `box_xyxy` in frame pixels,
        `score`, `landmarks` [[x, y] x 5] or None, `label`, `uncertain`, `probs` {class:
        probability}; `timing_ms` {stage: ms}. With votes each face has `votes` {class: share}
        as well, and `vote_names` follows `class_names`. Where a face was compared with its
        resting face each has `raw` {class: probability}, without that.

    Raises:
        InputError: `result` is no result, or its faces have not been classified.
    """
    check_type("result", result, FrameResult)
    faces = result.faces
    if faces.probs is None:
        raise InputError("`result.faces` must have probs. Received: None")
    rows = []
    for i, (row, label) in enumerate(zip(faces.probs, result.labels, strict=True)):
        rows.append(
            {
                "track_id": None if faces.track_id is None else int(faces.track_id[i]),
                "box_xyxy": [round(float(v), 1) for v in faces.xyxy[i]],
                "score": round(float(faces.score[i]), 4),
                "landmarks": None
                if faces.landmarks is None
                else [[round(float(v), 1) for v in point] for point in faces.landmarks[i]],
                "label": label,
                "uncertain": result.uncertain[i],
                "probs": _named(result.class_names, row),
            }
        )
        if faces.votes is not None:
            rows[-1]["votes"] = _named(result.vote_names, faces.votes[i])
        if faces.raw_probs is not None:
            rows[-1]["raw"] = _named(result.class_names, faces.raw_probs[i])
    return {
        "frame": {"width": result.frame_size[0], "height": result.frame_size[1]},
        "class_names": list(result.class_names),
        **({} if faces.votes is None else {"vote_names": list(result.vote_names)}),
        "faces": rows,
        "timing_ms": {stage: round(ms, 2) for stage, ms in result.timing_ms.items()},
    }


def _named(names: tuple[str, ...], shares: NDArray[np.float32]) -> dict[str, float]:
    return {name: round(float(share), 4) for name, share in zip(names, shares, strict=True)}


def to_rows(result: FrameResult) -> list[dict[str, Any]]:
    """Convert a result to flat rows, one a face, with the columns of `fer.table.face_schema`.

    Raises:
        InputError: the faces have not been classified.
    """
    rows = []
    for number, face in enumerate(to_dict(result)["faces"], 1):
        row = {"face": number, "track_id": face["track_id"]}
        row |= {key: face[key] for key in ("label", "uncertain", "score")}
        row |= dict(zip(("x0", "y0", "x1", "y1"), face["box_xyxy"], strict=True))
        row |= {f"p_{name}": p for name, p in face["probs"].items()}
        rows.append(row | {f"raw_{name}": p for name, p in face.get("raw", {}).items()})
    return rows
