"""AffectNet and RAF-DB in the folders that their owners hand out, as `datasets` sees any other.

A layout is known by its folders. What comes out has the columns `image` and `label` of every
data set here; nothing is copied or converted, pictures are decoded when they are read.
"""

import logging
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
from datasets.features.features import register_feature
from numpy.typing import NDArray
from PIL import Image

from fer.crop import crop_faces
from fer.errors import InputError
from fer.geometry import xywh_to_xyxy
from fer.image import image_to_frame, picture_suffixes
from fer.types import Faces, ModelConfig

__all__ = ["AFFECTNET_EXPRESSIONS", "RAF_EXPRESSIONS", "FaceCrop", "open_layout"]

log = logging.getLogger(__name__)

# By the numbers of the data sets, in the names of this project. A. Mollahosseini, B. Hasani and
# M. H. Mahoor, AffectNet, https://arxiv.org/abs/1708.03985
AFFECTNET_EXPRESSIONS = tuple(
    enumerate(
        (
            *("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"),
            *("contempt", "none", "uncertain", "no face"),
        )
    )
)
# S. Li, W. Deng and J. Du, RAF-DB, http://www.whdeng.cn/RAF/model1.html
RAF_EXPRESSIONS = tuple(
    enumerate(("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"), start=1)
)
_CLASSES = sorted(dict(RAF_EXPRESSIONS).values())
_BOX = ("face_x", "face_y", "face_width", "face_height")
_AFFECTNET_COLUMNS = ("subDirectory_filePath", *_BOX, "facial_landmarks", "expression")
_AFFECTNET_TABLES = {"train": "training.csv", "test": "validation.csv"}
_AFFECTNET_FOLDERS = {"train": "train_set", "test": "val_set"}
# Where the archives put tables and photographs; the first is the folder itself.
_TABLE_FOLDERS = (".", "Manually_Annotated_file_lists", "Manually_Annotated")
_PHOTO_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
# 68 points in the order of 300-W, https://ibug.doc.ic.ac.uk/resources/300-W/
_N_POINTS = 68
_FIVE_POINTS = (range(36, 42), range(42, 48), (30,), (48,), (54,))
_RAF_LINE = re.compile(r"((train|test)_\d+)\.jpg\s+(\S+)")
_SHOWN = 3


