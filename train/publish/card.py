"""Model card, and the figures of docs/ and README, from results/: none is typed by hand.

The text of the card and the layout of its tables are in templates/card.md, the examples that use
published weights in templates/reuse.md.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from huggingface_hub import EvalResult, ModelCardData

from fer.errors import InputError
from fer.hub import LITERT_NAME, WEIGHTS_FOLDER
from fer.types import ModelConfig
from train.calibrate import BALANCE_STRENGTH
from train.measure.report import (
    MODELS_FOLDER,
    PARTS,
    load_json,
    load_probe,
    missing_classes,
    plot_names,
    resting_file,
    subgroup_files,
)
from train.measure.robustness import CORRUPTIONS
from train.publish.render import fixed, render_template
from train.recipes import FAMILY, NO_TWINS, get_recipe

__all__ = [
    "NO_NAME",
    "fill_figures",
    "format_card",
    "format_figures",
    "format_steps",
    "format_summary",
    "read_report",
    "write_cards",
]

# Stands for the repository where its name is not known.
NO_NAME = "<you>/fer-mobilenetv2"
_TITLES = {corruption.name: corruption.title for corruption in CORRUPTIONS}
# Watts by a part of the device's name; the first that fits counts.
# Source: the board power of NVIDIA's data sheets (SXM); for a processor an assumption, the
# usual limit of a desktop's.
_ASSUMED_WATTS = {"h100": 700, "h200": 700, "cpu": 65}
# What each run of docs/trials.md changed, compared with the one before it or the one it names.
_STEPS = {
    "mobilenetv2-64": "MobileNetV2 from ImageNet, {epochs} epochs at 64 px; FER+ votes are a third "
    "of the target",
    f"mobilenetv2-64{NO_TWINS}": "the same without training images that validation or test "
    "has a copy of",
    "cbam": "`mobilenetv2-64` with attention over channels and positions",
    "mobilenetv2-96": "{epochs} epochs, most of them at 96 px",
    "mobilenetv2-96-distilled": "{epochs} more, taught by it and by another MobileNetV2; mixed "
    "images, noise and blur",
    "mobilenetv2-96-born-again": "{epochs} more, taught by that one and the other; rare classes "
    "are no longer repeated",
    "mobilenetv2-96-two-heads": "{epochs} more: the votes have a head of their own and leave the "
    "labels' targets; a third teacher, of another kind; pictures degraded as by a poor camera",
}


# The network before the flagship, with which docs/trials.md compares it.
_START = "mobilenetv2-96-born-again"


def _overall_table(report: dict[str, Any]) -> str:
    lines = [
        "| FER-2013 test | images | top-1 (95 % interval) | macro F1 (95 % interval) | ECE |",
        "|---|---|---|---|---|",
    ]
    for part, title in PARTS.items():
        row = report[part]
        top1, f1 = row["interval_95"]["top1"], row["interval_95"]["macro_f1"]
        lines.append(
            f"| {title} | {row['n_images']} "
            f"| {fixed(row['top1'], 2)} % ({fixed(top1[0], 2)} to {fixed(top1[1], 2)}) "
            f"| {fixed(row['macro_f1'] / 100, 3)} "
            f"({fixed(f1[0] / 100, 3)} to {fixed(f1[1] / 100, 3)}) "
            f"| {fixed(row['ece'], 3)} |"
        )
    lines += [line for note in missing_classes(report) for line in ("", f"{note}.")]
    return "\n".join(lines)


def _has_images(row: dict[str, Any]) -> bool:
    """Return whether the test images have some of a class; reports of old do not say."""
    return row.get("n_images") != 0


def _images(row: dict[str, Any]) -> str:
    return str(row["n_images"]) if _has_images(row) else "no pictures"


def _f1(row: dict[str, Any]) -> str:
    if not _has_images(row):
        return "-"
    low, high = row["f1_interval_95"]
    return f"{fixed(row['f1'] / 100, 3)} ({fixed(low / 100, 3)} to {fixed(high / 100, 3)})"


def _class_table(report: dict[str, Any]) -> str:
    lines = [
        "| class | precision | recall | F1 (95 % interval) | images "
        "| F1 without twins (95 % interval) | images |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in report["full"]["classes"].items():
        fresh = report["twin_free"]["classes"][name]
        shares = f"{fixed(row['precision'], 1)} % | {fixed(row['recall'], 1)} %"
        lines.append(
            f"| {name} | {shares if _has_images(row) else '- | -'} "
            f"| {_f1(row)} | {_images(row)} | {_f1(fresh)} | {_images(fresh)} |"
        )
    return "\n".join(lines)


def _plots(report: dict[str, Any]) -> dict[str, str]:
    """Return the pictures that were drawn with the report, as links from the repository's root."""
    return {name: f"results/{file}" for name, file in plot_names(report).items()}


