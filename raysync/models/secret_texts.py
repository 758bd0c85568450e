"""Patterns of secrets, to find them in command lines, names and runtime environments."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{20,}", re.ASCII)
"""Pattern of a bot token: id, time and signature."""
_PASSWORD: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@", re.ASCII)
"""Pattern of a URL with a password."""


def looks_like_token(text: str) -> bool:
    """Return whether *text* may contain a bot token."""
    return _TOKEN.search(text) is not None


def has_password(text: str) -> bool:
    """Return whether *text* contains a URL with a password."""
    return _PASSWORD.search(text) is not None
