"""JSON values that PostgreSQL can store.

It stores neither U+0000 nor half a surrogate pair. The JSON that we write has no number beyond 64
bits, no NaN, and a bounded depth.
"""

from __future__ import annotations

import math
from typing import Any, Final

MOST_LEVELS: Final = 100
"""Maximum depth of a payload; Discord's own have about ten.

The code that walks over payloads recurses, within Python's limit."""
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
"""The range of integers that orjson writes."""


def is_too_deep(value: Any, document: bytes) -> bool:
    """Return whether *value*, which is *document* as JSON, is deeper than `MOST_LEVELS`."""
    brackets = document.count(b"{") + document.count(b"[")
    return brackets > MOST_LEVELS and _is_deeper(value, MOST_LEVELS)


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels <= 0 or any(_is_deeper(item, levels - 1) for item in inner)


class Trimmer:
    """Copies values, with null for each one that JSON in PostgreSQL cannot store."""

    def __init__(self) -> None:
        self.has_cut = False

    def value(self, value: Any, levels: int = MOST_LEVELS) -> Any:
        """Return a copy of *value*, at most *levels* deep; `has_cut`: parts are missing."""
        if value is None or isinstance(value, str | bool):
            return value
        if isinstance(value, int):
            return value if _LEAST <= value <= _MOST else self._cut()
        if isinstance(value, float):
            return value if math.isfinite(value) else self._cut()
        if levels <= 0:
            return self._cut()
        if isinstance(value, list):
            return [self.value(item, levels - 1) for item in value]
        if isinstance(value, dict):
            return {key: self.value(item, levels - 1) for key, item in value.items()}
        return self._cut()

    def _cut(self) -> None:
        self.has_cut = True