@dataclass
class FaceCrop(datasets.Image):
    """A column of photographs with an annotated face; what is decoded is that face's crop.

    The photograph, its box and its points are stored together, so the crop comes wherever the
    picture is decoded: in a row, in a column, after a selection or a split.

    An example is a dict of `path` or `bytes` as for `datasets.Image`; `xyxy`, the box, 4 numbers
    in pixels of the photograph; and `landmarks`, 10 numbers x, y of the five points of
    `fer.types.Faces`, or None.
    """

    # The margin and alignment of every recipe and of `python -m train crop`.
    framing: ClassVar[ModelConfig] = ModelConfig(class_names=tuple(_CLASSES))
    pa_type: ClassVar[Any] = pa.struct(
        {
            "bytes": pa.binary(),
            "path": pa.string(),
            "xyxy": pa.list_(pa.float32()),
            "landmarks": pa.list_(pa.float32()),
        }
    )
    _type: str = field(default="FaceCrop", init=False, repr=False)

    def encode_example(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return `value` as it is stored."""
        return {name: value.get(name) for name in ("bytes", "path", "xyxy", "landmarks")}

    def decode_example(self, value: Any, token_per_repo_id: Any = None) -> Image.Image:
        """Crop the face that `value` stores with `fer.crop.crop_faces`."""
        picture: Image.Image = super().decode_example(value, token_per_repo_id)
        if not isinstance(value, dict):
            return picture
        landmarks = value["landmarks"]
        faces = Faces(
            xyxy=np.asarray([value["xyxy"]], np.float32),
            score=np.ones(1, np.float32),
            landmarks=None if landmarks is None else np.reshape(landmarks, (1, 5, 2)),
        )
        (crop,) = crop_faces(image_to_frame(picture), faces, self.framing)
        return Image.fromarray(crop)

    def cast_storage(self, storage: pa.StructArray) -> pa.StructArray:
        """Cast `storage`, which has all four fields, to their types."""
        return storage.cast(self.pa_type)


# So that `datasets` finds it by the name that a table's schema bears. The function is marked
# experimental there, and is the only way.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'register_feature' is experimental", UserWarning)
    register_feature(FaceCrop, "FaceCrop")


class _Listing(NamedTuple):
    """One split as its owner lists it; row i is picture i.

    Attributes:
        table: what lists it, for messages.
        pictures: folder of the pictures.
        rows: columns `picture` (path below `pictures`) and `number` (text); for photographs
            also `_BOX` (text or nothing) and `facial_landmarks`.
        has_boxes: whether these are photographs with a box rather than face crops.
    """

    table: Path
    pictures: Path
    rows: pd.DataFrame
    has_boxes: bool = False


class _Layout(NamedTuple):
    """How one layout is known and read.

    Attributes:
        find: the folder to what lists each of its splits; None where it has another layout.
        read: a split and what lists it, to its list.
        expressions: the names of its numbers.
    """

    find: Callable[[Path], dict[str, Path] | None]
    read: Callable[[str, Path], _Listing]
    expressions: tuple[tuple[int, str], ...]


def open_layout(folder: Path) -> datasets.DatasetDict | None:
    """Open AffectNet or RAF-DB in `folder`; None where it has none of their layouts.

    - AffectNet of 2017: `Manually_Annotated_Images/<n>/<hash>.jpg` with `training.csv` and
      `validation.csv`, next to it or in `Manually_Annotated_file_lists`. The pictures are
      photographs; the annotated box and the eyes, nose and mouth among the 68 annotated points
      are cropped as a detector's are, see `FaceCrop`.
    - AffectNet of 2021, with 7 or 8 classes: `train_set` and `val_set`, each with
      `images/<n>.jpg`, face crops already, and `annotations/<n>_exp.npy`.
    - RAF-DB, basic emotions: `EmoLabel/list_patition_label.txt` and
      `Image/aligned/<name>_aligned.jpg`, with or without the folder `basic` above them.
    - RAF-DB as on Kaggle: `DATASET/train/<1..7>` and `DATASET/test/<1..7>`, checked against
      `train_labels.csv` and `test_labels.csv` where these are next to `DATASET`.

    No test set of AffectNet is available and its validation set is what everybody reports
    on, so that is the split "test" here; `train.data.dataset.hold_out` makes "validation". Pictures
    of other classes than ours, and photographs without a box, are left out; a warning counts
    them.

    Args:
        folder: the folder that was unpacked.

    Returns:
        Splits "train" and "test", as far as there are any, with columns `image` and `label`, a
        ClassLabel of the seven names in the order of the alphabet. None for any other folder.

    Raises:
        InputError: a table or a picture is missing, a table cannot be read, or a label is none.

    Source: AffectNet, both forms: https://github.com/sb-ai-lab/EmotiEffLib/issues/14, the table:
        gdl/datasets/AffectNetDataModule.py of https://github.com/radekd91/emoca, the folders:
        https://github.com/armand-07/emotion_recognition; RAF-DB:
        http://www.whdeng.cn/RAF/model1.html, on Kaggle:
        https://www.kaggle.com/datasets/shuvoalok/raf-db-dataset
    """
    for layout in (
        _Layout(_find_photographs, _read_photographs, AFFECTNET_EXPRESSIONS),
        _Layout(_find_affectnet_crops, _read_affectnet_crops, AFFECTNET_EXPRESSIONS),
        _Layout(_find_raf, _read_raf, RAF_EXPRESSIONS),
        _Layout(_find_raf_kaggle, _read_raf_kaggle, RAF_EXPRESSIONS),
    ):
        if sources := layout.find(folder.absolute()):
            splits = {
                split: _dataset(layout.read(split, source), layout.expressions)
                for split, source in sources.items()
            }
            return datasets.DatasetDict({name: rows for name, rows in splits.items() if len(rows)})
    return None


def _photo_folder(folder: Path) -> Path | None:
    found = [folder / name for name in _PHOTO_FOLDERS if (folder / name).is_dir()]
    return found[0] if found else None


def _find_photographs(folder: Path) -> dict[str, Path] | None:
    if _photo_folder(folder) is None:
        return None
    tables = {}
    for split, name in _AFFECTNET_TABLES.items():
        places = [folder / place / name for place in _TABLE_FOLDERS]
        found = [path for path in places if path.is_file()]
        if not found:
            raise InputError(
                f"{folder} must have AffectNet's {name}, next to {_PHOTO_FOLDERS[0]} or in "
                f"{_TABLE_FOLDERS[1]}. Received: none"
            )
        tables[split] = found[0]
    return tables


def _read_photographs(split: str, table: Path) -> _Listing:
    rows = _read_table(table, _AFFECTNET_COLUMNS).rename(
        columns={"subDirectory_filePath": "picture", "expression": "number"}
    )
    # The table lies in the folder that was given or in one of its folders.
    photos = _photo_folder(table.parent) or _photo_folder(table.parents[1])
    assert photos is not None  # `_find_affectnet_photographs` looked
    return _Listing(table, photos, rows, has_boxes=True)


def _find_affectnet_crops(folder: Path) -> dict[str, Path] | None:
    found = {
        split: folder / name / "annotations"
        for split, name in _AFFECTNET_FOLDERS.items()
        if (folder / name / "images").is_dir()
    }
    if not found:
        return None
    for path in found.values():
        if not path.is_dir():
            raise InputError(
                f"{path.parent} must have AffectNet's folders `images` and `annotations`. "
                f"Received: {sorted(entry.name for entry in path.parent.iterdir())}"
            )
    return found


def _read_affectnet_crops(split: str, annotations: Path) -> _Listing:
    pictures = annotations.parent / "images"
    names = sorted(_picture_names(pictures), key=lambda name: (len(name), name))
    numbers = []
    for name in names:
        path = annotations / f"{Path(name).stem}_exp.npy"
        try:
            numbers.append(str(np.squeeze(np.load(path))))
        except FileNotFoundError as error:
            raise InputError(
                f"{annotations} must have a label of every picture. Received: no {path.name}"
            ) from error
        except (ValueError, OSError) as error:  # what numpy raises of a file that is no array
            raise InputError(f"{path} must be a NumPy array. Received: {error}") from error
    stems = {Path(name).stem for name in names}
    lone = sorted(
        entry.name
        for entry in os.scandir(annotations)
        if entry.name.endswith("_exp.npy") and entry.name.removesuffix("_exp.npy") not in stems
    )
    if lone:
        raise InputError(
            f"{pictures} must have a picture of every label. Received: none for {len(lone)}, "
            f"as {lone[:_SHOWN]}"
        )
    return _Listing(annotations, pictures, pd.DataFrame({"picture": names, "number": numbers}))


def _find_raf(folder: Path) -> dict[str, Path] | None:
    for root in (folder, folder / "basic"):
        if (root / "EmoLabel").is_dir():
            table = root / "EmoLabel" / "list_patition_label.txt"
            if not table.is_file():
                raise InputError(f"{root} must have RAF-DB's {table.name}. Received: none")
            return {"train": table, "test": table}
    return None


def _read_raf(split: str, table: Path) -> _Listing:
    rows = []
    for number, line in enumerate(table.read_text("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        found = _RAF_LINE.fullmatch(line.strip())
        if found is None:
            raise InputError(
                f"line {number} of {table} must be like 'train_00001.jpg 5'. Received: {line!r}"
            )
        if found[2] == split:
            rows.append((f"{found[1]}_aligned.jpg", found[3]))
    pictures = table.parents[1] / "Image" / "aligned"
    return _Listing(table, pictures, pd.DataFrame(rows, columns=["picture", "number"]))


def _find_raf_kaggle(folder: Path) -> dict[str, Path] | None:
    for root in (folder / "DATASET", folder):
        # Folders 0..6 would be somebody's own numbers, and other names somebody's own pictures.
        train = root / "train"
        if (
            (train / "7").is_dir()
            and not (train / "0").exists()
            and any(train.glob("[1-7]/train_*_aligned.jpg"))
        ):
            splits = {"train": train, "test": root / "test"}
            return {name: path for name, path in splits.items() if path.is_dir()}
    return None


def _read_raf_kaggle(split: str, pictures: Path) -> _Listing:
    rows = pd.DataFrame(
        [
            (f"{number.name}/{name}", number.name)
            for number in sorted(pictures.iterdir())
            if number.is_dir() and not number.name.startswith(".")
            for name in sorted(_picture_names(number))
        ],
        columns=["picture", "number"],
    )
    table = pictures.parents[1] / f"{split}_labels.csv"
    if table.is_file():
        listed = _read_table(table, ("image", "label"))
        wanted = set(listed["label"].str.strip() + "/" + listed["image"].str.strip())
        if different := sorted(wanted.symmetric_difference(rows["picture"]), key=str):
            raise InputError(
                f"{pictures} must hold the pictures that {table.name} lists, in the folders of "
                f"their labels. Received: {len(different)} in one of the two alone, as "
                f"{different[:_SHOWN]}"
            )
    return _Listing(pictures, pictures, rows)


def _picture_names(folder: Path) -> list[str]:
    """List the pictures in `folder`, without the hidden files that some systems leave there."""
    suffixes = picture_suffixes()
    names = (entry.name for entry in os.scandir(folder))
    return [
        name for name in names if not name.startswith(".") and Path(name).suffix.lower() in suffixes
    ]


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read `columns` of a CSV file, as text; NULL and nothing are missing values."""
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)
    except (ValueError, OSError) as error:  # pandas's own are among them
        raise InputError(f"{path} must be a table. Received: {error}") from error
    table.columns = [str(name).strip() for name in table.columns]
    if missing := [name for name in columns if name not in table.columns]:
        raise InputError(
            f"{path} must have columns {list(columns)}. Received: {list(table.columns)}, "
            f"without {missing}"
        )
    return table[list(columns)]


