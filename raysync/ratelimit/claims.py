"""What one bucket says of itself where that is stricter than what is known of its route."""

from __future__ import annotations

from dataclasses import dataclass

from raysync.ratelimit.bucket import MARGIN_S
from raysync.ratelimit.forms import PADDING
from raysync.ratelimit.headers import BucketHeaders
from raysync.ratelimit.policies import RoutePolicy


@dataclass(slots=True)
class BucketClaim:
    """So many requests are left until then. It binds its own bucket, once, and nothing else.

    In every form of bucket, what is left is left, whatever the limit is, and when the time told is
    over the bucket is empty. So a single answer need not be believed of its route to be obeyed,
    and a wrong one costs its own bucket one wait.
    """

    left: int
    until_s: float
    asked: int  #: the number of the request whose answer said so

    @classmethod
    def read(cls, told: BucketHeaders, asked: int, started: int, now_s: float) -> BucketClaim:
        """Make one of headers that say something: of request *asked* of *started* so far.

        Those that started after it are not in what it says is left.
        """
        limit, reset_s = told.limit or 1, told.reset_after_s or 0.0
        remaining = limit - 1 if told.remaining is None else min(told.remaining, limit)
        return cls(remaining - (started - asked), now_s + reset_s + MARGIN_S, asked)

    def with_earlier(self, other: BucketClaim) -> None:
        """Take in the claim of a request that was sent before: its answer came later."""
        self.left = min(self.left, other.left)
        self.until_s = max(self.until_s, other.until_s)

    def delay_s(self, now_s: float) -> float:
        """Return how long until another request may start."""
        return max(self.until_s - now_s, 0.0) if self.left < 1 else 0.0


def is_stricter(told: BucketHeaders, policy: RoutePolicy | None) -> bool:
    """Return whether headers say less of their bucket than *policy* allows."""
    if policy is None or told.limit is None or told.reset_after_s is None:
        return policy is None
    longest_s = policy.window_s * (1 + PADDING) + MARGIN_S
    return told.limit < policy.limit or told.reset_after_s > longest_s
