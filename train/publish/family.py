"""The family in one table: reported and reproduced top-1 of each public system.

docs/family.md is made from templates/family.md, and the list of models that the page compares
from the same figures.
"""

import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer.errors import InputError
from fer.gallery import TABLE_NAME, Entry
from fer.hub import WEIGHTS_FOLDER
from fer.types import ModelConfig
from train.measure.report import MODELS_FOLDER, load_json, load_probe, plot_names, read_int8
from train.publish.card import read_report
from train.publish.render import fixed, render_template
from train.recipes import FAMILY, RECIPES

__all__ = [
    "FLAGSHIP",
    "SYSTEMS",
    "System",
    "collect_rows",
    "format_family",
    "format_table",
    "sad_bias",
    "write_table",
]

_BIAS_OF = ("upsampled", "full-two-dense")
_WATCHED = "sad"
# How the part of a docstring begins that only a run can bear out.
_LESSON = "What it taught us:"
# Learned seven classes with nothing but their labels, so it shows what asking for five is worth.
_PLAIN = "full-two-dense"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What a recipe of the family reproduces.

    Attributes:
        title: in a few words.
        idea: in one sentence, for visitors of the page.
        train, validation, test: top-1 in percent as its author reports it, None where not.
        remark: what its author says besides figures.
        differs: in what the run here is not the author's.
    """

    title: str
    idea: str
    train: float | None = None
    validation: float | None = None
    test: float | None = None
    remark: str = ""
    differs: str = ""


SYSTEMS = {
    "frozen-then-top": System(
        title="Pre-trained, last layers only",
        idea="An ImageNet network of which only the last layers learned faces.",
        validation=40.0,
        differs="faces already cropped",
    ),
    "five-class-cut": System(
        title="5 classes, shortened network",
        idea="A network that ends early, with two new convolutions, for five classes.",
        train=85.6,
        validation=72.6,
        test=72.8,
        differs="validation and test not cleaned",
    ),
    "full-two-dense": System(
        title="All layers trained",
        idea="All layers learned faces, with two dense layers on top.",
        validation=61.8,
        test=61.7,
    ),
    "mobilenet-frozen": System(
        title="Pre-trained, few pictures",
        idea="A frozen ImageNet network, trained on fewer than a thousand pictures.",
        remark="none",
        differs="FER-2013 instead of posed faces; Haar with OpenCV's usual settings",
    ),
    "upsampled": System(
        title="Rare classes repeated",
        idea="Images of rare expressions are repeated until all classes are equally frequent.",
        remark='skewed toward "sad"',
    ),
    "cnn-scratch": System(
        title="Small, trained from scratch",
        idea="A plain network for 48 pixels, trained on these faces only.",
        remark="work in progress",
    ),
    "cbam": System(
        title="With attention",
        idea="Learned gates weight the features and the regions of the face.",
        remark="planned",
    ),
    "vit-tiny": System(
        title="Small transformer",
        idea="A vision transformer that learned with a larger model as its teacher.",
        remark="planned",
    ),
}
# The bundled weights, with which the others are compared.
FLAGSHIP = System(
    title="Main model",
    idea="All layers learned, from labels, from several people's votes and from earlier models.",
)
# What `cbam` is without its attention.
_BASELINE = "mobilenetv2-64"


def _read(results: Path, name: str) -> dict[str, Any] | None:
    """Read a report with all that the table needs; None where there is none.

    Raises:
        InputError: it is of an earlier version, or of weights whose training is not recorded.
    """
    report = load_json(results / f"{name}.json")
    if report is None:
        return None
    if missing := {key for key in ("training", "validation", "shares") if not report.get(key)}:
        raise InputError(
            f"{results / name}.json must be of weights that `fit` trained, and of this version: "
            f"run `python -m train evaluate` again. Received: no {sorted(missing)}"
        )
    return report


def _on_classes(report: dict[str, Any], class_names: list[str]) -> dict[str, Any]:
    """Return top-1 of a report among these classes, on their images."""
    if class_names == report["class_names"]:
        full, fresh = report["full"], report["twin_free"]
        return {"top1": full["top1"], "twin_free_top1": fresh["top1"], "n_images": full["n_images"]}
    for row in report["on_classes"]:
        if row["class_names"] == class_names:
            return dict(row)
    raise InputError(
        f"the figures of {report['recipe']} must have some for the classes {class_names}: run "
        "`python -m train evaluate` again. Received: none"
    )


def _setting(report: dict[str, Any], usual_backbone: str) -> str:
    """Say how much was trained on what, in a few words."""
    recipe = report["training"]["recipe"]
    sizes = dict.fromkeys(phase["input_size"] for phase in recipe["phases"])
    parts = [
        f"{len(report['training']['log'])} epochs at {' and '.join(map(str, sizes))} px",
        f"{recipe['images_per_class']} images per class" if recipe["images_per_class"] else "",
        "" if recipe["backbone"] == usual_backbone else f"{recipe['backbone']} instead",
    ]
    return ", ".join(part for part in parts if part)


def collect_rows(results: Path, flagship: dict[str, Any]) -> list[dict[str, Any]]:
    """Collect one row a recipe of the family, in its order.

    Args:
        results: with the reports of `train.measure.evaluate.evaluate`.
        flagship: the report of the bundled weights.

    Returns:
        For each recipe its name, `system`, `idea` and `lesson` (its docstring), and with a
        report also `report`, `flagship` (on the same classes), `setting` (how much was
        trained on what), `minutes`, `command`, `plots`, and `reached`, whether it is at or
        above every figure reported for validation and test; None where there is none.
    """
    rows = []
    for name in FAMILY:
        system = SYSTEMS[name]
        row: dict[str, Any] = {
            "recipe": name,
            "system": system,
            **_split_docstring(name),
            "report": _read(results, name),
        }
        if (report := row["report"]) is not None:
            training = report["training"]
            compared = [
                report[part]["top1"] >= wanted
                for part, wanted in (("validation", system.validation), ("full", system.test))
                if wanted is not None
            ]
            row |= {
                "flagship": _on_classes(flagship, report["class_names"]),
                "setting": _setting(report, RECIPES[name]().backbone),
                "minutes": training["wall_time_s"] / 60,
                "command": training["command"],
                "reached": all(compared) if compared else None,
                "plots": plot_names(report),
            }
        rows.append(row)
    return rows


def _split_docstring(name: str) -> dict[str, str]:
    """Split a recipe's docstring, without its command, into `idea` and `lesson`."""
    parts = (inspect.getdoc(RECIPES[name]) or "").split("\n\n")
    idea = [part for part in parts if not part.startswith(("Command:", _LESSON))]
    lesson = [part for part in parts if part.startswith(_LESSON)]
    return {"idea": "\n\n".join(idea), "lesson": "\n\n".join(lesson)}


