"""Score a model on folders of labelled pictures, from the detector to the answer."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from fer.classify import Classifier, decide
from fer.crop import crop_faces
from fer.detect import Detector
from fer.errors import ImageError, InputError
from fer.geometry import crop_side_px
from fer.hub import LITERT_NAME, load_detector, load_folder
from fer.image import read_image
from fer.pool import prefetch
from fer.preprocess import to_model_input
from fer.text import counted, one_line
from train.data.listing import no_picture, walk
from train.data.names import expression_of
from train.measure.figures import mean_recall

__all__ = ["format_folder", "measure_folder", "parse_folder"]

# In results/: a file a model and folder.
FOLDERS_FOLDER = "folders"
# Files of a kind that a terminal is shown; the file of the figures names all.
_SHOWN = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def parse_folder(text: str) -> tuple[str, Path]:
    """Return name and path of "NAME=PATH".

    Raises:
        InputError: it is something else, the name is no file name, or there is no such folder.
    """
    name, found, path = text.partition("=")
    if not found or not _NAME.fullmatch(name):
        raise InputError(
            "a folder must be NAME=PATH, the name of letters, digits, '.', '_' and '-'. "
            f"Received: {text!r}"
        )
    if not Path(path).is_dir():
        raise InputError(f"the path of {name} must be a folder. Received: {path!r}")
    return name, Path(path)


def _class_of(folder: str, class_names: tuple[str, ...]) -> str | None:
    """Return the model's class that a folder's name stands for; leading numbers are ignored."""
    word = re.sub(r"^[\d\W_]+", "", folder).casefold()
    names = {name.casefold(): name for name in class_names}
    return names.get(word) or names.get(expression_of(folder) or "")


@dataclass(frozen=True)
class _Found:
    """The files under a folder, each in one of three lists.

    Attributes:
        path: the folder.
        mapping: the class of each folder in it; None for a folder of none.
        pictures: in the folder of a class.
        unused: files that are no pictures, with the reason of `train.data.listing.no_picture`.
        without_class: all other files.
    """

    path: Path
    mapping: dict[str, str | None]
    pictures: list[Path]
    unused: dict[Path, str]
    without_class: list[Path]

    def shown(self, file: Path) -> str:
        """Return the file's path in the folder; a byte that is no UTF-8 becomes a question mark."""
        return one_line(str(file.relative_to(self.path)))

    def class_of(self, file: Path) -> str:
        """Return the class of a picture."""
        return self.mapping[file.relative_to(self.path).parts[0]] or ""


def _sort(name: str, path: Path, class_names: tuple[str, ...]) -> _Found:
    reasons = {file: no_picture(file, path) for file in walk(path)}
    unused = {file: reason for file, reason in reasons.items() if reason}
    tops = sorted(
        {
            file.relative_to(path).parts[0]
            for file, reason in reasons.items()
            if file.parent != path and reason != "hidden files"
        }
    )
    mapping = {top: _class_of(top, class_names) for top in tops}
    if not any(mapping.values()):
        raise InputError(
            f"{name} must have a folder a class, for some of {class_names} at least. "
            f"Received: {tops}"
        )
    found = _Found(path, mapping, [], unused, [])
    for file in (file for file, reason in reasons.items() if not reason):
        if file.parent == path or mapping[file.relative_to(path).parts[0]] is None:
            found.without_class.append(file)
        else:
            found.pictures.append(file)
    return found


@dataclass(frozen=True)
class _Outcome:
    """What became of one picture.

    Attributes:
        logits: (k,) of the labels' head for the largest face; None without one.
        n_faces: how many were found.
        error: why the file cannot be read; empty where it can.
    """

    logits: NDArray[np.float32] | None = None
    n_faces: int = 0
    error: str = ""


