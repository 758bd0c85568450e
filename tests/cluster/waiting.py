"""Waiting for conditions instead of for fixed times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_PERIOD_S = 0.02


def wait_until(holds: Callable[[], object], within_s: float = 30.0) -> None:
    """Return as soon as *holds* returns a true value. Fail the test after *within_s*."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline_s, f"the condition did not hold within {within_s:.0f} s"
        pause.wait(_PERIOD_S)
