"""Small data sets of every kind that training reads, and a recipe for them."""

from zlib import crc32

import datasets
import numpy as np
from PIL import Image

from tests.conftest import noise
from train.recipes import Phase, Recipe

# `python -m train` without the export, which refuses networks that learned for a few steps only.
FIT_WITHOUT_EXPORT = """
import sys
from types import SimpleNamespace
import train.export
train.export.export = lambda *_, **__: SimpleNamespace(temperature=1.0)
from train.__main__ import main
sys.argv[0] = "fit"
main()
"""


def toy_recipe(**choices):
    """One epoch at 32 pixels, without dropout."""
    return Recipe(**{"name": "toy", "phases": (Phase(32, 1),), "dropout": 0.0, **choices})


def make_dataset(folder, n=24, classes=("dark", "bright"), splits=("train", "validation", "test")):
    """A Parquet repository of 48-pixel gray images: the second class is brighter."""
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=list(classes)),
        cross_split_twin=datasets.Value("bool"),
    )
    (folder / "data").mkdir(parents=True)
    for number, split in enumerate(splits):
        rows = {"image": [], "label": [], "cross_split_twin": []}
        for i in range(n):
            label = i % len(classes)
            pixels = noise(48, 48, seed=1000 * number + i)[..., 0] // 2 + 127 * (label > 0)
            rows["image"].append(Image.fromarray(pixels.astype(np.uint8)))
            rows["label"].append(label)
            rows["cross_split_twin"].append(i % 4 == 3)
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))
    return str(folder)


def make_folder(folder, n=30, classes=("calm", "wild")):
    """Pictures in a folder a class, without splits; others in a folder of another name."""
    first = crc32(folder.name.encode()) % 2**31
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = noise(60, 60, seed=first + 100 * number + i) // 2 + 127 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return str(folder)


def fer_csv(path, usages, n=12):
    """fer2013.csv in small: emotion i has gray value 30 i."""
    rows = ["emotion, Usage, pixels"]
    for usage in usages:
        for i in range(7 * n):
            rows.append(f"{i % 7},{usage}," + " ".join([str(30 * (i % 7))] * 48 * 48))
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def save_two_heads(path, n_classes):
    """A network of 16 px with random weights, `n_classes` labels and FER+'s eight votes."""
    import keras

    keras.utils.set_random_seed(0)
    layers, draw = keras.layers, keras.initializers.RandomNormal
    pixels = keras.Input((16, 16, 1), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    heads = {"labels": n_classes, "votes": 8}
    made = {k: layers.Dense(n, kernel_initializer=draw(stddev=6.0))(x) for k, n in heads.items()}
    keras.Model(pixels, made).save(path)
