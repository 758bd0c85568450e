"""The rate limit headers of one answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from raysync.models.header_values import only_number

MASK_LIMIT: Final = 100
"""A limit of so many or more binds nothing at 50 requests a second: it may be a mask."""
LONGEST_WINDOW_S: Final = 600.0
"""The longest window of any route that was ever seen. A header that says more tells nothing."""


@dataclass(frozen=True, slots=True)
class BucketHeaders:
    """The rate limit headers of one answer, as far as they are there and make sense.

    `X-RateLimit-Reset` is not among them: it is a time on another clock.
    """

    limit: int | None = None
    reset_after_s: float | None = None
    retry_after_s: float | None = None
    scope: str | None = None
    remaining: int | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> BucketHeaders:
        """Take them from *headers*, which must ignore case or be in lower case.

        A header that comes twice and contradicts itself is as if absent.
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
        """Whether they say something of a bucket, and are no mask."""
        told = self.limit is not None and self.reset_after_s is not None
        return told and self.limit < MASK_LIMIT  # type: ignore[operator] # it is told

    @property
    def is_believable(self) -> bool:
        """Whether the window they speak of may exist."""
        return self.reset_after_s is None or self.reset_after_s <= LONGEST_WINDOW_S


def whole_s(reset_after_s: float) -> float:
    """Return the least window that fits: all that were ever seen are of whole seconds.

    A leaky bucket that refuses has drained by less than one request: it tells of a little less
    than its window.
    """
    return float(max(1, math.ceil(reset_after_s)))
