"""python -m bench.space: the Space as its visitors get it: what it weighs, how soon it answers.

Writes results/space.csv and its line in docs/performance.md. The packages come from PyPI, as on
the Hub.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import yaml

from bench.apps import ROOT, Server, cpu, run_app
from bench.report import write_speed
from bench.visitor import Visitor, data_url
from fer.image import read_image
from train.publish.files import write_folder
from train.publish.space import space_files

__all__ = ["front_matter", "make_environment", "serve_space", "space_variables"]

# What the Hub's builder installs with requirements.txt, in one command with it.
# Source: build logs of Gradio Spaces.
_BESIDE = ("gradio[oauth,mcp]=={sdk_version}", "uvicorn>=0.14.0", "websockets>=10.4", "spaces")
_N_STARTS = 3


def front_matter(folder: Path) -> dict[str, Any]:
    """Read what the README of a Space's folder says to the Hub."""
    _, head, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return dict(yaml.safe_load(head))


def make_environment(folder: Path, target: Path) -> Path:
    """Make a new environment as the Hub does for the Space in `folder`; return its Python.

    The Python is that of README's `python_version` where this machine has it, else this one.
    """
    about = front_matter(folder)
    # pyenv, where there is one, asks for the version.
    wanted = {"PYENV_VERSION": about["python_version"]}
    for command in (f"python{about['python_version']}", sys.executable):
        try:
            subprocess.run(
                [command, "-m", "venv", str(target)],
                env=os.environ | wanted,
                check=True,
                capture_output=True,
            )
            break
        except (OSError, subprocess.CalledProcessError):
            continue
    python = target / "bin" / "python"
    subprocess.run(
        [
            *(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("-r", folder / "requirements.txt"),
            *(name.format(**about) for name in _BESIDE),
        ],
        check=True,
    )
    return python


def space_variables(home: Path) -> dict[str, str]:
    """Return the environment variables of a Gradio Space; `home` is the folder of its user.

    Source: the Hub's documentation of Spaces, "Helper environment variables", and the image
    that it runs Gradio Spaces in. Each has a HOME of its own and takes none of ours.
    """
    return {
        "HOME": str(home),
        "HF_HOME": str(home / ".cache" / "huggingface"),
        "PATH": os.environ["PATH"],
        "PYTHONUNBUFFERED": "1",
        "GRADIO_ALLOW_FLAGGING": "never",
        "GRADIO_NUM_PORTS": "1",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_THEME": "huggingface",
        "SYSTEM": "spaces",
        "SPACE_ID": "someone/fer",
        "SPACE_HOST": "someone-fer.hf.space",
        "SPACE_AUTHOR_NAME": "someone",
        "SPACE_REPO_NAME": "fer",
        "SPACE_TITLE": "fer",
        "CPU_CORES": "2",
        "MEMORY": "16Gi",
        "TQDM_POSITION": "-1",
        "TQDM_MININTERVAL": "1",
    }


@contextmanager
def serve_space(python: Path, folder: Path, home: Path, **more: str) -> Iterator[Server]:
    """Run the Space in `folder` with its variables and `more`, from when /health answers on."""
    home.mkdir(parents=True, exist_ok=True)
    variables = space_variables(home) | more
    with run_app([str(python), "app.py"], folder, variables, "/health") as server:
        yield server


def _megabytes(folder: Path) -> float:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


async def _first_frame(url: str) -> float:
    """Measure the milliseconds until the first frame is answered."""
    frame = data_url(read_image(ROOT / "examples" / "subgroups" / "monk-5_female_25_happy.jpg"))
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        visitor = Visitor(client, "first")
        await visitor.call(None)  # refused; it knows the way then
        start = time.perf_counter()
        answer = await visitor.send(frame)
        spent = 1000 * (time.perf_counter() - start)
    if len(answer["faces"]) != 1:
        raise RuntimeError(f"the Space must find one face. Received: {answer}")
    return spent


def _start(python: Path, folder: Path, home: Path) -> dict[str, float]:
    """Measure the seconds from the start of the process to its first answers."""
    # Without a network, as after a build that has preloaded everything.
    more = {"HF_HUB_OFFLINE": "1"}
    if yunet := os.environ.get("FER_YUNET_PATH"):
        more["FER_YUNET_PATH"] = yunet
    start = time.perf_counter()
    with serve_space(python, folder, home, **more) as server:
        healthy = time.perf_counter() - start
        httpx.get(server.url, timeout=60).raise_for_status()
        page = time.perf_counter() - start
        frame = asyncio.run(_first_frame(server.url))
        return {
            "to /health, s": round(healthy, 2),
            "to the page, s": round(page, 2),
            "first frame, ms": round(frame, 1),
            "memory, MB": round(server.memory_mb(), 1),
        }


def main() -> None:
    """Build the Space, install it, start it a few times, write results/space.csv."""
    with tempfile.TemporaryDirectory() as made:
        folder, environment, home = (Path(made, name) for name in ("space", "python", "home"))
        files = space_files(ROOT, None, None)
        write_folder(files, folder)
        start = time.perf_counter()
        python = make_environment(folder, environment)
        installing = time.perf_counter() - start
        version = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        # The first compiles what it imports, as a Space does that was just built.
        rows = [{"start": i + 1, **_start(python, folder, home)} for i in range(_N_STARTS)]
        table = pd.DataFrame(rows)
        table["upload, MB"] = round(sum(map(len, files.values())) / 1e6, 1)
        table["files"] = len(files)
        table["installed, MB"] = _megabytes(environment)
        table["installing, s"] = round(installing, 1)
        table["python"] = version
        table["gradio"] = front_matter(folder)["sdk_version"]
        table["machine"] = cpu()
    table.to_csv(ROOT / "results" / "space.csv", index=False)
    write_speed()
    print(table.T.to_string(header=False))


if __name__ == "__main__":
    main()
