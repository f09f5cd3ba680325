"""FER-2013 as it is handed around, and FER+'s votes -> one data set with all we train on."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import datasets
import numpy as np
import pandas as pd
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard, DatasetCardData
from numpy.typing import NDArray
from tqdm import tqdm

from fer.errors import ImageError, InputError
from fer.image import image_to_frame, picture_suffixes, read_image
from fer.preprocess import resize
from train.data.columns import CSV_CLASSES
from train.data.csv_file import CSV_SPLITS, open_csv
from train.data.dataset import hold_out
from train.data.folder import without_bars
from train.data.names import SPLITS, expression_of, split_of
from train.data.signatures import MAX_COLOUR, MIN_DEVIATION, SIDE_PX
from train.data.votes import FERPLUS_COUNTS, majority_votes

__all__ = ["find_copies", "prepare_fer2013"]

# Two pictures are looked at closely where thumbnails of this side correlate by so much.
# Tuned: 0.9 loses one copy in fifty.
_THUMBNAIL_PX, _ALIKE = 12, 0.8
# So far may a copy be shifted either way, and so well must it correlate then. Tuned: 0.92
# finds more of the copies that are known of FER-2013 and more pairs that are none, 0.95
# fewer of both; shifts of 4 and 6 pixels find no more.
_SHIFT_PX, _SAME = 2, 0.93
_ROWS_A_TIME = 512

# PublicTest_3908.jpg: the split that the challenge put it in. The number is no row.
_NAME_WITH_SPLIT = re.compile(rf"({'|'.join(CSV_SPLITS)})_")
# fer0003908.png, as FER+ has it, or 3908.jpg: the row, or what only looks like it.
_NAME_WITH_ROW = re.compile(r"(?:fer)?(\d{1,9})")
# FER+ and the labels agree on 62 % of the images of FER-2013; on about two in ten where the
# votes are those of other images.
_MIN_AGREEMENT = 0.4

_CARD = """# FER-2013{with_votes}

Face crops of 48 x 48 gray pixels with one of seven expressions, from the challenge of 2013
(Goodfellow et al., "Challenges in Representation Learning"). Written by `python -m train fer2013`.

| split | images | with a copy in another split |
|---|---|---|
{counts}

| column | meaning |
|---|---|
| `image` | the face crop |
| `label` | {classes} |
{columns}| `cross_split_twin` | train has a copy of this photograph; of train: validation or test |

{notes}

Images of validation and test with a copy in train were seen in training: choose models and
report figures on the others, too.
"""
_ROW_COLUMN = "| `csv_row` | row of fer2013.csv |\n"
_VOTES_COLUMN = (
    "| `ferplus_votes` | votes of FER+ (https://github.com/microsoft/FERPlus): "
    f"{', '.join(FERPLUS_COUNTS)} |\n"
)


def _thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return thumbnails (n, t) of mean 0 and length 1: a product of two is their correlation."""
    small = [resize(image, _THUMBNAIL_PX, _THUMBNAIL_PX) for image in images]
    rows = np.stack(small).reshape(len(images), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float32] = rows / np.maximum(lengths, 1e-6)
    return found


