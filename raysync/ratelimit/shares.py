"""One token among several governors: each has a share, and the shares never exceed the whole.

Governors meet in a ledger that all of them can reach, where each keeps one claim and renews it.
Three rules make the sum hold whatever is late or lost:

* A claim grows only by what the others' valid claims leave of the whole.
* A governor uses no more than its claim says: it uses less *before* it writes that down, and more
  only *after*, and nothing once the claim has expired by its own clock, which began to count
  before the ledger's did.
* What another gave up may still be on its way: so a growth counts only `QUIET_S` later, unless
  there was no other lately.

Shares are counted in requests per second, whole ones, since Discord's limit is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from raysync.models.records import ShareClaim
from raysync.ratelimit.budget import QUIET_S

VALID_FOR_S: Final = 3.0
"""A governor that died has lost its share after this."""
RENEW_S: Final = 1.0
_IN_COMPANY_S: Final = 0.4
"""The same where others share the token: what each can use changes all the time."""
_HURRY_S: Final = 0.2
"""The same for a governor that waits for what others give up, or has something to give up."""
_WANTED_S: Final = 2.0
"""A token that nobody asked for so long is given up."""
_BUSY: Final = 0.8
"""Who uses this part of a share would use more."""
_SPARE: Final = 1.5

Decide = Callable[[Sequence[ShareClaim], bool], ShareClaim]


class ShareLedger(Protocol):
    """Where governors meet; the store's TokenShares by shape."""

    async def renew(self, token: str, governor: str, valid_s: float, decide: Decide) -> None:
        """Replace the governor's claim by what *decide* makes of the others' valid ones."""
        ...


def fair_share(whole: int, own: int, others: Sequence[int]) -> int:
    """What one claimant gets of *whole*, all being asked for: nobody less than an equal part.

    Who asks for less leaves the rest to the others; what nobody asks for is divided evenly.
    """
    left, share = whole, 0
    claims = sorted([(each, False) for each in others if each > 0] + [(own, True)])
    for rank, (asked, is_own) in enumerate(claims):
        part = min(asked, left // (len(claims) - rank))
        left -= part
        if is_own:
            share = part
    return share + left // len(claims)


class TokenShare:
    """One governor's share of one token. Times are the governor's own clock's."""

    def __init__(self, whole: int) -> None:
        """*whole* is how many requests Discord takes in a second."""
        self._whole = whole
        self._held = 0  # what may be used now
        self._coming = 0  # what may be used from _coming_s on
        self._coming_s = math.inf
        self._expires_s = -math.inf
        self._due_s = -math.inf
        self._asked_s = -math.inf
        self._used_s: deque[float] = deque()
        self._claim = ShareClaim(0, 0)
        self._target = 0
        self._alone = False

    def note_use(self, permits: int, now_s: float) -> None:
        """Somebody asked, and was granted so many."""
        self._asked_s = now_s
        self._used_s.extend([now_s] * permits)

    def give_up(self) -> None:
        """Nobody will ask for a while: leave all of it to others with the next renewal, now."""
        self._held = self._coming = 0
        self._coming_s = math.inf
        self._asked_s = -math.inf
        self._due_s = -math.inf

    def usable(self, now_s: float) -> int:
        """How many requests in a second may be granted now."""
        if now_s >= self._expires_s:
            self._held = self._coming = 0
            self._coming_s = math.inf
        if now_s >= self._coming_s:
            self._held, self._coming_s = self._coming, math.inf
        return self._held

    def is_due(self, now_s: float) -> bool:
        """Whether the claim is to be renewed now: there is demand, or something to give up."""
        wanted = now_s - self._asked_s < _WANTED_S
        given_up = self._claim.granted > 0 and now_s < self._expires_s
        return (wanted or given_up) and now_s >= self._due_s

    def decide(self, now_s: float) -> Decide:
        """How to claim: see `ShareLedger`. `take_in` is to follow when that is written."""
        held, requested = self.usable(now_s), self._requested(now_s)

        def claim(others: Sequence[ShareClaim], alone: bool) -> ShareClaim:
            room = max(self._whole - sum(each.granted for each in others), 0)
            asked = [each.requested for each in others]
            self._target = fair_share(self._whole, requested, asked) if requested else 0
            self._alone = alone
            # less is used first, and written down with the next renewal
            granted = max(min(self._target, room), held)
            self._coming = min(self._coming, granted)
            self._claim = ShareClaim(requested, granted)
            return self._claim

        return claim

    def take_in(self, asked_s: float, now_s: float) -> None:
        """The claim that was decided at *asked_s* is written: use what it says."""
        held = self.usable(now_s)
        use = min(self._claim.granted, self._target)
        self._expires_s = asked_s + VALID_FOR_S
        self._due_s = now_s + self._pause_s(use)
        if use <= held or self._alone:
            self._held, self._coming_s = use, math.inf
        elif self._coming_s == math.inf:
            self._coming, self._coming_s = use, now_s + QUIET_S
        else:
            self._coming = min(self._coming, use)  # more of it would have to wait longer

    def _pause_s(self, use: int) -> float:
        """Until the claim is to be renewed, where so much of it is used."""
        if use < self._claim.granted:
            return 0.0  # the rest is given up, and others wait for that to be written
        if self._claim.granted != self._target:
            return _HURRY_S
        return RENEW_S if self._claim.granted == self._whole else _IN_COMPANY_S

    def put_off(self, now_s: float) -> None:
        """The ledger did not answer: what is held is good until it expires."""
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