def _look(path: Path, detector: Detector, classifier: Classifier) -> _Outcome:
    try:
        frame = read_image(path)
    except ImageError as error:
        return _Outcome(error=str(error).replace(str(path), path.name))
    faces = detector(frame)
    if not len(faces):
        return _Outcome()
    largest = faces[[int(np.argmax(crop_side_px(faces.xyxy, 1.0)))]]
    crops = crop_faces(frame, largest, classifier.config)
    batch = to_model_input(crops, classifier.config)
    return _Outcome(classifier.head_logits(batch)["labels"][0], len(faces))


def _look_at_all(
    found: _Found, detector: Detector, classifier: Classifier
) -> list[tuple[Path, _Outcome]]:
    """Return every picture with its outcome, on as many threads as there are cores."""
    n_threads = os.cpu_count() or 1
    look = partial(_look, detector=detector, classifier=classifier)
    seen = prefetch(look, found.pictures, n_threads, 2 * n_threads)
    outcomes = tqdm(
        seen, total=len(found.pictures), desc=found.path.name, unit=" pictures", disable=None
    )
    return list(zip(found.pictures, outcomes, strict=True))


def _list_unmeasured(found: _Found, pairs: list[tuple[Path, _Outcome]]) -> dict[str, Any]:
    """Name the files that are not measured, by the reason."""
    return {
        "no_face": [
            found.shown(file) for file, each in pairs if each.logits is None and not each.error
        ],
        "unreadable": {found.shown(file): each.error for file, each in pairs if each.error},
        "not_used": {found.shown(file): reason for file, reason in found.unused.items()},
        "no_class": [found.shown(file) for file in found.without_class],
    }


def _count_files(n_measured: int, apart: dict[str, Any]) -> dict[str, int]:
    """Count all files, those that are measured, and the others by the reason."""
    counts = {"measured": n_measured, **{kind: len(files) for kind, files in apart.items()}}
    return {"all": sum(counts.values()), **counts}


