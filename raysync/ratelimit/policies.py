"""The limits of each route's buckets: observed, read from headers, learned from refusals.

Nothing that a peer says is believed without bounds, on a single answer, or for good:

* A window of more than ten minutes does not exist, and is ignored. One of more than
  `ROUTE_WINDOW_S` is believed of its own bucket (`claims`), and not of its route.
* A limit or window of a route is the one that most of its last answers name (`votes`). A single
  answer binds its own bucket. So later answers correct it, in both directions.
* A refusal is believed at once, and more than successful answers, which may lie. Answers that go
  on naming more are believed again after a minute; if that is refused, after ever longer.
* A limit that is not confirmed for a day is discarded.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from raysync.ratelimit.forms import BucketForm, FormEvidence
from raysync.ratelimit.headers import MASK_LIMIT, BucketHeaders, whole_s
from raysync.ratelimit.votes import RouteVotes

__all__ = ["MASK_LIMIT", "BucketHeaders", "PolicySource", "RoutePolicies", "RoutePolicy"]

_log = logging.getLogger(__name__)

ROUTE_WINDOW_S: Final = 60.0
"""Longest window believed of a route, in seconds. The routes in use have up to half of it."""
_COMMON_WINDOW_S: Final = 10.0
"""Longest window believed of a route on a single answer, in seconds."""
_DEFAULT_WINDOW_S: Final = 1.0
_CONFIRMED: Final = 3
"""Number of answers that make a limit worth keeping, or looser than an observed one."""
_BELIEVED_S: Final = 86_400.0
_DOUBT_S: Final = 60.0
"""Seconds after a refusal in which successful answers cannot overrule it.

Each time that an overruled limit is refused again, the time is four times as long, up to
`_LONGEST_DOUBT_S`."""
_LONGEST_DOUBT_S: Final = 3600.0


class PolicySource(StrEnum):
    """The source of a policy; a later one overrules an earlier one."""

    PRIOR = "prior"  #: observed by people
    INFERRED = "inferred"  #: from a 429 without a limit, and from the requests let through before
    HEADERS = "headers"  #: named by a successful answer
    REFUSAL = "refusal"  #: named by a 429


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """A route's limit: *limit* requests in any *window_s*, in each bucket. Kept over runs."""

    route: str
    limit: int
    window_s: float
    source: PolicySource
    form: BucketForm = BucketForm.UNKNOWN

    @property
    def interval_s(self) -> float:
        """The time in which a leaky bucket drains by one request."""
        return self.window_s / self.limit

    @property
    def is_believable(self) -> bool:
        """True if the limit may be true of a route; a configured one always is."""
        is_limit = 1 <= self.limit < MASK_LIMIT and 0 < self.window_s <= ROUTE_WINDOW_S
        return is_limit or self.source is PolicySource.PRIOR


def _prior(route: str, limit: int, window_s: float) -> tuple[str, RoutePolicy]:
    return route, RoutePolicy(route, limit, window_s, PolicySource.PRIOR)


PAGES: Final = "GET /channels/{channel_id}/messages"


def pages_at(per_second: float) -> RoutePolicy:
    """Return a prior for message pages of an API with other limits than Discord's 5 per 5 s."""
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
"""Observed limits, none of them official; refusals confirmed most of them years later.

No limit is published for search, so one request a second is assumed."""