def _alike(
    images: NDArray[np.uint8], thumbnails: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the index of each of `images` and those of the `thumbnails` that are like it."""
    queries = _thumbnails(images)
    for start in range(0, len(queries), _ROWS_A_TIME):
        close = queries[start : start + _ROWS_A_TIME] @ thumbnails.T >= _ALIKE
        for i, row in enumerate(close, start):
            yield i, np.flatnonzero(row)


def find_copies(
    images: NDArray[np.uint8], others: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find the pictures that show the same photograph as one of the other set.

    Copies may be shifted by two pixels, mirrored, brighter, darker or flatter.

    Args:
        images: (n, s, s) uint8 gray.
        others: (m, s, s) uint8 gray.

    Returns:
        (n,) and (m,) bool: whether each has a copy among the others.
    """
    found, copied = np.zeros(len(images), np.bool_), np.zeros(len(others), np.bool_)
    usable = others.std(axis=(1, 2)) >= MIN_DEVIATION
    thumbnails = _thumbnails(others)
    inner = slice(_SHIFT_PX, images.shape[1] - _SHIFT_PX)
    with tqdm(total=2 * len(images), unit=" images", disable=None, desc="copies") as bar:
        for views in (images, images[:, :, ::-1]):
            for i, candidates in _alike(views, thumbnails):
                bar.update()
                part = np.ascontiguousarray(views[i][inner, inner])
                if part.std() < MIN_DEVIATION:
                    continue
                for j in candidates[usable[candidates]]:
                    fit = cv2.matchTemplate(others[j], part, cv2.TM_CCOEFF_NORMED).max()
                    if fit >= _SAME:
                        found[i] = copied[j] = True
    return found, copied


def _read_votes(path: Path) -> tuple[pd.Series, NDArray[np.uint8]]:
    """Read fer2013new.csv of FER+: split and (n, 10) votes of the rows of fer2013.csv."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be a table. Received: {error}") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    missing = sorted({"usage", "image name", *FERPLUS_COUNTS} - set(table.columns))
    if missing:
        raise InputError(
            f"{path} must have the columns of FER+. Received: none called {', '.join(missing)}"
        )
    # FER+ names no picture that it threw out; the others bear the number of their row.
    numbers = table["image name"].astype("string").str.extract(r"(\d+)", expand=False)
    named = numbers.notna()
    if (numbers[named].astype(int) != table.index[named]).any():
        raise InputError(f"pictures of {path} must be named by their row. Received: other numbers")
    counts = table[list(FERPLUS_COUNTS)].apply(pd.to_numeric, errors="coerce")
    if not counts.isin(range(256)).all(axis=None):
        raise InputError(f"votes in {path} must be whole numbers 0..255. Received: other cells")
    return table["usage"], counts.to_numpy(np.uint8)


def _gray(frame: NDArray[np.uint8], what: object) -> NDArray[np.uint8]:
    """Return the gray values (s, s) of an RGB picture of FER-2013."""
    height, width = frame.shape[:2]
    if (width, height) != (SIDE_PX, SIDE_PX):
        raise InputError(
            f"pictures of FER-2013 must be {SIDE_PX} x {SIDE_PX} pixels. "
            f"Received: {width} x {height} in {what}"
        )
    if np.ptp(frame, axis=2).max() > MAX_COLOUR:
        raise InputError(f"pictures of FER-2013 must be gray. Received: colours in {what}")
    return frame[..., 1]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _split_folders(source: Path) -> dict[str, Path]:
    """Find the folder of each split, in `source` or in the only folder that is in it."""
    inside = _subfolders(source)
    while len(inside) == 1 and not split_of(inside[0].name):
        inside = _subfolders(inside[0])
    found = {split_of(folder.name) or folder.name: folder for folder in inside}
    if len(found) < len(inside) or not {"train", "test"} <= set(found) <= set(SPLITS):
        raise InputError(
            f"{source} must have the folders train and test, and may have validation. "
            f"Received: {[folder.name for folder in inside]}"
        )
    return found


def _class_of(name: str) -> str | None:
    """Return the class that a folder's name or number stands for."""
    if name.isdecimal() and int(name) < len(CSV_CLASSES):
        return CSV_CLASSES[int(name)]
    found = expression_of(name)
    return found if found in CSV_CLASSES else None


def _list_pictures(source: Path) -> pd.DataFrame:
    """List each picture's `path`, `label` and `folder`, the split whose folder it is in."""
    rows = []
    for split, folder in _split_folders(source).items():
        for kind in _subfolders(folder):
            label = _class_of(kind.name)
            if label is None:
                raise InputError(
                    f"{folder} must have a folder for each of {', '.join(CSV_CLASSES)}. "
                    f"Received: {kind.name}"
                )
            rows += [
                (path, label, split)
                for path in sorted(kind.iterdir())
                if path.suffix.lower() in picture_suffixes() and not path.name.startswith(".")
            ]
    return pd.DataFrame(rows, columns=["path", "label", "folder"])


def _check_splits(pictures: pd.DataFrame, told: pd.Series, advice: str) -> None:
    """Refuse pictures in the folder of another split than the one they are `told` to be of.

    Most copies have both test splits of the challenge, of which we call one validation, in
    one folder.
    """
    folder = pictures["folder"]
    wrong = (told != folder) & ~((told == "validation") & (folder == "test"))
    if wrong.any():
        first = pictures[wrong].iloc[0]
        raise InputError(
            f"names of pictures must fit the folders they are in. Received: "
            f"{first['path'].name}, of split {told[wrong].iloc[0]}, in {first['folder']}. {advice}"
        )


def _splits_in_names(pictures: pd.DataFrame) -> pd.Series | None:
    """Return the split that each picture's name begins with; None where none does."""
    found = pictures["path"].map(lambda path: _NAME_WITH_SPLIT.match(path.name))
    if found.isna().all():
        return None
    told = found.map(lambda match: CSV_SPLITS[match[1]] if match else "none")
    _check_splits(pictures, told, "All names must begin with a split, or none")
    return told


def _rows_in_names(pictures: pd.DataFrame, usage: pd.Series) -> pd.Series:
    """Return the row of fer2013.csv that each picture's name gives."""
    advice = "Give fer2013.csv itself, in whose order the votes are, or leave the votes out"
    found = pictures["path"].map(lambda path: _NAME_WITH_ROW.fullmatch(path.stem))
    numbers = found.map(lambda match: int(match[1]) if match else -1)
    unknown = ~numbers.isin(usage.index) | numbers.duplicated(keep=False)
    if unknown.any():
        raise InputError(
            "for the votes of FER+ pictures must be named by their rows of fer2013.csv, as "
            f"fer0003908.png. Received: {pictures['path'][unknown].iloc[0].name}. {advice}"
        )
    _check_splits(pictures, numbers.map(usage.map(CSV_SPLITS)), advice)
    return numbers


def _open_folder(
    folder: Path, usage: pd.Series | None
) -> tuple[datasets.DatasetDict, tuple[str, ...]]:
    """Read pictures in folders of splits and classes.

    Args:
        folder: with or without a folder around them.
        usage: split of each row of fer2013.csv; None for no column `csv_row`.

    Returns:
        The three splits, and what must be known of how they came about.
    """
    pictures = _list_pictures(folder)
    pixels = "The pictures are the files as they were, which may be JPEG copies of the original."
    if usage is not None:
        pictures["csv_row"] = _rows_in_names(pictures, usage)
        pictures["split"] = pictures["csv_row"].map(usage.map(CSV_SPLITS))
        pictures = pictures.sort_values("csv_row")
        splits = "The splits are those of the challenge; the names of the files give their rows."
    elif (told := _splits_in_names(pictures)) is not None:
        pictures["split"] = told
        splits = "The splits are those of the challenge; the names of the files give them."
    else:
        pictures["split"] = pictures["folder"]
        splits = "The splits are the folders; nothing tells whether they are the challenge's."
        if "validation" not in set(pictures["folder"]):
            splits += (
                " There was none for `validation`, which is a seventh of each class of train; "
                "`test` may hold both test splits of the challenge. Figures cannot be compared "
                "with those on the challenge's own test split."
            )
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=sorted(CSV_CLASSES))
    )
    if usage is not None:
        features["csv_row"] = datasets.Value("int32")
    found = datasets.DatasetDict()
    with tqdm(total=len(pictures), unit=" images", disable=None, desc="files") as bar:
        for name, part in pictures.groupby("split", sort=False):
            columns = {key: part[key].tolist() for key in features if key != "image"}
            columns["image"] = []
            for path in part["path"]:
                content = path.read_bytes()
                try:
                    _gray(read_image(content), path)
                except ImageError as error:
                    raise InputError(f"{path} must be a picture. Received: {error}") from error
                columns["image"].append({"bytes": content, "path": path.name})
                bar.update()
            found[str(name)] = datasets.Dataset.from_dict(columns, features=features)
    if missing := {"train", "test"} - set(found):
        raise InputError(f"{folder} must have pictures of {sorted(missing)}. Received: none")
    return hold_out(found, str(folder)), (pixels, splits)


