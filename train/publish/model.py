"""The files of a model repository: weights in every format, card, figures, the family."""

import hashlib
import io
import logging
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import ModelCard

from fer.errors import ConfigError, InputError
from fer.gallery import (
    HUB_FOLDER,
    INT8_NAME,
    TABLE_NAME,
    Entry,
    bundled_sha256,
    check_config,
    read_table,
)
from fer.hub import KERAS_NAME, LITERT_NAME, WEIGHTS_FOLDER, load_folder
from fer.types import CONFIG_NAME, ModelConfig
from train.measure.report import MODELS_FOLDER, read_int8
from train.publish.card import NO_NAME, format_card, read_report
from train.publish.files import (
    LICENCE,
    README_NAME,
    RESULTS,
    ROOT,
    Files,
    local_links,
    read_file,
)
from train.recipes import TRAINING_NAME

__all__ = ["gallery_files", "log_progress", "model_files"]

log = logging.getLogger(__name__)

# The tables that the figures of a card come from, besides the report of its recipe.
_TABLES = ("results.csv", "contrast.csv", "framing.csv", "speed.csv")
# Source: Goodfellow et al. 2013, arXiv:1307.0414, section 2.2: the private test set.
_N_FER2013_TEST = 3589
_CITATION = "CITATION.cff"


def log_progress(text: str) -> None:
    """Log what takes long."""
    log.info("%s", text)


def _read_card(
    config: ModelConfig, report: dict[str, Any], results: Path, card: Path | None, repo_id: str
) -> str:
    """Return the card of exactly these weights: `card`, or one written from the figures."""
    sha256 = config.files[LITERT_NAME]
    if card is not None:
        text = read_file(card).decode()
        if sha256 not in text:
            raise InputError(
                f"{card} must be the card of these weights and name the sha256 of {LITERT_NAME}, "
                f"{sha256}. Received: a text without it"
            )
        return text.replace(NO_NAME, repo_id)
    of_fer2013 = set(ModelConfig.read(WEIGHTS_FOLDER).class_names)
    n_images = report["full"]["n_images"]
    if set(report["class_names"]) != of_fer2013 or n_images != _N_FER2013_TEST:
        raise InputError(
            "the card that is written from figures is about FER-2013. For other data write one "
            f"of your own that names the sha256 of {LITERT_NAME}, {sha256}, and give it with "
            f"--card. Received: {n_images} test images of {report['class_names']}"
        )
    return format_card(report, config, results, repo_id)


def _result_names(card: str, recipe: str, results: Path) -> list[str]:
    """List the files of `results` that a card is made of or links to."""
    folder = f"{RESULTS}/"
    linked = [link.removeprefix(folder) for link in local_links(card) if link.startswith(folder)]
    # A picture is drawn from the JSON file next to it.
    drawn_from = [PurePosixPath(name).with_suffix(".json").name for name in linked]
    names = dict.fromkeys([f"{recipe}.json", *linked, *drawn_from, *_TABLES])
    return [name for name in names if (results / name).is_file()]


def _format_contents(
    weights: Path, config: ModelConfig, report: dict[str, Any], progress: Callable[[str], None]
) -> Files:
    """Read every format of the weights, converting those that are missing."""
    from train.export import FORMATS, format_file

    measured = {row["format"]: row["sha256"] for row in report["formats"]}
    contents = {}
    with tempfile.TemporaryDirectory() as made:
        for form in FORMATS.values():
            if form.file not in config.files:
                progress(f"making {form.file} from {weights / KERAS_NAME}")
            try:
                path = format_file(form, weights, Path(made), None)
            except InputError as error:
                raise InputError(
                    f"{form.file} must be in {weights}, as `python -m train export` writes it, "
                    "or FER_DATASET must name the data that the weights were trained on. "
                    f"Received: {error}"
                ) from error
            content = read_file(path)
            received = hashlib.sha256(content).hexdigest()
            for source, expected in (
                (weights / CONFIG_NAME, config.files.get(form.file)),
                (f"{RESULTS}/{config.recipe}.json", measured.get(form.name)),
            ):
                if expected not in (None, received):
                    raise ConfigError(
                        f"{form.file} must have sha256 {expected}, as {source} says. Received: "
                        f"{received}. What is converted with the versions of "
                        "requirements-train.txt has the same each time; `python -m train "
                        "evaluate` measures it anew"
                    )
            contents[form.file] = content
    return contents


