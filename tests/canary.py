"""python tests/canary.py [PYTEST ARGUMENTS]: the tests with the newest of all that we pin.

Makes an environment of its own, installs what the requirements files name, without their
versions, and says what came beside what requirements.lock has. Ends as pytest ends, or with 1
where pip finds no set of packages that fit together.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements-dev.txt"
LOCK = ROOT / "requirements.lock"
# What others allow, where pip is not told: Gradio names its bound in the extra `mcp`, which no
# requirements file takes, because the extra wants an old pydantic as well. Gradio 6.31 serves no
# tools with mcp 2.
BOUNDS = {"mcp": "<2"}
_PIN = re.compile(r"([\w.-]+)(\[[\w,.-]+\])?==([^\s;]+)(?:\s*;\s*(.+))?")


def pins(path):
    """(name, extras, version, marker) of each line of a requirements file and those it includes."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found += pins(path.parent / line.removeprefix("-r ").strip())
        elif line:
            match = _PIN.fullmatch(line)
            if match is None:
                raise ValueError(f"{path.name} must pin exactly. Received: {line}")
            name, extras, version, marker = match.groups()
            found.append((normal(name), extras or "", version, marker))
    return found


def newest(path):
    """The requirements of a file without their versions."""
    return [
        name + extras + BOUNDS.get(name, "") + (f" ; {marker}" if marker else "")
        for name, extras, _, marker in pins(path)
    ]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def table(installed, path=LOCK):
    """Lines that say what is installed beside what is locked; what differs is marked."""
    locked = {}
    for name, _, version, _ in pins(path):
        locked.setdefault(name, []).append(version)
    own = {name for name, *_ in pins(REQUIREMENTS)}
    lines = [f"  {'package':28} {'here':18} locked"]
    for name, version in sorted(installed.items()):
        same = version in locked.get(name, ())
        if name in own or not same:
            known = " or ".join(locked.get(name, ["-"]))
            lines.append(f"{' ' if same else '*'} {name:28} {version:18} {known}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--env", type=Path, default=ROOT / ".venv-canary", help="made anew")
    parser.add_argument("--keep", action="store_true", help="use the environment as it is")
    options, arguments = parser.parse_known_args()
    python = options.env / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    # What a shell has set must not hold back what comes.
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    if not options.keep:
        venv.create(options.env, with_pip=True, clear=True)
        install = [*pip, "install", "--quiet", *newest(REQUIREMENTS)]
        if subprocess.run(install, env=environment, check=False).returncode != 0:
            sys.exit(1)
    listed = subprocess.run([*pip, "list", "--format", "json"], capture_output=True, check=True)
    installed = {normal(each["name"]): each["version"] for each in json.loads(listed.stdout)}
    print("\n".join(table(installed)), flush=True)
    command = [python, "-m", "pytest", *arguments]
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
