"""Checks of the rate limits that were learned, and the command that forgets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raysync.discord_api.address import api_of
from raysync.models.audit import AuditAction
from raysync.models.checks import Check, CheckStatus
from raysync.models.records import BelievedLimit
from raysync.operators import operator_name
from raysync.ratelimit.policies import PRIORS, PolicySource, RoutePolicy
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import Engine
from raysync.store.limits.learned import LimitStore
from raysync.worker.limit_memory import policy_of

SHOWN_LIMITS: Final = 20
_SLOW_FACTOR: Final = 4.0
"""A limit lower than the observed one by this factor is more likely wrong than true."""
_SLOW_INTERVAL_S: Final = 5.0
"""Seconds for one request above which a limit without an observed one is likely wrong."""
_SOURCES: Final[Mapping[PolicySource, str]] = {
    PolicySource.HEADERS: "from Discord's headers",
    PolicySource.REFUSAL: "from a refusal",
    PolicySource.INFERRED: "inferred from refusals that named no limit",
}
_FORGET_ADVICE: Final = (
    "If that is too low, forget the learned limits: raysync doctor --forget-limits"
)


async def limit_checks(engine: Engine, discord_api_url: str) -> list[Check]:
    """Return a check of all limits, and one for each limit learned of this API."""
    believed = await LimitStore(engine, api_of(discord_api_url)).believed()
    known = [(learned, policy) for learned in believed if (policy := policy_of(learned.limit))]
    more = f", and {len(known)} learned from Discord's answers" if known else ""
    checks = [
        Check(
            name="rate limits",
            status=CheckStatus.OK,
            says=f"Those that raysync knows in advance{more}.",
        )
    ]
    known.sort(key=lambda pair: not _is_slow(pair[1]))
    return checks + [_check(*pair) for pair in known[:SHOWN_LIMITS]]


async def forget_limits(engine: Engine, discord_api_url: str) -> Check:
    """Forget all learned limits of this API, and return a check that says so."""
    api = api_of(discord_api_url)
    count = await LimitStore(engine, api).forget()
    details = {"api": api, "limits": count}
    await AuditLog(engine).record(operator_name(), AuditAction.LIMITS_FORGOTTEN, None, details)
    says = f"{count} learned limits were forgotten. Running syncs keep theirs until they end."
    return Check(name="rate limit", status=CheckStatus.OK, says=says)


def _check(believed: BelievedLimit, policy: RoutePolicy) -> Check:
    is_slow = _is_slow(policy)
    return Check(
        name="rate limit",
        status=CheckStatus.WARN if is_slow else CheckStatus.OK,
        says=f"{policy.route}: {policy.limit} in {policy.window_s:g} s, {_SOURCES[policy.source]}. "
        f"Used until {believed.until:%Y-%m-%d %H:%M} UTC, or until answers show another.",
        advice=_FORGET_ADVICE if is_slow else None,
    )


def _is_slow(policy: RoutePolicy) -> bool:
    prior = PRIORS.get(policy.route)
    longest_s = _SLOW_INTERVAL_S if prior is None else _SLOW_FACTOR * prior.interval_s
    return policy.interval_s >= longest_s
