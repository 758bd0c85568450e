"""Waits on conditions, never for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_PERIOD_S = 0.02


def wait_until(holds: Callable[[], object], within_s: float = 30.0) -> None:
    """Return as soon as *holds* says so. Fails the test if it does not in time."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline_s, f"not so within {within_s:.0f} s"
        pause.wait(_PERIOD_S)
