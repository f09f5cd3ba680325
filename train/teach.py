"""Compute the logits of teachers on the views of a recipe once, and keep them in files.

Then a pupil's training step does not run a teacher, however large and slow the teacher is.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer.errors import InputError
from fer.types import ModelConfig
from train.augment import apply_view
from train.data.dataset import OpenDataset
from train.material import Material, config_of, load_material
from train.model import head_logits, jit_compile, load_model
from train.recipes import Recipe
from train.views import ViewKey, draw_view, plan_views, still

__all__ = [
    "RECORD_NAME",
    "TeacherLogits",
    "batches",
    "named_file",
    "read_record",
    "teach",
    "teach_all",
]

# Which teacher, recipe and images the files of a folder are for.
RECORD_NAME = "teacher.json"
_VALIDATION = "validation"
# What a view follows from, besides its key and the number of images.
_VIEW_FIELDS = (
    *("seed", "batch_size", "flip", "rotation", "zoom", "translation", "shear"),
    *("mix", "mixup", "cutmix"),
)


def named_file(path: Path) -> dict[str, str]:
    """Return a file by its name and sha256, for a record."""
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def batches(n_images: int, batch_size: int) -> Iterator[slice]:
    """Yield the batches of an epoch as slices of its order; the last one may be smaller."""
    return (slice(at, min(at + batch_size, n_images)) for at in range(0, n_images, batch_size))


@dataclass(frozen=True)
class TeacherLogits:
    """The logits of one or more teachers on the views of a recipe.

    Attributes:
        folders: that `teach` wrote.
        n_logits: of an image: those of both heads where all teachers have both, else of labels.
    """

    folders: tuple[Path, ...]
    n_logits: int

    @classmethod
    def open(cls, folders: Sequence[Path], recipe: Recipe, material: Material) -> "TeacherLogits":
        """Check that the files are for this recipe and data.

        Raises:
            InputError: they are for others, or some are missing.
        """
        widths = []
        for folder in folders:
            noted = read_record(folder)
            if changed := _changed(noted, _made_for(recipe, material)):
                raise InputError(
                    f"{folder} must hold logits for this recipe and data set. Received: others, "
                    f"by {', '.join(changed)}"
                )
            missing = [key for key in _keys(recipe) if not _file(folder, key).is_file()]
            if missing:
                raise InputError(
                    f"{folder} must hold all views of {recipe.name}: run `python -m train teach` "
                    f"again. Missing: {len(missing)}"
                )
            widths.append(sum(noted["heads"]))
        n_classes = len(material.config.class_names)
        both = material.n_votes and all(width > n_classes for width in widths)
        return cls(tuple(folders), n_classes + (material.n_votes if both else 0))

    def accuracy(self, material: Material) -> float:
        """Return the accuracy of all teachers together on validation without twins, 0..1."""
        n_classes = len(material.config.class_names)
        found = self.of(None)[:, :n_classes].argmax(axis=1)
        return float((found == material.validation.labels).mean())

    def of(self, key: ViewKey | None) -> NDArray[np.float32]:
        """Return the mean logits (n, n_logits) of a view, in its order; None for validation."""
        parts = [np.load(_file(folder, key))[:, : self.n_logits] for folder in self.folders]
        mean: NDArray[np.float32] = np.mean(np.asarray(parts, np.float32), axis=0)
        return mean


def _file(folder: Path, key: ViewKey | None) -> Path:
    return folder / f"{_VALIDATION if key is None else key}.npy"


def _keys(recipe: Recipe) -> list[ViewKey | None]:
    """Return what a teacher is run on: validation unchanged, then each view once."""
    return [None, *dict.fromkeys(plan_views(recipe))]


def read_record(folder: Path) -> dict[str, Any]:
    """Read which teacher and images the logits in a folder are for: `teacher`, `heads`, ...

    Raises:
        InputError: `teach` did not write it.
    """
    path = folder / RECORD_NAME
    try:
        noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} must be a folder that `teach` wrote. Received: {error}"
        ) from error
    return noted


def _changed(noted: dict[str, Any], made: dict[str, Any]) -> list[str]:
    """Return the keys of `made` that a file has otherwise."""
    return sorted(key for key, value in made.items() if noted.get(key) != value)


def _made_for(recipe: Recipe, material: Material) -> dict[str, Any]:
    return {
        "views": {name: getattr(recipe, name) for name in _VIEW_FIELDS},
        "images_sha256": material.chosen_sha256,
    }


def teach(
    recipe: Recipe,
    teacher: Path,
    dataset: OpenDataset,
    out: Path,
    config: ModelConfig,
    views: bool = True,
) -> float:
    """Write the logits of `teacher` on all views of `recipe` into `out`.

    Existing files are kept, so that an interrupted run resumes.

    Args:
        recipe: of the pupil.
        teacher: a .keras file from float32 (n, t, t, c) in [0, 255] to logits, of any
            architecture, with one head or both.
        dataset: with the pupil's images.
        out: folder to write; made if missing.
        config: of the pupil; its images are enlarged to the teacher's side t.
        views: whether to compute the views of the training images, too; else validation alone.

    Returns:
        Its accuracy on the validation images without a twin, 0..1.

    Raises:
        InputError: the teacher or the data set is not usable, or `out` holds other logits.
    """
    network = load_model(teacher, "a teacher")
    side = network.input_shape[1] or config.input_size
    material = load_material(recipe, dataset, replace(config, input_size=side))
    heads = [logits.shape[1] for logits in head_logits(network.output)]
    _check_heads(teacher, network.input_shape[3], heads, material)
    made = {"teacher": named_file(teacher), "heads": heads, **_made_for(recipe, material)}
    if (out / RECORD_NAME).is_file() and (changed := _changed(read_record(out), made)):
        raise InputError(f"{out} must be new. Received: other logits, by {', '.join(changed)}")
    out.mkdir(parents=True, exist_ok=True)
    (out / RECORD_NAME).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    on_views = _with_views(network)
    keys = _keys(recipe) if views else [None]
    for key in tqdm(keys, desc=f"views for {teacher.stem}", unit=" views", disable=None):
        if not (path := _file(out, key)).is_file():
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, _logits(on_views, recipe, material, key).astype(np.float16))
            part.replace(path)
    logits = np.load(_file(out, None))[:, : heads[0]]
    return float((logits.argmax(axis=1) == material.validation.labels).mean())


def _check_heads(path: Path, channels: int, heads: list[int], material: Material) -> None:
    config = material.config
    wanted = [len(config.class_names), material.n_votes or heads[-1]][: len(heads)]
    if (channels, heads) != (config.channels, wanted):
        raise InputError(
            f"the teacher {path} must have {config.channels} channels and {wanted} classes. "
            f"Received: {channels} and {heads}"
        )


def _with_views(network: keras.Model) -> keras.Model:
    """Build a model from images, moves and masks to the logits of all heads, side by side."""
    pixels = keras.Input(network.input_shape[1:])
    moves, masks = keras.Input((6,)), keras.Input((5,))
    images, _ = apply_view(pixels, keras.ops.zeros_like(masks), moves, masks)
    logits = head_logits(network(images))
    joined = keras.ops.concatenate(logits, axis=1) if len(logits) > 1 else logits[0]
    model = keras.Model([pixels, moves, masks], joined)
    model.compile(jit_compile=jit_compile())
    return model


def _logits(
    on_views: keras.Model, recipe: Recipe, material: Material, key: ViewKey | None
) -> NDArray[np.float32]:
    """Return the logits (n, m) on a view, in its order; None for validation as it is."""
    if key is None:
        images, view = material.validation.images, still(len(material.validation.labels))
    else:
        images, view = material.train.images, draw_view(recipe, key, len(material.train.labels))
    return np.concatenate(
        [
            on_views.predict_on_batch(
                [
                    images[view.order[rows]].astype(np.float32),
                    view.moves[rows],
                    view.masks[rows],
                ]
            )
            for rows in batches(len(view.order), recipe.batch_size)
        ]
    )


def teach_all(
    recipe: Recipe,
    teachers: Sequence[Path],
    dataset: OpenDataset,
    out: Path,
    views: bool = True,
) -> dict[str, float]:
    """Write the logits of each teacher into a folder of its name below `out`.

    Args:
        recipe: of the pupil.
        teachers: files, see `teach`.
        dataset: with the pupil's images.
        out: folder to write; made if missing.
        views: whether to compute the views of the training images, too; else validation alone.

    Returns:
        The accuracy of each on the validation images without a twin, and of `all` together.

    Raises:
        InputError: as `teach`.
    """
    config = config_of(recipe, dataset)
    folders = [out / path.stem for path in teachers]
    found = {
        folder.name: teach(recipe, path, dataset, folder, config, views)
        for folder, path in zip(folders, teachers, strict=True)
    }
    material = load_material(recipe, dataset, config)
    together = TeacherLogits(tuple(folders), len(config.class_names))
    return {**found, "all": together.accuracy(material)}