def _keras_layout(content: bytes) -> Files:
    """Unpack a .keras file into what `keras.saving.load_model("hf://...")` reads."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}


def gallery_files(results: Path, flagship: str) -> Files:
    """Return the models of other recipes, which the page shows; none where there are none.

    Args:
        results: folder that they are in.
        flagship: sha256 of the model.tflite that is published.

    Raises:
        ConfigError: a model is not usable, or not the one that was measured.
        InputError: a file is missing.
    """
    folder = results / MODELS_FOLDER
    if not folder.is_dir():
        return {}
    table = read_file(folder / TABLE_NAME)
    files = {TABLE_NAME: table}
    at_hand = {flagship, bundled_sha256()}  # the page has them without a folder here
    for entry in read_table(table):
        if entry.sha256 in at_hand:
            continue
        contents = _gallery_model(folder / entry.recipe, entry, results)
        files |= {f"{entry.recipe}/{name}": content for name, content in contents.items()}
    return {f"{HUB_FOLDER}/{name}": content for name, content in files.items()}


def _gallery_model(folder: Path, entry: Entry, results: Path) -> Files:
    """Return configuration and network of one of them."""
    config = ModelConfig.read(folder)
    content = read_file(folder / INT8_NAME)
    sources = [(str(folder / CONFIG_NAME), check_config(config, entry))]
    report = results / f"{entry.recipe}.json"
    if report.is_file():
        sources.append((str(report), read_int8(report)["sha256"]))
    received = hashlib.sha256(content).hexdigest()
    for source, expected in sources:
        if expected != received:
            raise ConfigError(
                f"{folder / INT8_NAME} must have sha256 {expected}, as {source} says. Received: "
                f"{received}. `python -m train evaluate` writes both anew"
            )
    only = replace(config, files={INT8_NAME: received})
    return {CONFIG_NAME: only.to_json().encode(), INT8_NAME: content}


def model_files(
    repo_id: str,
    weights: Path = WEIGHTS_FOLDER,
    results: Path = ROOT / RESULTS,
    dataset_id: str | None = None,
    card: Path | None = None,
    progress: Callable[[str], None] = log_progress,
) -> Files:
    """Return the content of a model repository by path.

    Args:
        repo_id: its name, which the card's examples get.
        weights: folder with fer.json, model.tflite and model.keras; formats that it lacks
            are converted from the last.
        results: folder where `train.measure.evaluate.evaluate` wrote the figures of these weights,
            and in `models` those that `fer.gallery` shows with them, if any.
        dataset_id: data set of the Hub that they were trained on, for the metadata.
        card: the model card, which must name the sha256 of model.tflite. Written from
            `results` when None.
        progress: called with a message before what takes long.

    Raises:
        ConfigError: the weights are not usable, or a format, or a model to show with
            them, is not the one that was measured.
        InputError: figures or card are missing or about other weights, or the card links to
            a file that is not published.
    """
    config = load_folder(weights).config
    report = read_report(config, weights, results)
    text = _read_card(config, report, results, card, repo_id)
    shown = _result_names(text, config.recipe, results)
    contents = _format_contents(weights, config, report, progress)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    files = {
        LICENCE: read_file(ROOT / LICENCE),
        CONFIG_NAME: replace(config, files=hashes).to_json().encode(),
        **contents,
        **_keras_layout(contents[KERAS_NAME]),
        **{f"{RESULTS}/{name}": read_file(results / name) for name in shown},
        **gallery_files(results, hashes[LITERT_NAME]),
    }
    for path in (ROOT / _CITATION, weights / TRAINING_NAME):
        if path.is_file():
            files[path.name] = read_file(path)
    if dead := sorted(set(local_links(text)) - set(files)):
        raise InputError(
            f"{card or 'the card'} must link to addresses and to published files only. Received: "
            f"links to {', '.join(dead)}"
        )
    if dataset_id is not None:
        try:
            model_card = ModelCard(text)
        except ValueError as error:
            raise InputError(f"the card must have metadata in YAML. Received: {error}") from error
        model_card.data["datasets"] = [dataset_id]
        text = str(model_card)
    return dict(sorted((files | {README_NAME: text.encode()}).items()))
