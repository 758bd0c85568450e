"""What each route's buckets allow: observed, read from headers, learned from refusals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from raysync.ratelimit.forms import BucketForm, FormEvidence

MASK_LIMIT: Final = 100
"""A limit of so many or more binds nothing at 50 requests a second: it may be a mask."""
_UNTOLD_WINDOW_S: Final = 1.0


class PolicySource(StrEnum):
    """Where a policy is from; a later source overrules an earlier one."""

    PRIOR = "prior"  #: observed by people
    INFERRED = "inferred"  #: from a 429 that named no limit, and from what was let through before
    HEADERS = "headers"  #: said by an answer that was let through
    REFUSAL = "refusal"  #: said by a 429


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """*limit* requests in any *window_s*, in each bucket of a route. Worth keeping over runs."""

    route: str
    limit: int
    window_s: float
    source: PolicySource
    form: BucketForm = BucketForm.UNKNOWN

    @property
    def interval_s(self) -> float:
        """How long a leaky bucket takes to drain by one request."""
        return self.window_s / self.limit


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
            _prior("GET /channels/{channel_id}/threads/search", 1, 1.0),
        )
    )
)
"""None of it is official. Of the search nobody has told, so it is careful; the rest was seen again
in refusals years later."""


@dataclass(frozen=True, slots=True)
class BucketHeaders:
    """The rate limit headers of one answer, as far as they are there and make sense."""

    limit: int | None = None
    reset_after_s: float | None = None
    retry_after_s: float | None = None
    scope: str | None = None
    remaining: int | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> BucketHeaders:
        """Take them from *headers*, which must ignore case or be in lower case."""
        limit = _number(headers.get("x-ratelimit-limit"))
        remaining = _number(headers.get("x-ratelimit-remaining"))
        return cls(
            limit=None if limit is None or limit < 1 else int(limit),
            reset_after_s=_number(headers.get("x-ratelimit-reset-after")),
            retry_after_s=_number(headers.get("retry-after")),
            scope=headers.get("x-ratelimit-scope"),
            remaining=None if remaining is None else int(remaining),
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
        self._evidence: dict[str, FormEvidence] = {}

    def get(self, route: str) -> RoutePolicy | None:
        """The policy of *route*; None while nothing limits it but the token's budget."""
        return self._policies.get(route)

    def learn(self, known: Iterable[RoutePolicy]) -> None:
        """Take in what an earlier run learned."""
        self._policies |= {each.route: each for each in known}

    def learned(self) -> tuple[RoutePolicy, ...]:
        """What Discord itself has said, to be kept for the next run."""
        return tuple(
            each for each in self._policies.values() if each.source is not PolicySource.PRIOR
        )

    def note_answer(self, route: str, headers: BucketHeaders) -> None:
        """Learn from an answer that was let through; what a refusal taught is not overruled."""
        limit, reset_s = headers.limit, headers.reset_after_s
        if limit is None or reset_s is None or limit >= MASK_LIMIT:
            return
        known = self._policies.get(route)
        if known is None:
            known = RoutePolicy(route, limit, _whole(reset_s), PolicySource.HEADERS)
        elif known.source is PolicySource.REFUSAL and limit > known.limit:
            return
        told = _told(known, limit, reset_s)
        self._policies[route] = self._with_form(told, headers.remaining, reset_s)

    def note_refusal(self, route: str, headers: BucketHeaders, let_through: int = 0) -> None:
        """Learn from a 429 of the bucket itself. One that was taken for leaky is so no more.

        *let_through* is how many requests the bucket took in the window before. Where the 429
        names no limit, the limit is lowered by one, and not below what it took: without any,
        somebody else uses the bucket, which tells nothing of its limit.
        """
        known = self._policies.get(route)
        form = known.form if known else BucketForm.UNKNOWN
        if form is BucketForm.LEAKY:
            form = BucketForm.FIXED
        if headers.limit is not None and headers.limit < MASK_LIMIT:
            told_s = _whole(headers.reset_after_s or headers.retry_after_s or 0.0)
            limit, window_s = headers.limit, max(_longest_s(known), told_s)
        elif known is None:
            limit, window_s = 1, max(headers.retry_after_s or 0.0, _UNTOLD_WINDOW_S)
        elif known.form is BucketForm.LEAKY:
            limit, window_s = known.limit, _longest_s(known)
        else:
            if 0 < let_through < known.limit:
                limit = max(let_through, known.limit - 1)
                source = _later(known.source, PolicySource.INFERRED)
                self._policies[route] = replace(known, limit=limit, source=source)
            return
        self._policies[route] = RoutePolicy(route, limit, window_s, PolicySource.REFUSAL, form)

    def _with_form(self, policy: RoutePolicy, remaining: int | None, reset_s: float) -> RoutePolicy:
        """The policy with the form that one more answer makes believable."""
        if policy.form is BucketForm.FIXED or remaining is None:
            return policy
        evidence = self._evidence.get(policy.route)
        if evidence is None or evidence.limit != policy.limit:
            interval_s = policy.interval_s if policy.form is BucketForm.LEAKY else None
            evidence = self._evidence[policy.route] = FormEvidence(policy.limit, interval_s)
        form = evidence.note(remaining, reset_s)
        if form is policy.form:
            return policy
        leaky = form is BucketForm.LEAKY
        window_s = evidence.window_s() if leaky else max(_longest_s(policy), _whole(reset_s))
        source = _later(policy.source, PolicySource.HEADERS)
        return replace(policy, window_s=window_s, source=source, form=form)


def _told(known: RoutePolicy, limit: int, reset_s: float) -> RoutePolicy:
    """What is known of a route, with what an answer says of its limit and window."""
    if limit == known.limit and known.form is BucketForm.LEAKY:
        return known
    # reset-after is the window itself at most: in a leaky bucket, when it is used up
    window_s = max(known.window_s, _whole(reset_s))
    if (limit, window_s) == (known.limit, known.window_s):
        return known
    form = known.form if limit == known.limit else BucketForm.UNKNOWN
    return replace(
        known,
        limit=limit,
        window_s=window_s,
        source=_later(known.source, PolicySource.HEADERS),
        form=form,
    )


def _longest_s(known: RoutePolicy | None) -> float:
    """The window to go back to where a shorter one turns out to be wrong."""
    if known is None:
        return 0.0
    prior = PRIORS.get(known.route)
    return max(known.window_s, prior.window_s if prior else 0.0)


def _later(one: PolicySource, other: PolicySource) -> PolicySource:
    return max(one, other, key=list(PolicySource).index)
