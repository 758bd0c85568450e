"""One token's requests per second, shared out ahead of time among all who hold the token.

Permits are *paced*: each has a moment from which it is good, 1/rate after the one before it, so
that no window of a second, wherever Discord may begin it, holds more than the rate. A permit that
is not used within a moment of its start lapses: used later, it would add to those of another
moment. So a dead worker's permits, and a stalled one's, starve nobody for longer than they are.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

HORIZON_S = 0.4
"""How far ahead permits are given out: what a newcomer waits at most, beside its own turn."""
TOLERANCE_S = 0.03
"""How late a permit may be used: 3 % of a second's requests, inside the margin of 48 to 50."""
ACTIVE_S = 1.0
"""A worker that asked within the last second takes part in the shares."""
INVALID_WINDOW_S = 600.0
"""Discord counts 401, 403 and 429 over ten minutes per address, and bans at 10,000."""
INVALID_STOP = 1_000


@dataclass(frozen=True, slots=True)
class Lease:
    """Permits for one worker. Times are seconds from the moment of the answer."""

    starts: tuple[float, ...]  #: when each permit becomes good
    valid_for_s: float  #: how long after its start a permit may be used
    stop: str | None = None  #: why nothing may be asked any more; no permits then


@dataclass(slots=True)
class GlobalBudget:
    """The paced permits of one token."""

    next_s: float  #: when the next permit becomes good
    active: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def lease(self, worker: str, want: int, per_second: float, now_s: float) -> Lease:
        """Up to *want* permits; the fewer, the more workers ask."""
        self._note(worker, now_s)
        interval_s = 1.0 / per_second
        share = max(1, int(HORIZON_S * per_second / len(self.active)))
        first_s = max(now_s, self.next_s)
        count = max(1, min(want, share))
        self.next_s = first_s + count * interval_s
        starts = tuple(first_s - now_s + number * interval_s for number in range(count))
        return Lease(starts, TOLERANCE_S)

    def block(self, until_s: float) -> None:
        """Give no permit before *until_s*."""
        self.next_s = max(self.next_s, until_s)

    def _note(self, worker: str, now_s: float) -> None:
        self.active[worker] = now_s
        self.active.move_to_end(worker)
        while next(iter(self.active.values())) < now_s - ACTIVE_S:
            self.active.popitem(last=False)


class Governor:
    """The budgets of all tokens, and the count of invalid requests of this address."""

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._budgets: dict[str, GlobalBudget] = {}
        self._invalid: deque[float] = deque()
        self._stop: str | None = None
        self._asked_s = now_s

    def lease(
        self, fingerprint: str, worker: str, want: int, per_second: float, now_s: float
    ) -> Lease:
        """Permits for the token of *fingerprint*; see `GlobalBudget.lease`.

        A budget begins with an empty second after the governor's start: what an earlier governor
        granted just before its death has been used up by then.
        """
        self._asked_s = now_s
        if self._stop is not None:
            return Lease((), 0.0, self._stop)
        budget = self._budgets.get(fingerprint)
        if budget is None:
            budget = self._budgets[fingerprint] = GlobalBudget(self._started_s + 1.0)
        return budget.lease(worker, want, per_second, now_s)

    def observe(
        self,
        fingerprint: str,
        status: int,
        scope: str | None,
        retry_after_s: float | None,
        now_s: float,
    ) -> None:
        """Take in an answer of 401, 403 or 429."""
        budget = self._budgets.get(fingerprint)
        if status == 429 and scope == "global" and budget is not None:
            budget.block(now_s + (retry_after_s or 1.0))
        if scope == "shared":
            return
        self._invalid.append(now_s)
        while self._invalid[0] < now_s - INVALID_WINDOW_S:
            self._invalid.popleft()
        if len(self._invalid) >= INVALID_STOP and self._stop is None:
            self._stop = (
                f"Discord answered {len(self._invalid)} requests of the last ten minutes with 401, "
                "403 or 429. The run stops before Discord bans this address (at 10,000); look at "
                "the token and at the bot's permissions before you start again."
            )

    def ban(self, retry_after_s: float | None, now: datetime | None = None) -> None:
        """Discord blocks this address: nothing may be asked any more."""
        until = (now or datetime.now(UTC)) + timedelta(seconds=retry_after_s or 3600.0)
        self._stop = (
            "Discord blocks this address for exceeding its limits. Wait at least until "
            f"{until:%Y-%m-%d %H:%M} UTC before you start again; bans last from 1 to 24 hours."
        )

    def idle_s(self, now_s: float) -> float:
        """Seconds since anyone asked for a permit."""
        return now_s - self._asked_s
