"""The figures of docs/performance.md and README, from the benchmarks' files in results/."""

from pathlib import Path

import pandas as pd

from bench.apps import ROOT
from train.publish.card import fill_figures

__all__ = ["MARK", "format_speed", "format_summary", "write_speed"]

MARK = "speed"
_BROWSER_CPU = "browser's CPU ms/answer"


def format_speed(results: Path) -> str:
    """Format what was measured of visitors, videos, folders and a Space, as Markdown."""
    parts = {
        "Live": _visitors(results),
        "First visit of the page without a server": _first_visit(results),
        "Videos": _videos(results),
        "Folders": _folders(results),
        "Start of a Space": _space(results),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())


def _visitors(results: Path) -> str:
    live = pd.read_csv(results / "live.csv").set_index("way")
    soak = pd.read_csv(results / "soak.csv").set_index("what")["value"]
    lines = [
        "| one visitor in Chromium | answers/s | shown/s | round trip, median (p95) "
        "| CPU time of the server per answer | of the browser |",
        "|---|---|---|---|---|---|",
    ]
    for way, row in live.iterrows():
        trip = f"{row['median ms']:.0f} ms ({row['p95 ms']:.0f} ms)"
        lines.append(
            f"| {way} | {row['answers/s']:.1f} | {row['shown/s']:.1f} "
            f"| {'-' if pd.isna(row['median ms']) else trip} | {row['CPU ms/answer']:.0f} ms "
            f"| {row[_BROWSER_CPU]:.0f} ms |"
        )
    rate, minutes = (float(soak[key]) for key in ("frames/s asked for by each", "minutes"))
    crowd = (
        f"{soak['visitors']} visitors at once, each requesting {rate:g} frames/s for {minutes:g} "
        f"minutes: {soak['answers/s, all']} answers/s in total, "
        f"{soak['answers/s, slowest visitor']} for the slowest; round trip "
        f"{soak['round trip, median ms']} ms, p95 {soak['round trip, p95 ms']} ms; errors: "
        f"{soak['errors']}; memory of the server "
        f"{soak['memory, median of the first minute, MB']} MB in the first minute, "
        f"{soak['memory, median of the last minute, MB']} MB in the last."
    )
    place = (
        f"Camera 640 x 480, {live['video/s'].iloc[-1]:.0f} frames/s; detector "
        f"{live['detector'].iloc[-1]}; {soak['machine']}, {soak['cores']} cores, "
        "shared with the browser or the visitors."
    )
    return "\n".join([*lines, "", crowd, "", place])


def _first_visit(results: Path) -> str:
    rows = pd.read_csv(results / "first_visit.csv").set_index("what")
    opened, first, explained, sent = rows.index
    return (
        f"From *Start camera*, clicked as soon as it can be, to the first answer "
        f"{rows['median'][first]:.1f} s (longest of {rows['visits'][first]} visits "
        f"{rows['longest'][first]:.1f} s); from opening the page {rows['median'][opened]:.1f} s. "
        f"{rows['longest'][sent]:.1f} MB are transferred; from a click on an expression to its map "
        f"{rows['median'][explained]:.1f} s. Served on localhost, nothing cached."
    )


def _videos(results: Path) -> str:
    rows = pd.read_csv(results / "video.csv")
    lines = [
        "| 1280 x 720 video, one face, 30 frames/s, sound | times real time "
        "| CPU time per second of video |",
        "|---|---|---|",
    ]
    for _, row in rows.iterrows():
        made = "with" if row["annotated video"] == "yes" else "without"
        lines.append(
            f"| {row['frames/s looked at']:.0f} frames/s analysed, {made} annotated copy "
            f"| {row['times real time']:.2f} | {row['CPU s/s of video']:.2f} s |"
        )
    return "\n".join(lines)


def _folders(results: Path) -> str:
    rows = pd.read_csv(results / "folder.csv")
    lines = [
        f"| {rows['images'][0]:,} test images of FER-2013 ({rows['side_px'][0]} pixels) "
        "| images/s | a face found in | faces/s |",
        "|---|---|---|---|",
    ]
    for _, row in rows.iterrows():
        found = row["images_with_face"] / row["images"]
        lines.append(
            f"| {row['what']} | {row['images_per_s']:.0f} | {100 * found:.0f} % "
            f"| {row['images_per_s'] * row['faces'] / row['images']:.0f} |"
        )
    return "\n".join(lines)


def _space(results: Path) -> str:
    rows = pd.read_csv(results / "space.csv")
    first, later = rows["to the page, s"].iloc[0], rows["to the page, s"].iloc[1:]
    return (
        f"The Space: {rows['upload, MB'][0]:.0f} MB in {rows['files'][0]} files to upload, "
        f"{rows['installed, MB'][0]:.0f} MB installed; the page answers {first:.1f} s after the "
        f"first start, {later.median():.1f} s after later starts; memory "
        f"{rows['memory, MB'].median():.0f} MB."
    )


def format_summary(results: Path) -> str:
    """Format README's lines about speed, as Markdown."""
    page = pd.read_csv(results / "live.csv").set_index("way").loc["the page"]
    soak = pd.read_csv(results / "soak.csv").set_index("what")["value"]
    videos = pd.read_csv(results / "video.csv")
    slowest = videos[videos["annotated video"] == "yes"]["times real time"].min()
    slowest_visitor, trip_ms, minutes = (
        float(soak[key])
        for key in ("answers/s, slowest visitor", "round trip, median ms", "minutes")
    )
    return "\n".join(
        (
            f"- live: {page['answers/s']:.0f} answers/s, {page['median ms']:.0f} ms round trip, "
            f"for one visitor on {soak['cores']} cores shared with the browser",
            f"- {soak['visitors']} visitors at once: {slowest_visitor:.1f} answers/s each, "
            f"{trip_ms:.0f} ms, {soak['errors']} errors in {minutes:g} minutes",
            f"- video with an annotated copy: at least {slowest:.1f} times real time (1280 x 720)",
        )
    )


def write_speed() -> None:
    """Write the figures into docs/performance.md and README."""
    results = ROOT / "results"
    for path, figures in (
        (ROOT / "README.md", format_summary(results)),
        (ROOT / "docs" / "performance.md", format_speed(results)),
    ):
        path.write_text(fill_figures(path.read_text("utf-8"), figures, MARK), encoding="utf-8")