def format_figures(report: dict[str, Any]) -> str:
    """Format the figures of docs/accuracy.md from what `train.measure.evaluate.evaluate` wrote."""
    pictures = ", ".join(f"[{name}](../{path})" for name, path in _plots(report).items())
    full = report["full"]
    return "\n\n".join(
        (
            _overall_table(report),
            _class_table(report),
            *_heads_text(report),
            f"Trained on {report['trained_on']}. Before the temperature "
            f"({fixed(report['temperature'], 3)}) the ECE is {fixed(full['ece_uncalibrated'], 3)}. "
            f"{fixed(full['uncertain_share'], 0)} % of the test images are marked uncertain (top "
            f"probability under {fixed(report['uncertain_below'], 2)}): "
            f"{fixed(full['top1_uncertain'], 0)} % of those answers are right, "
            f"{fixed(full['top1_certain'], 0)} % of the others.",
            f"Pictures: {pictures}. All that was measured: [model card](../model_card.md).",
        )
    )


def format_summary(report: dict[str, Any]) -> str:
    """Format README's lines about accuracy from what `train.measure.evaluate.evaluate` wrote."""
    full, fresh = report["full"], report["twin_free"]
    low, high = fresh["interval_95"]["top1"]
    lines = [
        f"- **{fixed(fresh['top1'], 1)} %** top-1 on FER-2013's test images without a copy in "
        f"training (95 % interval {fixed(low, 1)} to {fixed(high, 1)}), "
        f"{fixed(full['top1'], 1)} % on all test images; "
        "people agree with these labels about two times in three",
        f"- macro F1 {fixed(fresh['macro_f1'] / 100, 3)} without copies, "
        f"{fixed(full['macro_f1'] / 100, 3)} on all",
    ]
    if "decisions" in report:
        each = (
            f"`{name}`{' (served)' if name == report['decision'] else ''} "
            f"{fixed(parts['twin_free']['top1'], 1)} % top-1, "
            f"{fixed(parts['twin_free']['balanced_accuracy'], 1)} % balanced accuracy"
            for name, parts in report["decisions"].items()
        )
        lines.append(
            "- two [decisions](docs/usage.md#decisions-and-votes), without copies: "
            + "; ".join(each)
        )
    lines.append(
        f"- calibrated: expected calibration error {fixed(full['ece'], 3)} on all; "
        f"{fixed(full['uncertain_share'], 0)} % of the answers are marked uncertain"
    )
    return "\n".join(lines)


def format_resting(rested: dict[str, Any] | None, sha256: str) -> str:
    """Format what `train.measure.resting.measure_resting` found for the weights `sha256`."""
    if rested is None or rested["sha256"] != sha256:
        return "Not measured for these weights."
    rows = rested["by_strength"]
    names = list(next(iter(rows.values()))["by_expression"])
    lines = [
        f"| taken out | all | {' | '.join(names)} |",
        f"|{'---|' * (2 + len(names))}",
        *(
            f"| {fixed(100 * float(strength), 0)} % | {fixed(row['accuracy'], 1)} % | "
            + " | ".join(f"{fixed(row['by_expression'][name], 1)} %" for name in names)
            + " |"
            for strength, row in rows.items()
        ),
    ]
    low, high = rested["gain_interval"]
    gain = (
        f"{rested['n_persons']} persons, {rested['n_pictures']} pictures: three quarters gain "
        f"{fixed(rested['gain'], 1)} points (95 % interval {fixed(low, 1)} to {fixed(high, 1)})."
    )
    return "\n".join([*lines, "", gain])


