"""A thousand broken files: typed errors only, no crash, no leak."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "n_files"), [("image", 1000), ("video", 100)])
def test_broken_files_give_typed_errors_and_nothing_else(kind, n_files):
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", kind, str(n_files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    print(kind, report)
    outcomes = report["outcomes"]
    assert sum(outcomes.values()) == n_files
    assert outcomes["read"] > n_files // 20
    assert outcomes[{"image": "ImageError", "video": "VideoError"}[kind]] > n_files // 20
    assert report["late_mb"] < 1.25 * report["early_mb"] + 20