def measure_folder(
    model: Path,
    name: str,
    path: Path,
    results: Path,
    detector: str | None = None,
    show: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure a model on the pictures of a folder, and write the figures.

    The folders in `path` are the classes, by the model's names or words for them; the largest face
    of each picture counts. Balanced accuracy is over the classes that are there.

    Args:
        model: folder with fer.json and model.tflite.
        name: of the folder, for people and the file's name; the path is written nowhere.
        path: the folder.
        results: folder to write `FOLDERS_FOLDER/<recipe>_<name>.json` in.
        detector: see `fer.hub.load_detector`.
        show: called with the class of each folder, for people, before the pictures are read.

    Returns:
        The content of the file. `files` counts every file by what became of it, `mapping` says the
        class of each folder, `decisions` has `accuracy`, `balanced_accuracy` (percent), `recall`
        and `confusion_matrix` (a row a label) for each decision of the model.

    Raises:
        InputError: no folder stands for a class of the model, or no face was found.
        ConfigError: `model` is not usable.
        HubError: the named detector is unavailable.
        DetectorError: it cannot be built.
    """
    classifier, finder = load_folder(model), load_detector(detector)
    config = classifier.config
    found = _sort(name, path, config.class_names)
    show(f"{name}: {_mapped(found.mapping)}")
    pairs = _look_at_all(found, finder, classifier)
    measured = [(file, each) for file, each in pairs if each.logits is not None]
    if not measured:
        raise InputError(
            f"{name} must have pictures with a face. Received: "
            f"{counted(len(pairs), 'pictures')}, none with a face that {finder.title} finds"
        )
    labels = np.array([config.class_names.index(found.class_of(file)) for file, _ in measured])
    logits = np.stack([each.logits for _, each in measured if each.logits is not None])
    apart = _list_unmeasured(found, pairs)
    report = {
        "folder": name,
        "recipe": config.recipe,
        "file": LITERT_NAME,
        "sha256": config.files[LITERT_NAME],
        "detector": finder.title,
        "class_names": list(config.class_names),
        "mapping": found.mapping,
        "files": _count_files(len(measured), apart),
        "several_faces": sum(each.n_faces > 1 for _, each in measured),
        "decision": config.decision,
        "decisions": {
            each: _figures(decide(logits, decision).argmax(axis=1), labels, config.class_names)
            for each, decision in config.head("labels").decisions.items()
        },
        **apart,
    }
    out = results / FOLDERS_FOLDER / f"{config.recipe}_{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _mapped(mapping: dict[str, str | None]) -> str:
    """Return the folders of each class in a line, for people."""
    folders: dict[str | None, list[str]] = {}
    for folder, name in mapping.items():
        folders.setdefault(name, []).append(one_line(folder))
    named = [f"{name} from {', '.join(found)}" for name, found in folders.items() if name]
    others = folders.get(None)
    return "; ".join([*named, *([f"of no class: {', '.join(others)}"] if others else [])])


def _figures(
    answers: NDArray[np.int64], labels: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, Any]:
    """Return accuracy, recall (percent) and confusion matrix of answers (n,)."""
    table = confusion_matrix(labels, answers, labels=np.arange(len(names)))
    recall = [
        round(100 * float(hits / n_images), 2) if n_images else None
        for hits, n_images in zip(np.diag(table), table.sum(axis=1), strict=True)
    ]
    return {
        "accuracy": round(100 * float((answers == labels).mean()), 2),
        "balanced_accuracy": round(100 * mean_recall(table), 2),
        "recall": dict(zip(names, recall, strict=True)),
        "confusion_matrix": table.tolist(),
    }


def format_folder(report: dict[str, Any]) -> str:
    """Return the figures of `measure_folder` as text for a terminal."""
    files = dict(report["files"])
    total = files.pop("all")
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in files.items())
    lines = [
        f"{report['recipe']} ({report['file']}) on {report['folder']}, {report['detector']}",
        "",
        f"{counted(total, 'files')}: {kinds}; {report['several_faces']} with several faces",
    ]
    missing = [
        name
        for name, recall in next(iter(report["decisions"].values()))["recall"].items()
        if recall is None
    ]
    lines += [f"without pictures: {', '.join(missing)}"] if missing else []
    for name, figures in report["decisions"].items():
        served = " (served)" if name == report["decision"] else ""
        lines += [
            "",
            f"{name}{served}: accuracy {figures['accuracy']:.2f} %, balanced accuracy "
            f"{figures['balanced_accuracy']:.2f} %",
            f"{'label, answer':13}" + "".join(f"{each[:8]:>9}" for each in report["class_names"]),
        ]
        for label, row in zip(report["class_names"], figures["confusion_matrix"], strict=True):
            if any(row):
                recall = figures["recall"][label]
                cells = "".join(f"{count:9}" for count in row)
                lines.append(f"{label[:12]:13}{cells}  recall {recall:.2f}")
    lines += _named("no face", report["no_face"])
    for reason, count in Counter(report["not_used"].values()).items():
        first = next(file for file, why in report["not_used"].items() if why == reason)
        lines += ["", f"not used: {counted(count, reason)}, as {first}"]
    counts = Counter(file.rpartition("/")[0] or "." for file in report["no_class"])
    lines += [""] if counts else []
    lines += [
        f"no class: {counted(count, 'files')} in {folder}" for folder, count in counts.items()
    ]
    lines += _named(
        "unreadable", [f"{file}: {reason}" for file, reason in report["unreadable"].items()]
    )
    return "\n".join(lines)


def _named(kind: str, files: list[str]) -> list[str]:
    """Return a line for each of the first files and one for the rest, after an empty one."""
    if not files:
        return []
    more = len(files) - _SHOWN
    return [
        "",
        *(f"{kind}: {file}" for file in files[:_SHOWN]),
        *([f"{kind}: and {more} more, in {FOLDERS_FOLDER}/ of the results"] if more > 0 else []),
    ]
