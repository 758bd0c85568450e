"""What a secret looks like where none belongs: in a command line, a name, a runtime environment."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{20,}", re.ASCII)
"""A bot token's shape: id, time and signature."""
_PASSWORD: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@", re.ASCII)
"""An address with a password in it."""


def looks_like_token(text: str) -> bool:
    """Whether *text* may be a bot token, or have one in it."""
    return _TOKEN.search(text) is not None


def has_password(text: str) -> bool:
    """Whether an address with a password is in *text*."""
    return _PASSWORD.search(text) is not None