def format_steps(results: Path) -> str:
    """Format the table of docs/trials.md: one run after the other, and what each changed."""
    lines = [
        "| recipe | what is new | test | without twins (95 % interval) | macro F1 "
        "| voters' choice |",
        "|---|---|---|---|---|---|",
    ]
    for name, change in _STEPS.items():
        report = load_json(results / f"{name}.json")
        if report is None:  # not measured yet
            continue
        plain = report.get("decisions", {}).get("dataset", report)  # as the others decide
        full, fresh = plain["full"], plain["twin_free"]
        low, high = fresh["interval_95"]["top1"]
        new = change.format(epochs=get_recipe(name.removesuffix(NO_TWINS)).epochs)
        lines.append(
            f"| `{name}` | {new} | {fixed(full['top1'], 2)} % | {fixed(fresh['top1'], 2)} % "
            f"({fixed(low, 1)} to {fixed(high, 1)}) | {fixed(full['macro_f1'] / 100, 3)} | "
            f"{fixed(report['ferplus']['top1'], 1)} % |"
        )
    return "\n".join(lines)


def format_worse(report: dict[str, Any], before: dict[str, Any]) -> str:
    """Format how two networks answer corrupted pictures, at the fourth of five strengths."""
    lines = [
        f"| | strength | `{before['recipe']}` | `{report['recipe']}` |",
        "|---|---|---|---|",
    ]
    units = report["robustness"]["units"]
    for name in units:
        level, old = report["robustness"][name][3], before["robustness"].get(name, ())
        for same in (row for row in old if row["strength"] == level["strength"]):
            lines.append(
                f"| {_TITLES[name]} | {level['strength']:g} ({units[name]}) "
                f"| {fixed(same['top1'], 1)} % | {fixed(level['top1'], 1)} % |"
            )
    return "\n".join(lines)


def fill_figures(text: str, figures: str, mark: str = "figures") -> str:
    """Put `figures` between the two comments of `text` that have the name `mark`.

    Raises:
        InputError: the marks are missing.
    """
    first, last = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    head, begin, rest = text.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise InputError(f"the document must have the marks {first} and {last}")
    return f"{head}{first}\n{figures}\n{last}{tail}"


def _card_data(report: dict[str, Any]) -> ModelCardData:
    """Build the front matter. Metrics are fractions, as the Hub's own are."""
    results = []
    dataset, _, revision = report["dataset"].partition("@")
    for part in ("full", "twin_free"):
        measures: list[tuple[str, str, float, dict[str, Any] | None]] = [
            ("accuracy", "Top-1", report[part]["top1"] / 100, None),
            ("f1", "Macro F1", report[part]["macro_f1"] / 100, {"average": "macro"}),
            ("ece", "Expected calibration error, 15 bins", report[part]["ece"], None),
        ]
        results += [
            EvalResult(
                task_type="image-classification",
                task_name="Facial expression classification, single pass",
                dataset_type=dataset,
                dataset_name=f"FER-2013 test, {PARTS[part]}",
                # Without it the Hub would take both parts for one.
                dataset_config=part,
                dataset_split="test",
                dataset_revision=revision or None,
                metric_type=kind,
                metric_name=name,
                metric_value=round(value, 4),
                metric_args=args,
            )
            for kind, name, value, args in measures
        ]
    return ModelCardData(
        license="apache-2.0",
        library_name="keras",
        pipeline_tag="image-classification",
        tags=["facial-expression-recognition", "litert", "mobilenetv2", "fer2013"],
        metrics=["accuracy", "f1", "ece"],
        model_name=report["recipe"],
        eval_results=results,
    )


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a CSV file, None where a cell is empty; none where there is no file."""
    if not path.is_file():
        return []
    table = pd.read_csv(path).astype(object)
    return list(table.where(table.notna(), None).to_dict("records"))


def _missed_votes(report: dict[str, Any]) -> dict[str, float]:
    """Find the classes of which the votes' head finds less than half, the least first."""
    if not report.get("votes"):
        return {}
    recall = report["votes"]["full"]["majority"]["recall"]
    rare = {name: value for name, value in recall.items() if value is not None and value < 50}
    return dict(sorted(rare.items(), key=lambda item: item[1]))


def _lowest_recall(report: dict[str, Any]) -> dict[str, Any]:
    """Find the class with the lowest recall and the three answers given most often instead."""
    classes = {name: row for name, row in report["full"]["classes"].items() if _has_images(row)}
    name = min(classes, key=lambda each: classes[each]["recall"])
    counts = dict(
        zip(
            report["class_names"],
            report["full"]["confusion_matrix"][report["class_names"].index(name)],
            strict=True,
        )
    )
    total = sum(counts.values())
    del counts[name]
    instead = sorted(counts, key=lambda each: counts[each], reverse=True)[:3]
    return {
        "name": name,
        "recall": classes[name]["recall"],
        "instead": [(each, 100 * counts[each] / total) for each in instead],
    }