def _open_rows(csv: Path, votes: Path | None, usage: pd.Series | None) -> datasets.DatasetDict:
    """Read the splits of fer2013.csv, in whose order the votes must be."""
    source, own = open_csv(csv)
    if missing := sorted(set(SPLITS) - set(source)):
        raise InputError(f"{csv} must have all three splits. Received: none of {missing}")
    if usage is not None and list(usage) != list(own):
        raise InputError(
            f"{votes} must have the rows of the other file in its order ({len(own)}, by "
            f"`Usage`). Received: {len(usage)} rows, or other splits"
        )
    return source


def _check_agreement(rows: datasets.Dataset, votes: Path | None) -> None:
    names = tuple(rows.features["label"].names)
    majority = majority_votes(rows, names)
    if majority is None:
        return
    labels = np.asarray(rows["label"], np.int64)
    agreement = (majority == labels)[majority >= 0].mean()
    if not agreement >= _MIN_AGREEMENT:
        raise InputError(
            f"numbers in names of pictures must be their rows of fer2013.csv. Received: names by "
            f"which {votes} agrees with {agreement:.0%} of the labels; 62 % are usual"
        )


def _write_card(
    folder: Path, splits: datasets.DatasetDict, report: pd.DataFrame, notes: tuple[str, ...]
) -> None:
    """Write README.md of a data set: what is in it, for readers and for the Hub."""
    rows = splits["train"]
    sizes = datasets.SplitDict()
    for name, part in splits.items():
        sizes.add(
            datasets.splits.SplitInfo(name, num_bytes=part.data.nbytes, num_examples=len(part))
        )
    info = datasets.DatasetInfo(
        features=rows.features,
        splits=sizes,
        download_size=sum(path.stat().st_size for path in (folder / "data").iterdir()),
        dataset_size=sum(each.num_bytes for each in sizes.values()),
    )
    data = DatasetCardData(
        license="other",
        pretty_name="FER-2013",
        task_categories=["image-classification"],
        tags=["facial-expression-recognition"],
    )
    DatasetInfosDict(default=info).to_dataset_card_data(data)
    has = rows.column_names
    text = _CARD.format(
        with_votes=" with the votes of FER+" if "ferplus_votes" in has else "",
        counts="\n".join(
            f"| {name} | {row.images} | {row.twins} |" for name, row in report.iterrows()
        ),
        classes=", ".join(rows.features["label"].names),
        columns=_ROW_COLUMN * ("csv_row" in has) + _VOTES_COLUMN * ("ferplus_votes" in has),
        notes=" ".join(notes),
    )
    DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}").save(folder / "README.md")