def _dataset(
    listing: _Listing, numbered_expressions: tuple[tuple[int, str], ...]
) -> datasets.Dataset:
    """Build one split of the pictures of our classes."""
    table, pictures, rows, has_boxes = listing
    expressions = dict(numbered_expressions)
    numbers = pd.to_numeric(rows["number"], errors="coerce")
    unknown = ~numbers.isin(list(expressions))
    if unknown.any():
        where = dict(zip(rows["picture"][unknown], rows["number"][unknown], strict=True))
        raise InputError(
            f"labels of {table} must be among {expressions}. Received: {len(where)} others, as "
            f"{dict(list(where.items())[:_SHOWN])}"
        )
    names = numbers.astype(int).map(expressions)
    reasons = names.where(~names.isin(_CLASSES), None)
    if has_boxes:
        boxes = _boxes(rows, table)
        boxless = ~(boxes[:, 2:] > 0).all(axis=1) | ~np.isfinite(boxes).all(axis=1)
        reasons = reasons.mask(reasons.isna() & boxless, "no box of the face")
    kept = reasons.isna().to_numpy()
    if not kept.all():
        log.warning(
            "%d of %d pictures of %s are left out: %s",
            *(len(rows) - kept.sum(), len(rows), table),
            ", ".join(f"{name} {count}" for name, count in reasons.value_counts().items()),
        )
    rows, names = rows[kept], names[kept]
    paths = [pictures / name for name in rows["picture"].fillna("(a row without a name)")]
    _check_files(paths, pictures, table)
    image: list[Any] = [str(path) for path in paths]
    if has_boxes:
        corners = xywh_to_xyxy(boxes[kept]).tolist()
        points = [
            _five_points(text, path, table)
            for text, path in zip(rows["facial_landmarks"], paths, strict=True)
        ]
        image = [
            {"path": path, "xyxy": xyxy, "landmarks": landmarks}
            for path, xyxy, landmarks in zip(image, corners, points, strict=True)
        ]
    features = datasets.Features(
        image=FaceCrop() if has_boxes else datasets.Image(),
        label=datasets.ClassLabel(names=_CLASSES),
    )
    label = [_CLASSES.index(name) for name in names]
    return datasets.Dataset.from_dict({"image": image, "label": label}, features=features)


