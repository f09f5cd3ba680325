"""What a repository of the Hub is to hold: contents by path, made without the Hub."""

import re
from pathlib import Path, PurePosixPath

from fer.errors import InputError

__all__ = [
    "LICENCE",
    "README_NAME",
    "RESULTS",
    "ROOT",
    "SOCIAL_NAME",
    "Files",
    "check_empty",
    "local_links",
    "read_file",
    "read_social",
    "social_url",
    "write_folder",
]

ROOT = Path(__file__).parents[2]
README_NAME = "README.md"
LICENCE = "LICENSE"
RESULTS = "results"
# Shown where somebody links to the page.
SOCIAL_NAME = "card.jpg"

Files = dict[str, bytes]


def read_social() -> bytes:
    """Read the picture that tools/card.py drew; raises as `read_file`."""
    return read_file(ROOT / "docs" / SOCIAL_NAME)


def social_url(space_id: str) -> str:
    """Return the address of `SOCIAL_NAME` in a Space: sites that show it want a whole one."""
    return f"https://huggingface.co/spaces/{space_id}/resolve/main/{SOCIAL_NAME}"


def write_folder(files: Files, target: Path) -> None:
    """Write `files` (content by path with slashes) below `target`.

    Raises:
        InputError: something is in `target`.
    """
    check_empty(target)
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def check_empty(target: Path) -> None:
    """Raise InputError where `target` is a file or a folder with files."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise InputError(f"{target} must be new or empty. Received: a file or folder with files")


def local_links(text: str) -> list[str]:
    """List the files that a Markdown text links to, without its code blocks and sections."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    targets = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [str(PurePosixPath(target)) for target in targets if target and ":" not in target]


def read_file(path: Path) -> bytes:
    """Read a file, or raise InputError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} must be a file that can be read. Received: {error}") from error
