"""The budgets of all tokens, and the circuit breaker that stops all requests before a ban."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from raysync.clock import SystemClock
from raysync.errors import BannedError, RunStoppedError
from raysync.models.header_values import seconds_in
from raysync.models.permits import Bequest, Demand, Lease, Sharer
from raysync.models.records import ShareClaim
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

INHERIT_WITHIN_S: Final = 1.0
"""Age of a bequest, in seconds, up to which it is accepted; an older one has another clock."""
_SHARE_PAUSE_S: Final = 0.1
_GLOBAL: Final = Scope.GLOBAL.value
_NOW: Final = SystemClock().now


class Governor:
    """Grants permits for any number of tokens, after a short quiet time at its start.

    Permits of an earlier governor may still be in use. So nothing is granted until the last of
    them must lie more than a second back. Times are of one monotonic clock, in seconds.
    """

    def __init__(
        self,
        started_s: float | None = None,
        *,
        invalid_stop: int = INVALID_STOP,
        shares: dict[str, TokenShare] | None = None,
        now: Callable[[], datetime] = _NOW,
    ) -> None:
        """Start at *started_s*; None: at the first call.

        *now* is the wall clock for messages.

        With *shares*, other governors grant permits of the same tokens. A share is added for each
        requested token, and nothing is granted beyond it. The owner of *shares* renews them.
        """
        self._opens_s = None if started_s is None else started_s + QUIET_S
        self._shares = shares
        self._left: dict[str, TokenShare] = {}
        self._throttles: dict[str, Throttle] = {}
        self._budgets: dict[str, GlobalBudget] = {}
        self._invalid = InvalidRequests(invalid_stop)
        self._banned_until_s = -math.inf
        self._used_s: float | None = started_s
        self._now = now

    def lease(
        self, fingerprint: str, sharer: Sharer, demand: Demand, per_second: float, now_s: float
    ) -> Lease:
        """Grant *sharer* permits of the token *fingerprint*, and record the use of earlier ones.

        Raises:
            BannedError: Discord blocks this address.
            RunStoppedError: so many requests were refused that a ban is near.
        """
        self._used_s = now_s
        error = self.stopped_by(now_s)
        if error is not None:
            raise error
        budget = self._budget(fingerprint, now_s)
        if self._shares is None:
            return budget.lease(sharer, demand, per_second, now_s)
        share = self._shares.setdefault(fingerprint, TokenShare(limit_of(per_second)))
        budget.part = share.usable(now_s)
        if not budget.part:
            budget.record(demand.uses)
            lease = Lease(now_s, (), VALID_S, _SHARE_PAUSE_S)
        else:
            lease = budget.lease(sharer, demand, per_second, now_s)
        if demand.permits:
            share.note_use(len(lease.starts), now_s)
        return lease

    def bequeath(self, fingerprint: str, claimant: str, now_s: float) -> Bequest | None:
        """Leave a token to another governor on this machine; None: it cannot be left so.

        From now on this governor has no share of it. `regain` takes it back.
        """
        share = (self._shares or {}).get(fingerprint)
        budget = self._budgets.get(fingerprint)
        left = None if share is None or budget is None else share.bequeath(now_s)
        if self._shares is None or left is None or budget is None:
            return None
        claim, expires_s = left
        self._left[fingerprint] = self._shares.pop(fingerprint)
        pace = budget.bequeath()
        return Bequest(now_s, claimant, claim.requested, claim.granted, expires_s, *pace)

    def regain(self, fingerprint: str) -> None:
        """Take back a token that the other governor has refused."""
        if self._shares is not None:
            self._shares[fingerprint] = self._left.pop(fingerprint)

    def inherit(self, fingerprint: str, bequest: Bequest, per_second: float, now_s: float) -> bool:
        """Continue with a token of another governor. Return whether this is possible.

        It is not for a token of which this governor has a share or needs one, or from a governor
        with another clock.
        """
        known = (self._shares or {}).get(fingerprint)
        if self._shares is None or not (known is None or known.is_free(now_s)):
            return False
        if not 0 <= now_s - bequest.left_at_s <= INHERIT_WITHIN_S:
            return False
        claim = ShareClaim(bequest.requested, bequest.granted)
        self._shares[fingerprint] = TokenShare.inherited(
            limit_of(per_second), claim, bequest.expires_s, now_s
        )
        if fingerprint not in self._budgets:  # the quiet time is for permits that nobody knows
            new = GlobalBudget(-math.inf, self._throttle(fingerprint))
            self._budgets[fingerprint] = new
        self._budgets[fingerprint].inherit(bequest.next_s, bequest.last_s, bequest.uses)
        return True

    def give_up_shares(self) -> None:
        """Stop using all tokens: other governors may use them once the ledgers are written."""
        for share in (self._shares or {}).values():
            share.give_up()

    def observe(
        self,
        fingerprint: str,
        status: int,
        scope: str | None,
        retry_after_s: float | None,
        now_s: float,
    ) -> None:
        """Record a refusal: 401, 403 or 429."""
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
        """Lower the number of refusals that stops all requests; a higher number changes nothing."""
        self._invalid.stop_at(invalid_requests)

    def stopped_by(self, now_s: float) -> RunStoppedError | None:
        """Return why no request may be sent now; None: it may. The call counts as use."""
        self._used_s = now_s
        if now_s < self._banned_until_s:
            return BannedError.lasting_until(
                self._now() + timedelta(seconds=self._banned_until_s - now_s)
            )
        if self._invalid.spent(now_s):
            return spent_error(self._invalid.count(now_s))
        return None

    def invalid_requests(self, now_s: float) -> int:
        """Return the number of answers in the last ten minutes that count toward a ban."""
        return self._invalid.count(now_s)

    @property
    def invalid_request_limit(self) -> int:
        """The number of invalid requests that stops all requests."""
        return self._invalid.most

    def idle_s(self, now_s: float) -> float:
        """Return the seconds since the last use."""
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
    """Return how long to send nothing: the time that the refusal names, within bounds."""
    named_s = seconds_in(asked_s)
    return Refusal.asking(scope, [] if named_s is None else [named_s]).pause_s
