"""Fill in the templates of generated documents."""

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import jinja2

__all__ = ["fixed", "render_template"]

_TEMPLATES = Path(__file__).parent / "templates"


def fixed(value: float | None, digits: int) -> str:
    """Format a figure with so many decimals, a half rounded up; "-" where there is none."""
    if value is None:
        return "-"
    return str(Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


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