def _largest_drop(report: dict[str, Any]) -> dict[str, Any]:
    """Find the corruption that costs most, with the strength at which it does and top-1."""
    levels = [
        level | {"name": _TITLES[name], "unit": report["robustness"]["units"][name]}
        for name, rows in report["robustness"].items()
        if name != "units"
        for level in rows
    ]
    return min(levels, key=lambda level: level["top1"])


def _recipe_value(value: object) -> str:
    if isinstance(value, dict):  # a phase
        rest = "" if value["augment"] == 1 else f" with {value['augment']:g} of the augmentation"
        return f"{value['epochs']} epochs at {value['input_size']} px{rest}"
    if isinstance(value, list):
        return ", then ".join(_recipe_value(each) for each in value) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _file_name(named: dict[str, str] | str | None) -> str:
    """Format initial weights or a teacher as `fit` records it."""
    if isinstance(named, dict):
        return f"`{named['file']}` (sha256 `{named['sha256']}`)"
    return named or "random weights"


def _training(record: dict[str, Any]) -> dict[str, Any]:
    """Return what the card says of a run beyond its record: recipe as text, kept epoch, energy."""
    hours = record["wall_time_s"] / 3600
    device = record["device"].lower()
    watts = next((_ASSUMED_WATTS[name] for name in _ASSUMED_WATTS if name in device), None)
    # `fit` keeps the best epoch of the last phase, or the last epoch.
    n_before = sum(phase["epochs"] for phase in record["recipe"]["phases"][:-1])
    last = [row["val_accuracy"] for row in record["log"] if row["epoch"] >= n_before]
    keeps_last = any(record["recipe"].get(name) for name in ("keep_last", "with_validation"))
    # The record itself says which files the run started from and learnt from.
    apart = ("init", "teachers")
    recipe = {name: value for name, value in record["recipe"].items() if name not in apart}
    return {
        "recipe": {name: _recipe_value(value) for name, value in recipe.items()},
        "from_random": record["init"] is None,
        "repeats": recipe["balance"] > 0,
        "smooths": recipe["label_smoothing"] > 0,
        "mixes": recipe["mix"] > 0,
        "worsens": recipe["photometric"] > 0,
        "init": _file_name(record["init"]),
        "teachers": [_file_name(teacher) for teacher in record["teachers"]],
        "n_epochs": len(record["log"]),
        "keeps_last": keeps_last,
        "blends": record["recipe"].get("blend", 1.0) < 1,
        "refits": record["recipe"].get("refit") is not None,
        "val_top1": 100 * (last[-1] if keeps_last else max(last)),
        "hours": hours,
        "watts": watts,
        "kwh": None if watts is None else watts * hours / 1000,
    }


def _contrast(results: Path, percentile: float | None) -> list[tuple[float, float, float]]:
    """Return contrast factors, top-1 without the stretch, top-1 with the one that is served."""
    top1 = {
        (row["percentile"], row["contrast"]): row["top1"]
        for row in _read_rows(results / "contrast.csv")
    }
    return [
        (factor, value, top1[percentile, factor])
        for (stretch, factor), value in top1.items()
        if stretch is None and (percentile, factor) in top1
    ]


def _framing(results: Path, margin: float) -> list[dict[str, Any]]:
    """Return for each detector its row with the margin that is served, and the best margin."""
    rows = _read_rows(results / "framing.csv")
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        kept = best.setdefault(row["detector"], row)
        if row["top1"] > kept["top1"]:
            best[row["detector"]] = row
    return [row | {"best": best[row["detector"]]} for row in rows if row["margin"] == margin]


def _leak(results: Path, test_sha256: str) -> list[dict[str, Any]]:
    """Find each pair of runs on this test that differ in nothing but `drop_twins`."""
    found = []
    for path in sorted(results.glob(f"*{NO_TWINS}.json")):
        whole = path.with_name(path.name.replace(NO_TWINS, ""))
        seen, unseen = load_json(whole), load_json(path)
        if seen is None or unseen is None:
            continue
        tests = {each["test_sha256"] for each in (seen, unseen)}
        if tests == {test_sha256} and _made_of(seen) == _made_of(unseen) and seen["twins_marked"]:
            found.append(_pair(seen, unseen))
    return found


