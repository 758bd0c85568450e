"""All tokens' budgets, and the count of refusals that stops everything before a ban does."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from raysync.clock import SystemClock
from raysync.errors import BannedError, RunStoppedError
from raysync.models.header_values import seconds_in
from raysync.models.permits import Demand, Lease, Sharer
from raysync.models.refusal import Refusal, Scope
from raysync.ratelimit.budget import QUIET_S, VALID_S, GlobalBudget, limit_of
from raysync.ratelimit.refusals import (
    BAN,
    INVALID_STOP,
    InvalidRequests,
    spent_error,
)
from raysync.ratelimit.shares import TokenShare
from raysync.ratelimit.throttle import Throttle

_SHARE_PAUSE_S: Final = 0.1
_GLOBAL: Final = Scope.GLOBAL.value
_NOW: Final = SystemClock().now


class Governor:
    """Grants permits for any number of tokens. Begins with a quiet moment.

    What an earlier governor granted before its death may still be sent: so nothing is granted
    until that must lie a second back. Times are one monotonic clock's, in seconds.
    """

    def __init__(
        self,
        started_s: float | None = None,
        *,
        invalid_stop: int = INVALID_STOP,
        shares: dict[str, TokenShare] | None = None,
        now: Callable[[], datetime] = _NOW,
    ) -> None:
        """*started_s* is when this governor began; None counts from the first call.

        *now* is the time that people are told.

        With *shares*, others grant permits of the same tokens: a share is added for each token
        that is asked for, nothing is granted beyond it, and whoever gave them renews them.
        """
        self._opens_s = None if started_s is None else started_s + QUIET_S
        self._shares = shares
        self._throttles: dict[str, Throttle] = {}
        self._budgets: dict[str, GlobalBudget] = {}
        self._invalid = InvalidRequests(invalid_stop)
        self._banned_until_s = -math.inf
        self._used_s: float | None = started_s
        self._now = now

    def lease(
        self, fingerprint: str, sharer: Sharer, want: Demand, per_second: float, now_s: float
    ) -> Lease:
        """Permits of the token *fingerprint* for *sharer*; takes in what it tells of earlier ones.

        Raises:
            BannedError: Discord blocks this address.
            RunStoppedError: so many requests were refused that a ban is near.
        """
        self._used_s = now_s
        stopped = self.stopped_by(now_s)
        if stopped is not None:
            raise stopped
        budget = self._budget(fingerprint, now_s)
        if self._shares is None:
            return budget.lease(sharer, want, per_second, now_s)
        share = self._shares.setdefault(fingerprint, TokenShare(limit_of(per_second)))
        budget.part = share.usable(now_s)
        if not budget.part:
            budget.take_in(want.uses)
            lease = Lease(now_s, (), VALID_S, _SHARE_PAUSE_S)
        else:
            lease = budget.lease(sharer, want, per_second, now_s)
        if want.permits:
            share.note_use(len(lease.starts), now_s)
        return lease

    def give_up_shares(self) -> None:
        """Use no more of any token: others may have it, as soon as that is written down."""
        for each in (self._shares or {}).values():
            each.give_up()

    def observe(
        self,
        fingerprint: str,
        status: int,
        scope: str | None,
        retry_after_s: float | None,
        now_s: float,
    ) -> None:
        """Take in a refusal: 401, 403, 429."""
        self._used_s = now_s
        self._invalid.note(status, scope, now_s)
        if scope == BAN:
            pause_s = _believed(Scope.BAN, retry_after_s)
            self._banned_until_s = max(self._banned_until_s, now_s + pause_s)
        elif scope == _GLOBAL:
            pause_s = _believed(Scope.GLOBAL, retry_after_s)
            self._budget(fingerprint, now_s).block(now_s + pause_s)
            self._throttle(fingerprint).note_refusal(now_s)

    def stop_at(self, invalid_requests: int) -> None:
        """Stop after so many refusals already, if nobody asked for fewer."""
        self._invalid.stop_at(invalid_requests)

    def stopped_by(self, now_s: float) -> RunStoppedError | None:
        """Why nothing may be asked of Discord now; None where it may. Who asks is still there."""
        self._used_s = now_s
        if now_s < self._banned_until_s:
            return BannedError.lasting_until(
                self._now() + timedelta(seconds=self._banned_until_s - now_s)
            )
        if self._invalid.spent(now_s):
            return spent_error(self._invalid.count(now_s))
        return None

    def invalid_requests(self, now_s: float) -> int:
        """How many of the last ten minutes' answers count toward a ban."""
        return self._invalid.count(now_s)

    @property
    def invalid_request_limit(self) -> int:
        """At how many of them nothing is asked any more."""
        return self._invalid.most

    def idle_s(self, now_s: float) -> float:
        """How long nobody has asked."""
        if self._used_s is None:
            self._used_s = now_s
        return now_s - self._used_s

    def _budget(self, fingerprint: str, now_s: float) -> GlobalBudget:
        if self._opens_s is None:
            self._opens_s = now_s + QUIET_S
        budget = self._budgets.get(fingerprint)
        if budget is None:
            budget = self._budgets[fingerprint] = GlobalBudget(
                self._opens_s, self._throttle(fingerprint)
            )
        return budget

    def _throttle(self, fingerprint: str) -> Throttle:
        return self._throttles.setdefault(fingerprint, Throttle(fingerprint))


def _believed(scope: Scope, asked_s: float | None) -> float:
    """How long to ask nothing: what is asked for, within bounds."""
    told_s = seconds_in(asked_s)
    return Refusal.asking(scope, [] if told_s is None else [told_s]).pause_s
