"""What several checks say alike."""

from __future__ import annotations

from datetime import UTC, datetime

from raysync.models.checks import Check, CheckStatus
from raysync.models.entities import Tenant

OK, WARN, FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL
SKEW_S = 30.0


def about_clock(name: str, whose: str, now: datetime, tenant: str | None = None) -> Check:
    """Say how far this machine's clock is from another one, which says *now*."""
    skew_s = abs((now - datetime.now(UTC)).total_seconds())
    if skew_s <= SKEW_S:
        return Check(name=name, status=OK, says=f"It agrees with {whose}.", tenant=tenant)
    return Check(
        name=name,
        status=WARN,
        says=f"This machine and {whose} are {skew_s:,.0f} s apart.",
        advice="Set the clock (chrony, systemd-timesyncd): the look-back is counted by it.",
        tenant=tenant,
    )


def about_tenant(
    tenant: Tenant, name: str, status: CheckStatus, says: str, advice: str | None = None
) -> Check:
    """Make a check of what concerns one tenant."""
    return Check(name=name, status=status, says=says, advice=advice, tenant=tenant.slug)
