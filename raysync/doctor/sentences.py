"""Checks that several modules make with the same words."""

from __future__ import annotations

from datetime import UTC, datetime

from raysync.models.checks import Check, CheckStatus
from raysync.models.entities import Tenant

OK, WARN, FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL
MAX_SKEW_S = 30.0
"""Difference between two clocks, in seconds, above which a check warns."""


def clock_check(name: str, other: str, now: datetime, tenant: str | None = None) -> Check:
    """Compare this machine's clock with the clock of *other*, which says *now*."""
    skew_s = abs((now - datetime.now(UTC)).total_seconds())
    if skew_s <= MAX_SKEW_S:
        return Check(name=name, status=OK, says=f"It agrees with {other}.", tenant=tenant)
    return Check(
        name=name,
        status=WARN,
        says=f"This machine and {other} are {skew_s:,.0f} s apart.",
        advice="Set the clock (chrony, systemd-timesyncd), because --lookback depends on it.",
        tenant=tenant,
    )


def tenant_check(
    tenant: Tenant, name: str, status: CheckStatus, says: str, advice: str | None = None
) -> Check:
    """Return a check that concerns one tenant."""
    return Check(name=name, status=status, says=says, advice=advice, tenant=tenant.slug)
