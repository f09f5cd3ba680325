"""The settings of the page and of the face detector: what the environment sets, read here alone.

`docs/deploy.md` lists the variables.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fer.errors import InputError

__all__ = ["Settings", "detector_name", "space_owner", "yunet_path"]

_T = TypeVar("_T")
_LOG_FORMS = ("json", "text")
# A Space is reached through the Hub's proxies alone, which are in private networks and name the
# client; without this all visitors would be one. Source: RFC 1918, RFC 4193; uvicorn reads the
# last address that is not in them.
_SPACE_PROXIES = "127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment sets for one page.

    Attributes:
        model: FER_MODEL_REPO, repository or folder of the weights; None for the bundled ones.
        revision: FER_MODEL_REVISION, commit, branch or tag of the repository.
        detector: FER_DETECTOR, name of the face detector; None for "auto".
        yunet_path: FER_YUNET_PATH, YuNet's file; None to fetch it from the Hub.
        gallery_dir: FER_GALLERY_DIR, folder with the models to compare.
        examples_dir: FER_EXAMPLES_DIR, folder with the operator's own examples.
        temp_dir: GRADIO_TEMP_DIR, where the page makes its folder; None for the system's.
        max_video_minutes: FER_MAX_VIDEO_MINUTES, longest video; None for any.
        max_per_minute: FER_MAX_PER_MINUTE, calls of one client network; None for any number.
        max_temp_bytes: FER_MAX_TEMP_GB, disk space for visitors' files, in bytes.
        port: GRADIO_SERVER_PORT; None for the first free one from 7860.
        log: FER_LOG, "json" or "text".
        operator: FER_OPERATOR, who runs the page and how to reach them; on a Space its owner; None
            where nobody says.
        mcp: FER_MCP, whether to serve the Model Context Protocol.
        on_space: SPACE_ID, whether this is a Space of the Hub.
        allowed_hosts: FER_ALLOWED_HOSTS, SPACE_HOST and, on a Space, the Hub's names. One that
            starts with a point stands for all below it.
        proxies: FORWARDED_ALLOW_IPS, whose X-Forwarded-For is trusted; uvicorn's form.
        problems: variables that were ignored, a sentence each.
    """

    model: str | None = None
    revision: str | None = None
    detector: str | None = None
    yunet_path: str | None = None
    gallery_dir: Path | None = None
    examples_dir: Path | None = None
    temp_dir: Path | None = None
    max_video_minutes: float | None = 10.0
    max_per_minute: int | None = 120
    max_temp_bytes: int = 4_000_000_000
    port: int | None = None
    log: str = "text"
    operator: str | None = None
    mcp: bool = False
    on_space: bool = False
    allowed_hosts: tuple[str, ...] = ()
    proxies: str = "127.0.0.1"
    problems: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the variables; an empty one counts as unset.

        Args:
            environ: to read from; the environment of this process when None.

        Raises:
            InputError: GRADIO_SERVER_PORT is not a port. Other invalid values are ignored and
                listed in `problems`.
        """
        usual = cls()
        env = _Reader(os.environ if environ is None else environ)
        on_space = env.text("SPACE_ID") is not None
        return cls(
            model=env.text("FER_MODEL_REPO"),
            revision=env.text("FER_MODEL_REVISION"),
            detector=env.text("FER_DETECTOR"),
            yunet_path=env.text("FER_YUNET_PATH"),
            gallery_dir=env.folder("FER_GALLERY_DIR"),
            examples_dir=env.folder("FER_EXAMPLES_DIR"),
            temp_dir=env.folder("GRADIO_TEMP_DIR"),
            max_video_minutes=env.minutes("FER_MAX_VIDEO_MINUTES", usual.max_video_minutes),
            max_per_minute=env.count("FER_MAX_PER_MINUTE", usual.max_per_minute),
            max_temp_bytes=env.gigabytes("FER_MAX_TEMP_GB", usual.max_temp_bytes),
            port=env.port("GRADIO_SERVER_PORT"),
            log=env.log_form("FER_LOG", "json" if on_space else "text"),
            operator=env.text("FER_OPERATOR") or env.space_owner(),
            mcp=env.text("FER_MCP") == "1",
            on_space=on_space,
            allowed_hosts=env.hosts(on_space),
            proxies=env.text("FORWARDED_ALLOW_IPS")
            or (_SPACE_PROXIES if on_space else "127.0.0.1"),
            problems=tuple(env.problems),
        )


def space_owner(space_id: str) -> str:
    """Return who runs a Space of the Hub, and where to write to them."""
    owner = space_id.partition("/")[0]
    return f"{owner} on Hugging Face, https://huggingface.co/spaces/{space_id}/discussions"


def detector_name() -> str | None:
    """Return FER_DETECTOR, the face detector where a program names none; None when unset."""
    return os.environ.get("FER_DETECTOR") or None


def yunet_path() -> str | None:
    """Return FER_YUNET_PATH, YuNet's file where the Hub cannot be reached; None when unset."""
    return os.environ.get("FER_YUNET_PATH") or None


class _Reader:
    """Parses variables and collects what is wrong with them in `problems`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        return self._environ.get(name) or None

    def folder(self, name: str) -> Path | None:
        text = self.text(name)
        return None if text is None else Path(text).expanduser()

    def minutes(self, name: str, default: float | None) -> float | None:
        value = self._number(name)
        if value is None:
            return default
        if math.isnan(value):
            return self._wrong(name, "a number", default)
        return value if value > 0 else None

    def count(self, name: str, default: int | None) -> int | None:
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal()):
            return self._wrong(name, "a whole number", default)
        return int(text) or None

    def gigabytes(self, name: str, default: int) -> int:
        value = self._number(name)
        if value is None:
            return default
        if not (0 < value < math.inf and int(value * 1e9)):
            return self._wrong(name, "a number over 0", default)
        return int(value * 1e9)

    def port(self, name: str) -> int | None:
        text = self._environ.get(name)  # Gradio takes an empty one for a port
        if text is None:
            return None
        if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
            return int(text)
        raise InputError(f"{name} must be a number from 1 to 65535. Received: {text!r}")

    def log_form(self, name: str, default: str) -> str:
        text = self.text(name) or default
        if text not in _LOG_FORMS:
            return self._wrong(name, '"json" or "text"', "text")
        return text

    def space_owner(self) -> str | None:
        space = self.text("SPACE_ID")
        return None if space is None else space_owner(space)

    def hosts(self, on_space: bool) -> tuple[str, ...]:
        named = [self.text("SPACE_HOST") or "", *(self.text("FER_ALLOWED_HOSTS") or "").split(",")]
        if on_space:
            named.append(".hf.space")
        return tuple(name.strip().lower() for name in named if name.strip())

    def _number(self, name: str) -> float | None:
        text = self.text(name)
        try:
            return None if text is None else float(text)
        except ValueError:
            return math.nan

    def _wrong(self, name: str, wanted: str, default: _T) -> _T:
        self.problems.append(f"{name} must be {wanted}. Received: {self.text(name)!a}")
        return default
