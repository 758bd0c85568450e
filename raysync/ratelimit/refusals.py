"""The count of Discord's refusals, of which too many ban the address."""

from __future__ import annotations

from collections import deque
from typing import Final

from raysync.errors import RunStoppedError
from raysync.models.refusal import Scope

BAN: Final = Scope.BAN.value
"""Scope of a 429 of Cloudflare's, not Discord's, which blocks the address."""
SHARED: Final = Scope.SHARED.value
INVALID_WINDOW_S: Final = 600.0
INVALID_STOP: Final = 1_000
"""A tenth of the ban's limit, since other programs behind the same address count too."""


class InvalidRequests:
    """The answers that count toward a ban: 401, 403, and 429 unless its scope is shared."""

    def __init__(self, stop_at: int = INVALID_STOP, window_s: float = INVALID_WINDOW_S) -> None:
        self._stop_at = stop_at
        self._window_s = window_s
        self._seen_s: deque[float] = deque()

    def stop_at(self, count: int) -> None:
        """Lower the limit to *count*; a higher count changes nothing."""
        self._stop_at = min(self._stop_at, count)

    @property
    def most(self) -> int:
        """The number of answers that stops all requests."""
        return self._stop_at

    def note(self, status: int, scope: str | None, now_s: float) -> None:
        """Count an answer if it counts toward a ban."""
        if status in (401, 403) or (status == 429 and scope != SHARED):
            self._seen_s.append(now_s)

    def count(self, now_s: float) -> int:
        """Return the number of answers within the window."""
        while self._seen_s and self._seen_s[0] <= now_s - self._window_s:
            self._seen_s.popleft()
        return len(self._seen_s)

    def spent(self, now_s: float) -> bool:
        """Return whether the limit is reached."""
        return self.count(now_s) >= self._stop_at


def spent_error(count: int) -> RunStoppedError:
    """Return the error for so many refusals that a ban is near."""
    return RunStoppedError(
        f"Discord refused {count} requests within ten minutes (401, 403 or 429). At 10,000 it "
        "blocks the address, so no more requests are sent for now. See what is refused with "
        "`raysync status`, and resume the run in ten minutes: it continues where it stopped."
    )
