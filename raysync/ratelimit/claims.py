"""The claims of single buckets, where they are stricter than what is known of the route."""

from __future__ import annotations

from dataclasses import dataclass

from raysync.ratelimit.bucket import MARGIN_S
from raysync.ratelimit.forms import PADDING
from raysync.ratelimit.headers import BucketHeaders
from raysync.ratelimit.policies import RoutePolicy


@dataclass(slots=True)
class BucketClaim:
    """One answer's claim: *left* requests may be sent until *until_s*.

    It binds its own bucket, once, and nothing else. In every form of bucket, the number left is
    right whatever the limit is, and the bucket is empty at the time named. So a single answer is
    obeyed without being believed of its route, and a wrong one costs its own bucket one wait.
    """

    left: int
    until_s: float
    asked: int  #: the number of the request whose answer made the claim

    @classmethod
    def read(cls, headers: BucketHeaders, asked: int, started: int, now_s: float) -> BucketClaim:
        """Make a claim of the headers for request *asked*, of *started* requests so far.

        The headers do not count the requests that started after it.
        """
        limit, reset_s = headers.limit or 1, headers.reset_after_s or 0.0
        remaining = limit - 1 if headers.remaining is None else min(headers.remaining, limit)
        return cls(remaining - (started - asked), now_s + reset_s + MARGIN_S, asked)

    def with_earlier(self, other: BucketClaim) -> None:
        """Merge the claim of an earlier request, whose answer came later."""
        self.left = min(self.left, other.left)
        self.until_s = max(self.until_s, other.until_s)

    def delay_s(self, now_s: float) -> float:
        """Return the seconds until another request may start."""
        return max(self.until_s - now_s, 0.0) if self.left < 1 else 0.0


def is_stricter(headers: BucketHeaders, policy: RoutePolicy | None) -> bool:
    """Return whether headers allow fewer requests than *policy*."""
    if policy is None or headers.limit is None or headers.reset_after_s is None:
        return policy is None
    longest_s = policy.window_s * (1 + PADDING) + MARGIN_S
    return headers.limit < policy.limit or headers.reset_after_s > longest_s