class RoutePolicies:
    """The known limits of each route, shared by all buckets of one token."""

    def __init__(
        self, known: Iterable[RoutePolicy] = (), clock_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Start from *known*. Without a monotonic *clock_s*, nothing expires or is overruled."""
        self._clock_s = clock_s
        self._priors = dict(PRIORS)
        self._policies = dict(PRIORS)
        self._confirmed_s: dict[str, float] = {}
        self._votes: defaultdict[str, RouteVotes] = defaultdict(RouteVotes)
        self._evidence: dict[str, FormEvidence] = {}
        self._refused_s: dict[str, float] = {}
        self._doubted: set[str] = set()
        self._distrust: dict[str, int] = {}
        self._disbelieved: set[str] = set()
        self.learn(known)

    def get(self, route: str) -> RoutePolicy | None:
        """Return the policy of *route*; None while only the token's budget limits it."""
        confirmed_s = self._confirmed_s.get(route)
        if confirmed_s is not None and self._clock_s() - confirmed_s > _BELIEVED_S:
            self._discard(route)
        return self._policies.get(route)

    def learn(self, known: Iterable[RoutePolicy]) -> None:
        """Add the policies of an earlier run that may be true."""
        for policy in known:
            if policy.is_believable:
                self._believe(policy)

    def learned(self) -> tuple[RoutePolicy, ...]:
        """Return the policies that Discord itself has named, to be kept for the next run.

        Those of only one or two answers are left out: the next run learns them again.
        """
        return tuple(
            policy
            for policy in self._policies.values()
            if policy.source is not PolicySource.PRIOR and self._is_confirmed(policy)
        )

    def note_answer(
        self, route: str, headers: BucketHeaders, bucket: Hashable | None = None
    ) -> None:
        """Learn from a successful answer of *bucket*."""
        if not headers.is_claim:
            return
        if not headers.is_believable:
            self._disbelieve(route, headers)
            return
        limit, reset_s = headers.limit or 1, headers.reset_after_s or 0.0
        known = self.get(route)
        votes = self._votes[route]
        is_round = votes.note(bucket, limit, whole_s(reset_s), known.limit if known else limit)
        updated = self._updated(known, votes, limit, reset_s, is_round) if known else None
        if updated is None:
            window_s = min(whole_s(reset_s), ROUTE_WINDOW_S)
            updated = RoutePolicy(route, limit, window_s, PolicySource.HEADERS)
        if limit == updated.limit:
            updated = self._with_form(updated, headers.remaining, reset_s)
        self._believe(updated)

    def note_refusal(
        self,
        route: str,
        headers: BucketHeaders,
        let_through: int = 0,
        took: Callable[[float], int] = lambda _: 0,
    ) -> None:
        """Learn from a 429 of the bucket itself. Its route no longer counts as leaky.

        *let_through* is the number of requests that the bucket took in the window before. Where
        the 429 names no limit, the limit is lowered by one, and not below that number. If it is 0,
        another program uses the bucket, which proves nothing about its limit.

        *took* returns the same for any number of seconds. If the bucket took three times as much
        as the 429 names, the 429 is wrong in every form, however late answers come: it is ignored.
        """
        known = self.get(route)
        self._note_refused(route)
        form = known.form if known else BucketForm.UNKNOWN
        if form is BucketForm.LEAKY:
            form = BucketForm.FIXED
        if headers.limit is not None and headers.limit < MASK_LIMIT:
            named_s = min(_window_of(headers), ROUTE_WINDOW_S)
            if took(named_s) > 3 * headers.limit + 2:
                self._disbelieve(route, headers)
                return
            limit = min(headers.limit, self._most(route, known))
            window_s = max(_longest_s(known), named_s)
        elif known is None:
            named_s = max(headers.retry_after_s or 0.0, _DEFAULT_WINDOW_S)
            limit, window_s = 1, min(named_s, ROUTE_WINDOW_S)
        elif known.form is BucketForm.LEAKY:
            limit, window_s = known.limit, _longest_s(known)
        else:
            if 0 < let_through < known.limit:
                limit = max(let_through, known.limit - 1)
                source = _later(known.source, PolicySource.INFERRED)
                self._believe(replace(known, limit=limit, source=source))
            return
        self._believe(RoutePolicy(route, limit, window_s, PolicySource.REFUSAL, form))

    def _most(self, route: str, known: RoutePolicy | None) -> int:
        """Return the highest limit that a refusal may set: it never raises the known one."""
        prior = self._priors.get(route)
        if known is None or prior is None:
            return MASK_LIMIT
        return max(known.limit, prior.limit)

    def _updated(
        self, known: RoutePolicy, votes: RouteVotes, limit: int, reset_s: float, is_round: bool
    ) -> RoutePolicy:
        """Return the policy of a route, updated by its last answers."""
        if limit == known.limit and known.form is BucketForm.LEAKY:
            return known
        may_loosen = known.source is not PolicySource.REFUSAL or self._may_doubt(known.route)
        new_limit = min(votes.limit, known.limit)
        if votes.limit > known.limit and may_loosen and votes.looser >= _needed(known, votes.limit):
            new_limit = votes.limit
        # reset-after is at most the window: in a leaky bucket, it is the window when used up
        window_s, shown_s = known.window_s, whole_s(reset_s)
        if shown_s <= _COMMON_WINDOW_S:
            window_s = max(window_s, shown_s)
        if is_round and votes.window_s > window_s and votes.rounds > 1:
            window_s = min(votes.window_s, ROUTE_WINDOW_S)
        elif is_round and votes.window_s < window_s and may_loosen:
            window_s = max(votes.window_s, _prior_s(known.route))
        if (new_limit, window_s) == (known.limit, known.window_s):
            return known
        is_looser = new_limit > known.limit or window_s < known.window_s
        if is_looser and known.source is PolicySource.REFUSAL:
            self._doubted.add(known.route)
        return replace(
            known,
            limit=new_limit,
            window_s=window_s,
            source=PolicySource.HEADERS if is_looser else _later(known.source),
            form=known.form if new_limit == known.limit else BucketForm.UNKNOWN,
        )

    def _with_form(self, policy: RoutePolicy, remaining: int | None, reset_s: float) -> RoutePolicy:
        """Return the policy with the form that the evidence proves after one more answer."""
        is_settled = policy.form is BucketForm.FIXED and policy.source is PolicySource.REFUSAL
        if is_settled or remaining is None:
            return policy
        evidence = self._evidence.get(policy.route)
        if evidence is None or evidence.limit != policy.limit:
            interval_s = policy.interval_s if policy.form is BucketForm.LEAKY else None
            evidence = self._evidence[policy.route] = FormEvidence(policy.limit, interval_s)
        form = evidence.note(remaining, reset_s)
        leaky = form is BucketForm.LEAKY
        if form is policy.form or (policy.form is BucketForm.FIXED and not leaky):
            return policy
        window_s = evidence.window_s()
        if leaky and window_s > ROUTE_WINDOW_S:
            return policy
        if not leaky:
            window_s = max(_longest_s(policy), min(whole_s(reset_s), _COMMON_WINDOW_S))
        return replace(policy, window_s=window_s, source=_later(policy.source), form=form)

    def _believe(self, policy: RoutePolicy) -> None:
        self._policies[policy.route] = policy
        if policy.source is PolicySource.PRIOR:
            self._priors[policy.route] = policy
        else:
            self._confirmed_s[policy.route] = self._clock_s()

    def _discard(self, route: str) -> None:
        for known in (
            self._policies,
            self._confirmed_s,
            self._votes,
            self._evidence,
            self._distrust,
        ):
            known.pop(route, None)
        if route in self._priors:
            self._policies[route] = self._priors[route]

    def _is_confirmed(self, policy: RoutePolicy) -> bool:
        votes = self._votes.get(policy.route)
        is_enough = votes is None or votes.answers >= _CONFIRMED
        return is_enough or policy.source is not PolicySource.HEADERS

    def _note_refused(self, route: str) -> None:
        self._refused_s[route] = self._clock_s()
        if route in self._doubted:  # wrongly, as this refusal shows
            self._doubted.discard(route)
            self._distrust[route] = self._distrust.get(route, 0) + 1
        if route in self._votes:
            self._votes[route].looser = 0

    def _may_doubt(self, route: str) -> bool:
        """Return whether successful answers may overrule the last refusal, which is long ago."""
        times = 4.0 ** self._distrust.get(route, 0)
        ago_s = self._clock_s() - self._refused_s.get(route, -math.inf)
        return ago_s >= min(_DOUBT_S * times, _LONGEST_DOUBT_S)

    def _disbelieve(self, route: str, headers: BucketHeaders) -> None:
        """Log once that a route's headers are implausible."""
        if route not in self._disbelieved:
            self._disbelieved.add(route)
            _log.warning(
                "Discord names a limit of %s in %s s for %s. It cannot be true, so it is ignored",
                headers.limit,
                headers.reset_after_s,
                route,
                extra={"event": "limit_not_believed"},
            )


def _needed(known: RoutePolicy, limit: int) -> int:
    """Return how many answers in a row must name a higher limit to be believed."""
    prior = PRIORS.get(known.route)
    if known.source is PolicySource.INFERRED and prior is not None and limit <= prior.limit:
        return 1
    return 2 if known.source is PolicySource.HEADERS else _CONFIRMED


def _window_of(headers: BucketHeaders) -> float:
    """Return the window that a refusal shows: its reset time if plausible, else its pause."""
    reset_s = headers.reset_after_s if headers.is_believable else None
    return whole_s(reset_s or headers.retry_after_s or 0.0)


def _prior_s(route: str) -> float:
    prior = PRIORS.get(route)
    return prior.window_s if prior else 0.0


def _longest_s(known: RoutePolicy | None) -> float:
    """Return the window to go back to where a shorter one proves wrong."""
    return 0.0 if known is None else max(known.window_s, _prior_s(known.route))


def _later(one: PolicySource, other: PolicySource = PolicySource.HEADERS) -> PolicySource:
    return max(one, other, key=list(PolicySource).index)