def _boxes(rows: pd.DataFrame, table: Path) -> NDArray[np.float64]:
    """Return x, y, width and height (n, 4) in pixels; NaN where none is given."""
    columns = []
    for name in _BOX:
        values = pd.to_numeric(rows[name], errors="coerce")
        broken = values.isna() & rows[name].notna()
        if broken.any():
            raise InputError(
                f"`{name}` of {table} must be numbers of pixels. Received: "
                f"{sorted(set(rows[name][broken]))[:_SHOWN]}"
            )
        columns.append(values.to_numpy(np.float64))
    return np.stack(columns, axis=1)


def _five_points(text: Any, picture: Path, table: Path) -> list[float] | None:
    """Return eyes, nose and mouth corners (10,), x and y in pixels, of the 68 points `text`.

    None where there are no points: such a face is not turned upright.
    """
    if pd.isna(text):
        return None
    try:
        points = np.array(text.split(";"), np.float32).reshape(_N_POINTS, 2)
        if not np.isfinite(points).all():
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"`facial_landmarks` of {picture} in {table} must be {_N_POINTS} points x;y. "
            f"Received: {text[:80]!r}"
        ) from error
    return [float(value) for part in _FIVE_POINTS for value in points[list(part)].mean(axis=0)]


def _check_files(paths: list[Path], folder: Path, table: Path) -> None:
    """Check that each of `paths` exists; listing folders is much faster than asking for each."""
    there: dict[Path, set[str]] = {}
    missing = []
    for path in paths:
        if path.parent not in there:
            inside = os.scandir(path.parent) if path.parent.is_dir() else ()
            there[path.parent] = {entry.name for entry in inside}
        if path.name not in there[path.parent]:
            missing.append(path.relative_to(folder).as_posix())
    if missing:
        raise InputError(
            f"{folder} must hold every picture that {table} lists. Received: {len(missing)} of "
            f"{len(paths)} are missing, as {missing[:_SHOWN]}"
        )
