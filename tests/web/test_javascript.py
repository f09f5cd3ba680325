"""The page's JavaScript in node: its pure modules, and what they export to each other."""

import re
import subprocess

from fer.web.notice import GUESS
from fer.web.server.assets import find_modules
from tests.conftest import ROOT


def test_the_pure_modules_of_the_page(node):
    files = sorted((ROOT / "tests" / "javascript").glob("*.test.mjs"))
    done = subprocess.run(
        [node, "--test", *map(str, files)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.search(r"^# pass (\d+)$", done.stdout, re.M)[1]) >= 20


def test_modules_import_only_what_others_export():
    """A name that is missing would stop a tab; no browser is needed to see it."""
    modules = {name: path for name, path in find_modules().items() if path.suffix == ".js"}
    n_names = 0
    for name, path in modules.items():
        text = path.read_text(encoding="utf-8")
        for names, source in re.findall(r"^import \{([^}]*)\} from \"(\.[^\"]*)\"", text, re.M):
            other = (path.parent / source).resolve().read_text(encoding="utf-8")
            for one in filter(None, (each.split(" as ")[0].strip() for each in names.split(","))):
                pattern = (
                    rf"^export (?:async )?(?:function|class|const) {one}\b|^export \{{.*\b{one}\b"
                )
                assert re.search(pattern, other, re.M), f"{name} imports {one} from {source}"
                n_names += 1
    assert n_names >= 40


def test_each_tab_starts_a_module():
    modules = find_modules()
    for name in ("live/live.js", "photo/photo.js", "video/video.js", "examples/compare.js"):
        text = modules[name].read_text(encoding="utf-8")
        assert re.search(r"^export function start\(\{ element", text, re.M), name


def test_what_is_saved_says_the_same_on_both_sides():
    text = find_modules()["common/guess.js"].read_text(encoding="utf-8")
    assert f'"{GUESS}"' in text
