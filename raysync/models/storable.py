"""Replacement of characters that PostgreSQL cannot store.

Neither its text nor its jsonb holds U+0000 or half a surrogate pair.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

REPLACEMENT: Final = "\ufffd"
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def is_unstorable(value: Any) -> bool:
    """Return whether a string in *value* holds a character that PostgreSQL cannot store."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is not None
    if isinstance(value, list):
        return any(map(is_unstorable, value))
    if isinstance(value, dict):
        return any(is_unstorable(part) for pair in value.items() for part in pair)
    return False


def storable_text(text: str) -> str:
    """Return *text* with U+FFFD for each character that PostgreSQL cannot store."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def storable(value: Any, replacement: str | Callable[[re.Match[str]], str] = REPLACEMENT) -> Any:
    """Return *value* with *replacement* for each character that PostgreSQL cannot store."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(replacement, value)
    if isinstance(value, list):
        return [storable(item, replacement) for item in value]
    if isinstance(value, dict):
        return {
            storable(key, replacement): storable(item, replacement) for key, item in value.items()
        }
    return value