@without_bars()
def prepare_fer2013(source: Path, target: Path, votes: Path | None = None) -> pd.DataFrame:
    """Write a data set with labels, FER+ votes and marks of what has a twin in training.

    Args:
        source: fer2013.csv of the challenge; or a folder with the folders train, test and
            perhaps validation, each with a folder a class.
        target: new folder for Parquet files and a README.md, which `datasets.load_dataset`
            reads and which can be uploaded to the Hub as it is.
        votes: fer2013new.csv of FER+, https://github.com/microsoft/FERPlus, in the order of
            the rows of fer2013.csv, so pictures of a folder must be named by them; None for
            no column `ferplus_votes`.

    Returns:
        For each split the number of `images`, and of `twins`: images of the training split
        with a copy in another one, images of the others with a copy in training.

    Raises:
        InputError: a file is not what it should be, or `target` is there.
    """
    if target.exists():
        raise InputError(f"{target} must be a new folder. Received: something of that name")
    usage, counts = (None, None) if votes is None else _read_votes(votes)
    if source.is_dir():
        found, notes = _open_folder(source, usage)
    else:
        found = _open_rows(source, votes, usage)
        notes = ("Pixels, labels and splits are those of fer2013.csv.",)
    images = {
        name: np.stack([_gray(image_to_frame(image), source) for image in found[name]["image"]])
        for name in SPLITS
    }
    splits = datasets.DatasetDict()
    if counts is not None:
        for name in SPLITS:
            rows = found[name]
            found[name] = rows.add_column("ferplus_votes", counts[rows["csv_row"]].tolist())
        if source.is_dir():
            _check_agreement(found["train"], votes)
    twin = {name: np.zeros(len(images[name]), np.bool_) for name in SPLITS}
    for name in ("validation", "test"):
        twin[name], copied = find_copies(images[name], images["train"])
        twin["train"] |= copied
    report = pd.DataFrame(
        {
            "images": {name: len(twin[name]) for name in SPLITS},
            "twins": {name: int(twin[name].sum()) for name in SPLITS},
        }
    )
    # A folder that is there is whole.
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as part:
        folder = Path(part) / target.name
        (folder / "data").mkdir(parents=True)
        for name in SPLITS:
            splits[name] = found[name].add_column("cross_split_twin", twin[name].tolist())
            splits[name].to_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"))
        _write_card(folder, splits, report, notes)
        folder.rename(target)
    return report
