"""What `raysync doctor` says of the limits that were learned, and how they are forgotten."""

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
_SLOW: Final = 4.0
"""A limit of so many times less than what was observed is more likely wrong than true."""
_SLOW_INTERVAL_S: Final = 5.0
"""The same where nothing was observed: seconds for one request."""
_WHO: Final[Mapping[PolicySource, str]] = {
    PolicySource.HEADERS: "as Discord's headers said",
    PolicySource.REFUSAL: "as a refusal said",
    PolicySource.INFERRED: "inferred from refusals that named no limit",
}
_TO_FORGET: Final = "If that is too little, forget what was learned: raysync doctor --forget-limits"


async def limit_checks(engine: Engine, discord_api_url: str) -> list[Check]:
    """One check of all limits, and one of each that was learned of this API, until when."""
    believed = await LimitStore(engine, api_of(discord_api_url)).believed()
    known = [(each, policy) for each in believed if (policy := policy_of(each.limit)) is not None]
    more = f", and {len(known)} more that Discord's answers showed" if known else ""
    checks = [
        Check(name="rate limits", status=CheckStatus.OK, says=f"Those known beforehand{more}.")
    ]
    known.sort(key=lambda pair: not _is_slow(pair[1]))
    return checks + [_check(*each) for each in known[:SHOWN_LIMITS]]


async def forget_limits(engine: Engine, discord_api_url: str) -> Check:
    """Believe no learned limit of this API any more; what to tell of it."""
    api = api_of(discord_api_url)
    count = await LimitStore(engine, api).forget()
    details = {"api": api, "limits": count}
    await AuditLog(engine).record(operator_name(), AuditAction.LIMITS_FORGOTTEN, None, details)
    says = f"{count} learned limits are forgotten. Runs under way keep theirs until they end."
    return Check(name="rate limit", status=CheckStatus.OK, says=says)


def _check(believed: BelievedLimit, policy: RoutePolicy) -> Check:
    is_slow = _is_slow(policy)
    return Check(
        name="rate limit",
        status=CheckStatus.WARN if is_slow else CheckStatus.OK,
        says=f"{policy.route}: {policy.limit} in {policy.window_s:g} s, {_WHO[policy.source]}. "
        f"Believed until {believed.until:%Y-%m-%d %H:%M} UTC, or until answers say otherwise.",
        advice=_TO_FORGET if is_slow else None,
    )


def _is_slow(policy: RoutePolicy) -> bool:
    prior = PRIORS.get(policy.route)
    longest_s = _SLOW_INTERVAL_S if prior is None else _SLOW * prior.interval_s
    return policy.interval_s >= longest_s
