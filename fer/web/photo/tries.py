"""Choose the examples that the Photo tab offers to try."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["choose_tries"]

# Of the row of examples, as many as are seen without "Show all": N_FIRST of examples.js.
_N_SEEN = 8


def choose_tries(examples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the first, the middle and the last example of those that are seen at once.

    Of the project's they are a photograph, a rendered face and a group. Those that a browser
    cannot fetch are passed over.

    Args:
        examples: `examples` of fer/web/examples/examples.js.
    """
    seen = [example for example in examples if example["url"] is not None][:_N_SEEN]
    return [seen[i] for i in sorted({0, len(seen) // 2, len(seen) - 1})] if seen else []
