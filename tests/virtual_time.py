"""Event loop whose clock jumps to the next timer: minutes of waiting take a millisecond.

Only for code that opens no socket.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


class LoopClock:
    """`raysync.clock.Clock` that follows the running loop's time."""

    start = datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return self.at(self.monotonic_s())

    def at(self, monotonic_s: float) -> datetime:
        """Return what `now` returns at *monotonic_s*."""
        return self.start + timedelta(seconds=monotonic_s)


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* to its end in virtual time."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(coroutine)
