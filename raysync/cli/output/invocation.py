"""Name of raysync in commands that a user may copy: as this user started it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from typing import Final

UNDER_UV: Final = "uv run raysync"
COMMANDS: Final = (
    "start|submit|schedule|tail|status|report|resume|cancel|verify|doctor|audit|reset|export|forget|"
    "privacy|dead-letters|tenant|db|demo|emulator"
)
"""Names of all commands. They are not read from the app, whose import takes long."""
_NAMED: Final = re.compile(
    rf"(?<![\w./-])(?<!uv run )(?<!-m )raysync(?= (?:{COMMANDS}|--debug)(?![\w-]))"
)
"""A command of raysync in a sentence, as lower layers write it: ``raysync start``."""


def invocation() -> str:
    """Return how this user starts raysync: ``uv run`` sets PATH for its children only."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return UNDER_UV
    if shutil.which("raysync") is not None:
        return "raysync"
    return f"{shlex.quote(sys.executable)} -m raysync"


def as_invoked(text: str) -> str:
    """Return *text* with its raysync commands named as this user starts them."""
    return _NAMED.sub(lambda _: invocation(), text)
