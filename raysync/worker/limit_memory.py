"""Rate limits learned from Discord's answers, kept from one run to the next."""

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
"""Bucket of a stored limit: a policy applies to a whole route, whatever its buckets' names."""


class LimitRecord(Protocol):
    """Store for learned limits; LimitStore satisfies it."""

    async def remember(self, learned: LearnedLimit) -> None: ...

    async def known(self) -> tuple[LearnedLimit, ...]: ...


class LimitMemory:
    """Memory of the limits that one worker learns, stored after each visit for later workers."""

    def __init__(self, record: LimitRecord) -> None:
        self._record = record
        self._kept: dict[str, RoutePolicy] = {}

    async def recall(self) -> tuple[RoutePolicy, ...]:
        """Return the valid limits that earlier runs and other workers have learned."""
        policies: dict[str, RoutePolicy] = {}
        for limit in await self._record.known():
            policy = policy_of(limit)
            if policy is None:
                _log.warning(
                    "a stored limit is out of range and is ignored: %s in %s s for %s",
                    limit.limit,
                    limit.window_s,
                    limit.route,
                    extra={"event": "limit_not_believed"},
                )
            else:
                policies[limit.route] = policy
        self._kept = policies
        return tuple(policies.values())

    async def keep(self, learned: Iterable[RoutePolicy]) -> None:
        """Store new limits. If the database is away, the next channel's visit retries."""
        for policy in learned:
            if self._kept.get(policy.route) == policy:
                continue
            try:
                await self._record.remember(_limit(policy))
            except StoreUnavailableError as error:
                _log.warning("a limit was not stored: %s", error, extra={"event": "limit_not_kept"})
                return
            self._kept[policy.route] = policy


def policy_of(kept: LearnedLimit) -> RoutePolicy | None:
    """Return the stored policy; None where its values cannot be a policy."""
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
