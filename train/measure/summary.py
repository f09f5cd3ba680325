"""The figures of a measurement as text for a terminal."""

from collections.abc import Iterable
from typing import Any

from train.measure.report import PARTS, missing_classes
from train.measure.robustness import CORRUPTIONS

__all__ = ["decision_lines", "format_measure", "format_report"]


def format_report(report: dict[str, Any]) -> str:
    """Return the figures of `evaluate` as text for a terminal."""
    lines = [f"{report['recipe']} ({report['file']}) on {report['dataset']} test", ""]
    if not report["twins_marked"]:
        lines += ["The data marks no twins, so twin_free is not known to be free of them.", ""]
    lines += [*_part_lines(report), "", *decision_lines(report)]
    lines += [
        "",
        f"{'temperature':15}{'ECE: 1':>10}{'fitted':>8}{'NLL: 1':>10}{'fitted':>8}"
        f"{'Brier: 1':>10}{'fitted':>8}",
    ]
    for part in PARTS:
        figures = report[part]
        lines.append(
            f"{part:15}"
            + "".join(
                f"{figures[f'{key}_uncalibrated']:10.4f}{figures[key]:8.4f}"
                for key in ("ece", "nll", "brier")
            )
        )
    for part in ("full", "twin_free"):
        lines += ["", f"{part:12}{'precision':>10}{'recall':>8}{'F1':>8}  95 % of F1     images"]
        for name, row in report[part]["classes"].items():
            lines.append(f"{name:12}{_class_row(row)}")
    lines += [
        "",
        f"{'coverage':15}" + _columns(row["coverage"] for row in report["coverage"]["full"]),
    ]
    for part, rows in report["coverage"].items():
        lines.append(f"{part:15}" + _columns(row["top1"] for row in rows))
    if report["ferplus"]:
        lines += [
            "",
            "FER+ majority   n={n_images:5}  top-1 {top1:.2f} %".format(**report["ferplus"]),
        ]
    lines += _vote_lines(report)
    lines += [
        "",
        f"{'format':15}{'bytes':>10}{'top-1':>8}{'change':>8}  largest gap of a probability",
    ]
    for row in report["formats"]:
        lines.append(
            f"{row['format']:15}{row['bytes']:10}{row['top1']:8.2f}{row['top1_change']:+8.2f}"
            f"  {row['largest_prob_gap']:.1e}"
        )
    if report["robustness"] is None:
        return "\n".join(lines)
    lines += ["", "top-1 by strength of corruption"]
    for corruption in CORRUPTIONS:
        rows = report["robustness"][corruption.name]
        lines.append(
            f"{corruption.title:15}"
            + "".join(f"{row['top1']:8.2f} ({row['strength']:g})" for row in rows)
            + f"  {corruption.unit}"
        )
    return "\n".join(lines)


def _class_row(row: dict[str, Any]) -> str:
    if not row["n_images"]:
        return f"{'-':>10}{'-':>8}{'-':>8}  no images"
    low, high = row["f1_interval_95"]
    return (
        f"{row['precision']:10.2f}{row['recall']:8.2f}{row['f1']:8.2f}"
        f"  [{low:.2f}, {high:.2f}]{row['n_images']:7}"
    )


def _columns(values: Iterable[float]) -> str:
    return "".join(f"{value:8.2f}" for value in values)


def format_measure(report: dict[str, Any]) -> str:
    """Return the figures of `measure` as text for a terminal."""
    lines = [*_part_lines(report), "", *decision_lines(report), *_vote_lines(report)]
    return "\n".join(lines)


def _part_lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for part in PARTS:
        figures = report[part]
        low, high = figures["interval_95"]["top1"]
        low_f1, high_f1 = figures["interval_95"]["macro_f1"]
        lines.append(
            f"{part:15} n={figures['n_images']:5}  top-1 {figures['top1']:.2f} % "
            f"[{low:.2f}, {high:.2f}]  macro F1 {figures['macro_f1'] / 100:.4f} "
            f"[{low_f1 / 100:.4f}, {high_f1 / 100:.4f}]"
        )
    return lines


def decision_lines(report: dict[str, Any]) -> list[str]:
    """Format every decision of the labels' head; "dataset" alone where there is one head."""
    lines = [
        f"{'decision':15}{'part':12}{'top-1':>8}{'balanced':>10}{'macro F1':>10}{'ECE':>8}"
        "  lowest recall"
    ]
    decisions = report.get("decisions", {"dataset": report})
    for name, figures in decisions.items():
        served = name == report.get("decision", "dataset")
        for part in ("full", "twin_free"):
            row = figures[part]
            recall = {
                each: found["recall"]
                for each, found in row["classes"].items()
                if found.get("n_images") != 0
            }
            lowest = min(recall, key=lambda each: recall[each])
            lines.append(
                f"{name + (' *' if served else ''):15}{part:12}{row['top1']:8.2f}"
                f"{row['balanced_accuracy']:10.2f}{row['macro_f1']:10.2f}{row['ece']:8.4f}"
                f"  {lowest} {recall[lowest]:.2f}"
            )
    return [*lines, "* is served", *map("{}.".format, missing_classes(report))]


def _vote_lines(report: dict[str, Any]) -> list[str]:
    if not report.get("votes"):
        return []
    lines = ["", f"{'votes':15}{'images':>8}{'top-1':>8}{'balanced':>10}{'distance':>10}{'KL':>8}"]
    for part in ("full", "twin_free"):
        majority, shares = (report["votes"][part][key] for key in ("majority", "shares"))
        lines.append(
            f"{part:15}{majority['n_images']:8}{majority['top1']:8.2f}"
            f"{majority['balanced_accuracy']:10.2f}{shares['total_variation']:10.4f}"
            f"{shares['kl']:8.4f}"
        )
    return lines
