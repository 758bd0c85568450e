"""The rate limit headers of one answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from raysync.models.header_values import only_number

MASK_LIMIT: Final = 100
"""Limit that may be a mask, as any above it: it binds nothing at 50 requests a second."""
LONGEST_WINDOW_S: Final = 600.0
"""Longest window ever seen of any route, in seconds. A header that names more is ignored."""


@dataclass(frozen=True, slots=True)
class BucketHeaders:
    """The rate limit headers of one answer that are present and plausible.

    `X-RateLimit-Reset` is not among them, since it is a time on another clock.
    """

    limit: int | None = None
    reset_after_s: float | None = None
    retry_after_s: float | None = None
    scope: str | None = None
    remaining: int | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> BucketHeaders:
        """Parse *headers*, whose keys must ignore case or be in lower case.

        A header that comes twice with different values counts as absent.
        """
        limit = only_number(headers, "x-ratelimit-limit")
        remaining = only_number(headers, "x-ratelimit-remaining")
        return cls(
            limit=None if limit is None or limit < 1 else int(limit),
            reset_after_s=only_number(headers, "x-ratelimit-reset-after"),
            retry_after_s=only_number(headers, "retry-after"),
            scope=headers.get("x-ratelimit-scope"),
            remaining=None if remaining is None else int(remaining),
        )

    @property
    def is_claim(self) -> bool:
        """True if the headers describe a bucket, and are no mask."""
        return self.limit is not None and self.reset_after_s is not None and self.limit < MASK_LIMIT

    @property
    def is_believable(self) -> bool:
        """True if a window of this length may exist."""
        return self.reset_after_s is None or self.reset_after_s <= LONGEST_WINDOW_S


def whole_s(reset_after_s: float) -> float:
    """Return the shortest plausible window: every window ever seen is of whole seconds.

    A leaky bucket that refuses has drained by less than one request, so it names a little less
    than its window.
    """
    return float(max(1, math.ceil(reset_after_s)))
