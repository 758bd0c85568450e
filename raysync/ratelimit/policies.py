"""What each route's buckets allow: observed, read from headers, learned from refusals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

MASK_LIMIT: Final = 100
"""A limit of so many or more binds nothing at 50 requests a second: it may be a mask."""
_UNTOLD_WINDOW_S: Final = 1.0


class PolicySource(StrEnum):
    """Where a policy is from; a later source overrules an earlier one."""

    PRIOR = "prior"  #: observed by people
    HEADERS = "headers"  #: said by an answer that was let through
    REFUSAL = "refusal"  #: said by a 429


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """*limit* requests in any *window_s*, in each bucket of a route. Worth keeping over runs."""

    route: str
    limit: int
    window_s: float
    source: PolicySource


def _prior(route: str, limit: int, window_s: float) -> tuple[str, RoutePolicy]:
    return route, RoutePolicy(route, limit, window_s, PolicySource.PRIOR)


PAGES: Final = "GET /channels/{channel_id}/messages"


def pages_at(per_second: float) -> RoutePolicy:
    """A prior for message pages other than Discord's 5 per 5 s: for an API with other limits."""
    return RoutePolicy(PAGES, max(round(5 * per_second), 1), 5.0, PolicySource.PRIOR)


PRIORS: Final[Mapping[str, RoutePolicy]] = MappingProxyType(
    dict(
        (
            _prior(PAGES, 5, 5.0),
            _prior("GET /channels/{channel_id}/messages/{message_id}", 5, 5.0),
            _prior("GET /guilds/{guild_id}/members/{user_id}", 5, 1.0),
        )
    )
)
"""None of it is official; all of it was seen again in refusals years later."""


@dataclass(frozen=True, slots=True)
class BucketHeaders:
    """The rate limit headers of one answer, as far as they are there and make sense."""

    limit: int | None = None
    reset_after_s: float | None = None
    retry_after_s: float | None = None
    scope: str | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> BucketHeaders:
        """Take them from *headers*, which must ignore case or be in lower case."""
        limit = _number(headers.get("x-ratelimit-limit"))
        return cls(
            limit=None if limit is None or limit < 1 else int(limit),
            reset_after_s=_number(headers.get("x-ratelimit-reset-after")),
            retry_after_s=_number(headers.get("retry-after")),
            scope=headers.get("x-ratelimit-scope"),
        )


def _whole(reset_after_s: float) -> float:
    """The least window that fits: all that were ever seen are of whole seconds.

    A leaky bucket that refuses has drained by less than one request: it tells of a little less
    than its window.
    """
    return float(max(1, math.ceil(reset_after_s)))


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None


class RoutePolicies:
    """What is known of each route; shared by all buckets of one token."""

    def __init__(self, known: Iterable[RoutePolicy] = ()) -> None:
        self._policies = dict(PRIORS) | {each.route: each for each in known}

    def get(self, route: str) -> RoutePolicy | None:
        """The policy of *route*; None while nothing limits it but the token's budget."""
        return self._policies.get(route)

    def learned(self) -> tuple[RoutePolicy, ...]:
        """What Discord itself has said, to be kept for the next run."""
        return tuple(
            each for each in self._policies.values() if each.source is not PolicySource.PRIOR
        )

    def note_answer(self, route: str, headers: BucketHeaders) -> None:
        """Learn from an answer that was let through; what a refusal taught is not overruled."""
        limit = headers.limit
        if limit is None or headers.reset_after_s is None or limit >= MASK_LIMIT:
            return
        reset_s = _whole(headers.reset_after_s)
        known = self._policies.get(route)
        if known is None:
            self._policies[route] = RoutePolicy(route, limit, reset_s, PolicySource.HEADERS)
        elif known.source is PolicySource.REFUSAL and limit > known.limit:
            return
        elif limit != known.limit or reset_s > known.window_s:
            # reset-after is the window itself at most: in a leaky bucket, when it is used up
            window_s = max(known.window_s, reset_s)
            source = max(known.source, PolicySource.HEADERS, key=list(PolicySource).index)
            self._policies[route] = replace(known, limit=limit, window_s=window_s, source=source)

    def note_refusal(self, route: str, headers: BucketHeaders) -> None:
        """Learn from a 429 of the bucket itself."""
        known = self._policies.get(route)
        if headers.limit is not None and headers.limit < MASK_LIMIT:
            told_s = _whole(headers.reset_after_s or headers.retry_after_s or 0.0)
            window_s = max(known.window_s if known else 0.0, told_s)
            limit = headers.limit
        elif known is None:
            limit, window_s = 1, max(headers.retry_after_s or 0.0, _UNTOLD_WINDOW_S)
        else:
            return
        self._policies[route] = RoutePolicy(route, limit, window_s, PolicySource.REFUSAL)
