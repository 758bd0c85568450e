"""One token's shares among several governors, which never exceed the whole.

All governors can reach a ledger, in which each keeps one claim and renews it. Three rules keep the
sum, whatever is late or lost:

* A claim grows only by what the others' valid claims leave of the whole.
* A governor uses no more than its claim. It uses less *before* it writes a smaller claim, and more
  only *after* it has written a larger one. It uses nothing once the claim has expired by its own
  clock, which started before the ledger's.
* Requests of another governor's former share may still be in flight. So a growth counts only
  `QUIET_S` after another governor may last have used more than it claims now.

Shares are whole numbers of requests per second, as Discord's limit is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from raysync.models.records import ShareClaim
from raysync.ratelimit.budget import QUIET_S

VALID_FOR_S: Final = 3.0
"""Validity of a claim, in seconds, after which a dead governor's share is free."""
RENEW_S: Final = 1.0
"""Seconds between renewals of a governor that is alone."""
_IN_COMPANY_S: Final = 0.4
"""Seconds between renewals while others share the token, since shares change all the time."""
_HURRY_S: Final = 0.2
"""Seconds between renewals while the share is growing or shrinking."""
_WANTED_S: Final = 2.0
"""Seconds without demand after which a token is released."""
_BUSY: Final = 0.8
"""Part of a share whose use shows demand for more."""
_SPARE: Final = 1.5
"""Share to request for each request that was sent lately."""

Decide = Callable[[Sequence[ShareClaim], float], ShareClaim]
"""Function from the other governors' valid claims to one's own.

The second argument is the seconds since another governor may last have used more than it claims
now; infinity where there was none.
"""


class ShareLedger(Protocol):
    """The ledger of governors' claims; the store's TokenShares satisfies it."""

    async def renew(self, token: str, governor: str, valid_s: float, decide: Decide) -> None:
        """Replace the governor's claim by the result of *decide* for the others' valid claims."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def fair_share(whole: int, own: int, others: Sequence[int]) -> int:
    """Return one claimant's part of *whole*, which is at least an equal one if it asks for so much.

    A claimant that asks for less leaves the rest to the others. What nobody asks for is divided
    evenly.
    """
    left, share = whole, 0
    claims = sorted([(other, False) for other in others if other > 0] + [(own, True)])
    for rank, (asked, is_own) in enumerate(claims):
        part = min(asked, left // (len(claims) - rank))
        left -= part
        if is_own:
            share = part
    return share + left // len(claims)


class TokenShare:
    """One governor's share of one token, in times of the governor's own clock."""

    def __init__(self, whole: int) -> None:
        """Share *whole* requests per second, which is Discord's limit."""
        self._whole = whole
        self._held = 0  # requests per second that may be used now
        self._coming = 0  # the same from _coming_s on
        self._coming_s = math.inf
        self._expires_s = -math.inf
        self._due_s = -math.inf
        self._asked_s = -math.inf
        self._used_s: deque[float] = deque()
        self._claim = ShareClaim(0, 0)
        self._target = 0
        self._quiet_s = 0.0  # since another governor may last have used more than its claim

    def note_use(self, permits: int, now_s: float) -> None:
        """Record a request for permits, and the number granted."""
        self._asked_s = now_s
        self._used_s.extend([now_s] * permits)

    def give_up(self) -> None:
        """Release the whole share with the next renewal, which is due now."""
        self._held = self._coming = 0
        self._coming_s = math.inf
        self._asked_s = -math.inf
        self._due_s = -math.inf

    def is_free(self, now_s: float) -> bool:
        """Return whether there is neither a claim nor demand."""
        is_held = self.usable(now_s) or self._claim.granted
        return not is_held and now_s - self._asked_s >= _WANTED_S

    def bequeath(self, now_s: float) -> tuple[ShareClaim, float] | None:
        """Return the claim and its end; None while any of it may not be used, or none is held."""
        held = self.usable(now_s)
        if not held or held != self._claim.granted or self._coming_s < math.inf:
            return None
        return self._claim, self._expires_s

    @classmethod
    def inherited(cls, whole: int, claim: ShareClaim, expires_s: float, now_s: float) -> TokenShare:
        """Return a share that continues another governor's claim, and renews it at once."""
        share = cls(whole)
        share._claim, share._held = claim, claim.granted
        share._expires_s, share._due_s, share._asked_s = expires_s, now_s, now_s
        return share

    def usable(self, now_s: float) -> int:
        """Return the number of requests per second that may be granted now."""
        if now_s >= self._expires_s:
            self._held = self._coming = 0
            self._coming_s = math.inf
        if now_s >= self._coming_s:
            self._held, self._coming_s = self._coming, math.inf
        return self._held

    def is_due(self, now_s: float) -> bool:
        """Return whether the claim is to be renewed now: there is demand, or a share to release."""
        wanted = now_s - self._asked_s < _WANTED_S
        held = self._claim.granted > 0 and now_s < self._expires_s
        return (wanted or held) and now_s >= self._due_s

    def decide(self, now_s: float) -> Decide:
        """Return how to claim: see `ShareLedger`. Call `note_written` once the claim is written."""
        held, requested = self.usable(now_s), self._requested(now_s)

        def claim(others: Sequence[ShareClaim], quiet_s: float) -> ShareClaim:
            room = max(self._whole - sum(other.granted for other in others), 0)
            asked = [other.requested for other in others]
            self._target = fair_share(self._whole, requested, asked) if requested else 0
            self._quiet_s = quiet_s
            # a smaller share is used first, and written with the next renewal
            granted = max(min(self._target, room), held)
            self._coming = min(self._coming, granted)
            self._claim = ShareClaim(requested, granted)
            return self._claim

        return claim

    def note_written(self, asked_s: float, now_s: float) -> None:
        """Use the claim that was decided at *asked_s* and is written now."""
        held = self.usable(now_s)
        use = min(self._claim.granted, self._target)
        self._expires_s = asked_s + VALID_FOR_S
        self._due_s = now_s + self._pause_s(use)
        wait_s = QUIET_S - self._quiet_s
        if use <= held or wait_s <= 0:
            self._held, self._coming_s = use, math.inf
        elif self._coming_s == math.inf:
            self._coming, self._coming_s = use, now_s + wait_s
        else:
            self._coming = min(self._coming, use)  # a larger one would have to wait longer

    def _pause_s(self, use: int) -> float:
        """Return the seconds until the next renewal, if *use* of the claim is used."""
        if use < self._claim.granted:
            return 0.0  # the rest is released, and others wait for the ledger
        if self._claim.granted != self._target:
            return _HURRY_S
        return RENEW_S if self._claim.granted == self._whole else _IN_COMPANY_S

    def put_off(self, now_s: float) -> None:
        """Try again soon: the ledger did not answer, and the claim is valid until it expires."""
        self._due_s = now_s + _HURRY_S

    def _requested(self, now_s: float) -> int:
        while self._used_s and self._used_s[0] <= now_s - 1.0:
            self._used_s.popleft()
        if now_s - self._asked_s >= _WANTED_S:
            return 0
        used = len(self._used_s)
        if used >= _BUSY * self._held:
            return self._whole
        return min(math.ceil(_SPARE * used) + 1, self._whole)
