"""Values of JSON as PostgreSQL can keep them.

It keeps neither U+0000 nor half a surrogate pair; and JSON as we write it holds no number beyond
64 bits, no NaN, and no more than a certain depth.
"""

from __future__ import annotations

import math
from typing import Any, Final

MOST_LEVELS: Final = 100
"""Discord's own payloads have about ten. What walks over them, when they come and when somebody is
forgotten, recurses within Python's limit."""
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
"""The numbers that orjson writes."""


def is_too_deep(value: Any, document: bytes) -> bool:
    """Whether *value*, which is *document* as JSON, has more levels than are kept."""
    brackets = document.count(b"{") + document.count(b"[")
    return brackets > MOST_LEVELS and _is_deeper(value, MOST_LEVELS)


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels <= 0 or any(_is_deeper(each, levels - 1) for each in inner)


class Trimmer:
    """Copies values without what JSON in PostgreSQL cannot hold; null stands in its place."""

    def __init__(self) -> None:
        self.has_cut = False

    def value(self, value: Any, levels: int = MOST_LEVELS) -> Any:
        """Return a copy of *value*, at most *levels* deep; `has_cut` tells of what is missing."""
        if value is None or isinstance(value, str | bool):
            return value
        if isinstance(value, int):
            return value if _LEAST <= value <= _MOST else self._cut()
        if isinstance(value, float):
            return value if math.isfinite(value) else self._cut()
        if levels <= 0:
            return self._cut()
        if isinstance(value, list):
            return [self.value(each, levels - 1) for each in value]
        if isinstance(value, dict):
            return {key: self.value(each, levels - 1) for key, each in value.items()}
        return self._cut()

    def _cut(self) -> None:
        self.has_cut = True