def _made_of(report: dict[str, Any]) -> dict[str, Any] | None:
    """Return what decided a run, without its name and what became of twins."""
    if (record := report["training"]) is None:
        return report
    apart = ("name", "drop_twins")
    recipe = {key: value for key, value in record["recipe"].items() if key not in apart}
    return {"recipe": recipe, "init": record["init"], "teachers": record["teachers"]}


def _pair(seen: dict[str, Any], unseen: dict[str, Any]) -> dict[str, Any]:
    """Compare top-1 of both: how far the second lies behind, with 95 % intervals, in percent.

    The intervals are of the test images that there are; those of two runs of one recipe
    differ, too, which one run each cannot tell.
    """
    rows = {}
    for report in (seen, unseen):
        full, fresh = (np.array(report[part]["confusion_matrix"]) for part in ("full", "twin_free"))
        training = report["training"]
        rows[report["recipe"]] = {
            "images": training["images_seen"] // len(training["log"]),
            **{
                name: {"top1": 100 * np.trace(table) / table.sum(), "n": int(table.sum())}
                for name, table in (("all", full), ("fresh", fresh), ("twins", full - fresh))
            },
        }
    first, second = rows.values()
    gaps = {}
    for name in ("all", "fresh", "twins"):
        shares = np.array([first[name]["top1"], second[name]["top1"]]) / 100
        # As if each run had images of its own; they share them, so this is on the safe side.
        error = 100 * np.sqrt((shares * (1 - shares)).sum() / first[name]["n"])
        gap = 100 * (shares[0] - shares[1])
        gaps[name] = {"gap": gap, "low": gap - 1.96 * error, "high": gap + 1.96 * error}
    return {"runs": rows, "gaps": gaps, "n_twins": first["twins"]["n"]}


def _has_bias(report: dict[str, Any]) -> bool:
    """Return whether the last layer of the labels got a bias for each class after training."""
    bias = (report["training"] or {}).get("class_bias")
    # Of a network with decisions, which have a bias of their own, it may be 0.
    return bias is not None and ("decisions" not in report or any(bias.values()))


def _decision_table(report: dict[str, Any]) -> str:
    lines = [
        "| decision | images | top-1 | balanced accuracy | macro F1 | ECE |",
        "|---|---|---|---|---|---|",
    ]
    for name, figures in report["decisions"].items():
        served = " (served)" if name == report["decision"] else ""
        for part in ("full", "twin_free"):
            row = figures[part]
            lines.append(
                f"| {name}{served} | {PARTS[part]} | {fixed(row['top1'], 2)} % "
                f"| {fixed(row['balanced_accuracy'], 2)} % | {fixed(row['macro_f1'] / 100, 3)} "
                f"| {fixed(row['ece'], 3)} |"
            )
    return "\n".join(lines)


def _heads_text(report: dict[str, Any]) -> list[str]:
    """Format the paragraphs about decisions and votes; none for a network with one head."""
    if "decisions" not in report:
        return []
    texts = [
        "Two decisions for the labels: `balanced` treats all classes as nearly equally common, "
        "`dataset` assumes the shares of FER-2013 (`Pipeline.load(decision=...)`).",
        _decision_table(report),
    ]
    if report.get("votes"):
        majority, shares = (report["votes"]["full"][key] for key in ("majority", "shares"))
        texts.append(
            "The second head predicts the votes of FER+ (`Pipeline.load(votes=True)`): by the "
            f"majority protocol it is right on {fixed(majority['top1'], 2)} % of "
            f"{majority['n_images']:,} test images, 8 classes; its shares are "
            f"{fixed(shares['total_variation'], 3)} from the real ones (total variation, 0..1)."
        )
    return texts


def _is_plain(report: dict[str, Any]) -> bool:
    """Return whether what the card says of the network is true of the one in `report`."""
    recipe = report["training"]["recipe"] if report["training"] else {}
    return (
        recipe.get("backbone", "mobilenetv2") == "mobilenetv2"
        and not any(recipe.get(name) for name in ("cut", "cbam", "conv", "dense"))
        and all(phase.get("tuned", 1.0) == 1.0 for phase in recipe.get("phases", ()))
    )


