"""README's section on speed, from results/live.csv and results/soak.csv."""

from pathlib import Path

import pandas as pd

from bench.apps import ROOT
from train.card import fill_figures

__all__ = ["format_speed", "write_speed"]

MARK = "speed"


def format_speed(results: Path) -> str:
    """What `bench.live` and `bench.soak` measured, as Markdown."""
    live = pd.read_csv(results / "live.csv").set_index("way")
    soak = pd.read_csv(results / "soak.csv").set_index("what")["value"]
    lines = [
        "| one visitor in Chromium | answers/s | shown/s | round trip, median (p95) "
        "| processor time of the server an answer |",
        "|---|---|---|---|---|",
    ]
    for way, row in live.iterrows():
        trip = f"{row['median ms']:.0f} ms ({row['p95 ms']:.0f} ms)"
        lines.append(
            f"| {way} | {row['answers/s']:.1f} | {row['shown/s']:.1f} "
            f"| {'-' if pd.isna(row['median ms']) else trip} | {row['CPU ms/answer']:.0f} ms |"
        )
    rate, minutes = (float(soak[key]) for key in ("frames/s asked for by each", "minutes"))
    crowd = (
        f"{soak['visitors']} visitors at once, {rate:g} frames/s asked for by each, "
        f"{minutes:g} minutes: {soak['answers/s, all']} answers/s in all, "
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


def write_speed() -> None:
    """Write that section into README."""
    readme = ROOT / "README.md"
    text = fill_figures(readme.read_text("utf-8"), format_speed(ROOT / "results"), MARK)
    readme.write_text(text, encoding="utf-8")