def _reported(system: System) -> str:
    parts = [
        f"{part} {value:g} %"
        for part, value in (
            ("train", system.train),
            ("val.", system.validation),
            ("test", system.test),
        )
        if value is not None
    ]
    return ", ".join(parts) or system.remark


def format_table(rows: list[dict[str, Any]]) -> str:
    """Format the rows of `collect_rows` as a Markdown table."""
    lines = [
        "| recipe | reported | here: val. (without twins) | here: test (without twins) "
        "| flagship, same classes | training, minutes | setting here |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        system, report = row["system"], row["report"]
        head = f"| [{row['recipe']}](#{row['recipe']}) | {_reported(system)} |"
        if report is None:
            lines.append(f"{head} not run yet | - | - | - | {system.differs or '-'} |")
            continue
        flagship, validation = row["flagship"], report["validation"]
        setting = "; ".join(part for part in (row["setting"], system.differs) if part)
        lines.append(
            f"{head} {fixed(validation['top1'], 1)} % ({fixed(validation['twin_free_top1'], 1)} %) "
            f"| **{fixed(report['full']['top1'], 1)} %** "
            f"({fixed(report['twin_free']['top1'], 1)} %) "
            f"| {fixed(flagship['top1'], 1)} % ({fixed(flagship['twin_free_top1'], 1)} %) "
            f"| {fixed(row['minutes'], 0)} | {setting} |"
        )
    return "\n".join(lines)


def sad_bias(report: dict[str, Any], probe: dict[str, Any] | None) -> dict[str, Any]:
    """Compare how often a model says "sad" with how often it is the label.

    Args:
        report: of `train.measure.evaluate.evaluate`.
        probe: of `train.measure.subgroups.measure_subgroups`, for the same weights.

    Returns:
        `shares` of the report; `excess`, by how many points "sad" is answered more often than
        it is the label; `distance`, the total variation distance between answers and labels
        in points; `precision`, `recall` and `false_positives` of "sad", the last the
        percentage of the images of other classes that are called sad; `matched`, top-1,
        excess and distance with the bias that validation asks for; `stuck`, the answer given
        most often to pixels that were scaled twice, with its percentage; `probe`, "sad" among
        the answers on rendered persons (`answered`) and among what they show (`shown`), and
        the `distance`, where there is a probe.
    """
    names = report["class_names"]
    table = report["full"]["confusion_matrix"]
    watched = names.index(_WATCHED)
    n_watched = sum(table[watched])
    called = sum(row[watched] for row in table) - table[watched][watched]
    shares = report["shares"]
    dark = shares["scaled_twice"]["answers"]
    stuck = max(dark, key=lambda name: dark[name])
    matched = shares["matched"]
    return {
        "recipe": report["recipe"],
        "top1": report["full"]["top1"],
        "shares": shares,
        **_apart(shares["labels"], shares["answers"]),
        "precision": report["full"]["classes"][_WATCHED]["precision"],
        "recall": report["full"]["classes"][_WATCHED]["recall"],
        "false_positives": 100 * called / (sum(map(sum, table)) - n_watched),
        "matched": {
            "top1": matched["top1"],
            "macro_f1": matched["macro_f1"],
            **_apart(shares["labels"], matched["answers"]),
        },
        "stuck": {"answer": stuck, "share": dark[stuck], "top1": shares["scaled_twice"]["top1"]},
        "probe": None if probe is None else _probed(probe),
    }


def _apart(labels: dict[str, float], answers: dict[str, float]) -> dict[str, float]:
    return {
        "excess": answers[_WATCHED] - labels[_WATCHED],
        "distance": sum(abs(answers[name] - share) for name, share in labels.items()) / 2,
    }


def _probed(probe: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a probe, which shows every expression equally often."""
    shown = {name: 100 / len(probe["by_expression"]) for name in probe["by_expression"]}
    answers = {name: probe["answers"].get(name, 0.0) for name in shown}
    apart = _apart(shown, answers)["distance"]
    return {"answered": answers[_WATCHED], "shown": shown[_WATCHED], "distance": apart}


def _biases(results: Path, flagship: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in (*_BIAS_OF, flagship["recipe"]):
        report = flagship if name == flagship["recipe"] else _read(results, name)
        if report is not None:
            yield sad_bias(report, load_probe(results, report))


def _on_fewer_classes(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return top-1 of `_PLAIN` on all classes, and on those of the recipe with fewer of them."""
    reports = {row["recipe"]: row["report"] for row in rows if row["report"] is not None}
    fewer = [report for report in reports.values() if report["training"]["recipe"]["classes"]]
    if _PLAIN not in reports or not fewer:
        return None
    plain = reports[_PLAIN]
    five = _on_classes(plain, fewer[0]["class_names"])
    return {"recipe": _PLAIN, "seven": plain["full"]["top1"], "five": five["top1"]}


def _entries(results: Path, rows: list[dict[str, Any]], flagship: dict[str, Any]) -> list[Entry]:
    """Return what the page says of each model that it compares, the flagship last."""
    entries = []
    for row in rows:
        if (report := row["report"]) is None:
            continue
        # The page asks the int8 file, so that file's figures are shown.
        shown = read_int8(results / f"{row['recipe']}.json")
        entries.append(_entry(row["system"], report, shown["top1"], shown["sha256"]))
    top1 = flagship["full"]["top1"]
    return [*entries, _entry(FLAGSHIP, flagship, top1, flagship["sha256"])]


def _entry(system: System, report: dict[str, Any], top1: float, sha256: str) -> Entry:
    return Entry(
        recipe=report["recipe"],
        title=system.title,
        idea=system.idea,
        top1=top1,
        n_classes=len(report["class_names"]),
        sha256=sha256,
    )


def format_family(results: Path, flagship: dict[str, Any]) -> str:
    """Format docs/family.md.

    Args:
        results: with the reports of the family.
        flagship: the report of the bundled weights.
    """
    rows = collect_rows(results, flagship)
    return render_template(
        "family.md",
        rows=rows,
        table=format_table(rows),
        flagship=flagship,
        baseline=load_json(results / f"{_BASELINE}.json"),
        fewer=_on_fewer_classes(rows),
        biases={row["recipe"]: row for row in _biases(results, flagship)},
    )


def write_table(results: Path, root: Path = Path()) -> None:
    """Write docs/family.md and results/models/models.json.

    Raises:
        InputError: `results` lacks figures of the bundled weights, or some that the table
            needs.
    """
    config = ModelConfig.read(WEIGHTS_FOLDER)
    read_report(config, WEIGHTS_FOLDER, results)
    flagship = _read(results, config.recipe)
    assert flagship is not None  # just read
    rows = collect_rows(results, flagship)
    entries = [asdict(entry) for entry in _entries(results, rows, flagship)]
    text = format_family(results, flagship)
    (root / "docs" / "family.md").write_text(text, encoding="utf-8")
    models = results / MODELS_FOLDER
    models.mkdir(exist_ok=True)
    (models / TABLE_NAME).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