def format_card(
    report: dict[str, Any], config: ModelConfig, results: Path, repo_id: str = NO_NAME
) -> str:
    """Format the whole model card.

    Args:
        report: what `train.measure.evaluate.evaluate` wrote.
        config: of the weights that the report is about.
        results: folder of what was measured with it: results.csv, contrast.csv,
            framing.csv, speed.csv, the probe with rendered persons, and the reports of a run
            with twins and one without, each of which may be missing.
        repo_id: model repository that the card is published in.

    Raises:
        InputError: the report is one of `evaluate --no-robustness`, or about a network that
            the words of the card do not fit.
    """
    if not _is_plain(report):
        raise InputError(
            "the card that is written from figures is about a whole MobileNetV2 that learned with "
            "all its layers. For another network write one of your own and publish it with --card. "
            f"Received: figures of {report['recipe']}"
        )
    if report["robustness"] is None:
        raise InputError(
            "a card must have figures of corrupted images: run `python -m train evaluate` without "
            f"--no-robustness. Received: figures of {report['recipe']} without them"
        )
    training = report["training"]
    text = render_template(
        "card.md",
        report=report,
        config=config,
        repo_id=repo_id,
        is_published=repo_id != NO_NAME,
        titles=_TITLES,
        plots=_plots(report),
        overall_table=_overall_table(report),
        class_table=_class_table(report),
        lowest=_lowest_recall(report),
        missed_votes=_missed_votes(report),
        largest_drop=_largest_drop(report),
        training=training and training | _training(training),
        has_bias=_has_bias(report),
        balance_strength=BALANCE_STRENGTH,
        parts=[(part, PARTS[part]) for part in ("full", "twin_free")],
        # Those of the family are next to what their authors report, in docs/family.md.
        runs=[row for row in _read_rows(results / "results.csv") if row["recipe"] not in FAMILY],
        speed={row["format"]: row for row in _read_rows(results / "speed.csv")},
        contrast=_contrast(results, config.stretch_percentile),
        framing=_framing(results, config.crop_margin),
        leak=_leak(results, report["test_sha256"]),
        has_gallery=(results / MODELS_FOLDER).is_dir(),
        subgroups=load_probe(results, report),
        subgroup_files=subgroup_files(report["recipe"]),
    )
    return f"---\n{_card_data(report).to_yaml()}\n---\n\n{text}"


def read_report(config: ModelConfig, weights: Path, results: Path) -> dict[str, Any]:
    """Read what `train.measure.evaluate.evaluate` wrote of exactly these weights.

    Args:
        config: of the weights.
        weights: their folder.
        results: where the report must stand, `RECIPE.json`.

    Raises:
        InputError: it does not, or is about other weights, or of an earlier version.
    """
    path = results / f"{config.recipe}.json"
    advice = (
        f"{path} must hold the figures of {weights / LITERT_NAME}: run "
        f"`python -m train evaluate {weights} --results {results}` first. Received:"
    )
    report = load_json(path)
    if report is None:
        raise InputError(f"{advice} no such file")
    if report.get("sha256") != config.files[LITERT_NAME]:
        raise InputError(f"{advice} figures of weights with sha256 {report.get('sha256')}")
    if missing := {"coverage", "formats", "robustness", "twins_marked"} - set(report):
        raise InputError(f"{advice} figures of an earlier version, without {sorted(missing)}")
    return report


def write_cards(results: Path, root: Path = Path()) -> None:
    """Write model_card.md and the figures of README.md, docs/accuracy.md and docs/trials.md.

    All but the last are about the bundled weights.

    Raises:
        InputError: results/ holds none for exactly these weights, or a document has no marks.
    """
    config = ModelConfig.read(WEIGHTS_FOLDER)
    report = read_report(config, WEIGHTS_FOLDER, results)
    card = format_card(report, config, results)
    filled = {
        path: fill_figures(path.read_text(encoding="utf-8"), text)
        for path, text in (
            (root / "README.md", format_summary(report)),
            (root / "docs" / "accuracy.md", format_figures(report)),
        )
    }
    accuracy = root / "docs" / "accuracy.md"
    rested = load_json(results / resting_file(config.recipe))
    filled[accuracy] = fill_figures(
        filled[accuracy], format_resting(rested, report["sha256"]), "resting"
    )
    trials = root / "docs" / "trials.md"
    filled[trials] = fill_figures(trials.read_text(encoding="utf-8"), format_steps(results))
    start = load_json(results / f"{_START}.json")
    worse = format_worse(report, start) if start else f"Not measured for `{_START}`."
    filled[trials] = fill_figures(filled[trials], worse, "worse")
    for path, text in ({root / "model_card.md": card} | filled).items():
        path.write_text(text, encoding="utf-8")
