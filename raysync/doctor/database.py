"""Checks of the database: connections, rights, learned limits, abandoned jobs."""

from __future__ import annotations

from collections.abc import Sequence

from raysync.doctor import limits as limit_checks
from raysync.doctor.sentences import OK, WARN, clock_check
from raysync.models.checks import Check
from raysync.models.entities import Tenant
from raysync.run.requests import OWN_CONNECTIONS
from raysync.settings import Settings
from raysync.store.connection.engine import Engine
from raysync.store.server.health import abandoned_jobs, refusals, server_state
from raysync.store.server.roles import RoleStore

MANY_REFUSALS = 0.5
"""Share of the limit of invalid requests above which a check warns."""
_RIGHT_LEFT = "{} may {}, as every role of this database may."
_REVOKE = "If nobody needs it, let the database's administrator run  "


async def check_database(settings: Settings, engine: Engine) -> list[Check]:
    """Check the server: its clock, connections, rights, refusals and learned limits."""
    state = await server_state(engine)
    kind = "embedded" if settings.database_url is None else "your own"
    checks = [
        Check(
            name="database",
            status=OK,
            says=f"PostgreSQL {state.version} ({kind}), {state.size / 1e6:,.0f} MB. The schema is "
            "up to date.",
        ),
        clock_check("clock", "the database", state.now),
    ]
    workers = settings.max_channel_workers
    needed = OWN_CONNECTIONS + workers * settings.channel_batch_size
    free = state.max_connections - state.used_connections
    is_enough = free >= needed
    checks.append(
        Check(
            name="connections",
            status=OK if is_enough else WARN,
            says=f"{free} of {state.max_connections} are free. A run takes up to {needed}.",
            advice=None
            if is_enough
            else "Raise max_connections, or lower SYNC_MAX_CHANNEL_WORKERS or "
            "SYNC_CHANNEL_BATCH_SIZE.",
        )
    )
    checks += [
        Check(
            name="roles",
            status=WARN,
            says=_RIGHT_LEFT.format(role, what),
            advice=_REVOKE + statement,
        )
        for role, what, statement in await RoleStore(engine).rights_left()
    ]
    checks.append(_refusals(await refusals(engine), settings.invalid_request_limit))
    return checks + await limit_checks.limit_checks(engine, settings.discord_api_url)


def _refusals(count: int, limit: int) -> Check:
    says = f"{count:,} of {limit:,} allowed, in jobs of the last ten minutes (401, 403, 429)."
    if count < limit * MANY_REFUSALS:
        return Check(name="invalid requests", status=OK, says=says)
    return Check(
        name="invalid requests",
        status=WARN,
        says=says,
        advice="A run stops at that limit, because at 10,000 Discord blocks the address. See what "
        "is refused (`raysync dead-letters list`), and start no run for ten minutes.",
    )


async def check_jobs(engine: Engine, tenants: Sequence[Tenant]) -> list[Check]:
    """Return a check for each job whose driver is gone."""
    slugs = {tenant.id: tenant.slug for tenant in tenants}
    return [
        Check(
            name="job",
            status=WARN,
            says=f"Job {job_id} has the status running, but its driver is gone.",
            advice=f"Continue it: raysync resume --job-id {job_id}",
            tenant=slugs[tenant_id],
        )
        for tenant_id, job_id in await abandoned_jobs(engine)
        if tenant_id in slugs
    ]
