"""What Discord's answers reveal of its limits, carried from one run to the next."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from raysync.errors import StoreUnavailableError
from raysync.models.records import LearnedLimit
from raysync.ratelimit.forms import BucketForm
from raysync.ratelimit.policies import PolicySource, RoutePolicy

_log = logging.getLogger(__name__)

_ALL: str = ""
"""A policy is a whole route's, whatever its buckets are called."""


class LimitRecord(Protocol):
    """Where limits are kept; the store's LimitStore by shape."""

    async def remember(self, learned: LearnedLimit) -> None: ...

    async def known(self) -> tuple[LearnedLimit, ...]: ...


class LimitMemory:
    """Keeps what one worker learns, as soon as a channel's visit ends, for those that come."""

    def __init__(self, record: LimitRecord) -> None:
        self._record = record
        self._kept: dict[str, RoutePolicy] = {}

    async def recall(self) -> tuple[RoutePolicy, ...]:
        """What earlier runs, and other workers of this one, have learned, as far as it can be."""
        policies: dict[str, RoutePolicy] = {}
        for each in await self._record.known():
            policy = policy_of(each)
            if policy is None:
                _log.warning(
                    "a stored limit makes no sense, and is ignored: %s in %s s for %s",
                    each.limit,
                    each.window_s,
                    each.route,
                    extra={"event": "limit_not_believed"},
                )
            else:
                policies[each.route] = policy
        self._kept = policies
        return tuple(policies.values())

    async def keep(self, learned: Iterable[RoutePolicy]) -> None:
        """Write down what is new. A database that is away is told with the next channel."""
        for each in learned:
            if self._kept.get(each.route) == each:
                continue
            try:
                await self._record.remember(_limit(each))
            except StoreUnavailableError as error:
                _log.warning("a limit was not kept: %s", error, extra={"event": "limit_not_kept"})
                return
            self._kept[each.route] = each


def policy_of(kept: LearnedLimit) -> RoutePolicy | None:
    """Return the policy that is stored; None where it cannot be one, whoever wrote it."""
    try:
        source, form = PolicySource(kept.source), BucketForm(kept.form)
    except ValueError:
        return None
    policy = RoutePolicy(kept.route, kept.limit, kept.window_s, source, form)
    return policy if policy.is_believable and source is not PolicySource.PRIOR else None


def _limit(policy: RoutePolicy) -> LearnedLimit:
    return LearnedLimit(
        policy.route, _ALL, policy.limit, policy.window_s, policy.source.value, policy.form.value
    )
