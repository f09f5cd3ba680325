"""Fill in the templates of generated documents."""

from pathlib import Path
from typing import Any

import jinja2

__all__ = ["fixed", "render_template"]

_TEMPLATES = Path(__file__).parent / "templates"


def fixed(value: float | None, digits: int) -> str:
    """Format a figure with so many decimals; "-" where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def render_template(name: str, folder: Path = _TEMPLATES, **values: Any) -> str:
    """Fill in a template; a name in it that `values` lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["fixed"] = fixed
    return environment.get_template(name).render(**values)
