"""What the database has for a run: connections, rights, learned limits, jobs that were left."""

from __future__ import annotations

from collections.abc import Sequence

from raysync.doctor import limits as limit_checks
from raysync.doctor.sentences import OK, WARN, about_clock
from raysync.models.checks import Check
from raysync.models.entities import Tenant
from raysync.run.requests import OWN_CONNECTIONS
from raysync.settings import Settings
from raysync.store.connection.engine import Engine
from raysync.store.server.health import abandoned_jobs, refusals, server_state
from raysync.store.server.roles import RoleStore

MANY_REFUSALS = 0.5
_OPEN = "{} may {}, as every role of this database may."
_TAKE = "If nobody else needs it, have the database's administrator run  "


async def check_database(settings: Settings, engine: Engine) -> list[Check]:
    """Look at the server: its clock, connections, rights, refusals and learned limits."""
    state = await server_state(engine)
    kind = "embedded" if settings.database_url is None else "yours"
    checks = [
        Check(
            name="database",
            status=OK,
            says=f"PostgreSQL {state.version} ({kind}), the schema is this version's, "
            f"{state.size / 1e6:,.0f} MB.",
        ),
        about_clock("clock", "the database", state.now),
    ]
    workers = settings.max_channel_workers
    needed = OWN_CONNECTIONS + workers * settings.channel_batch_size
    free = state.max_connections - state.used_connections
    enough = free >= needed
    checks.append(
        Check(
            name="connections",
            status=OK if enough else WARN,
            says=f"{free} of {state.max_connections} are free; a run takes up to {needed}.",
            advice=None
            if enough
            else "Raise max_connections, or lower SYNC_MAX_CHANNEL_WORKERS or "
            "SYNC_CHANNEL_BATCH_SIZE.",
        )
    )
    checks += [
        Check(name="roles", status=WARN, says=_OPEN.format(role, what), advice=_TAKE + statement)
        for role, what, statement in await RoleStore(engine).rights_left()
    ]
    checks.append(_refusals(await refusals(engine), settings.invalid_request_limit))
    return checks + await limit_checks.limit_checks(engine, settings.discord_api_url)


def _refusals(count: int, limit: int) -> Check:
    says = f"{count:,} of {limit:,} in jobs of the last ten minutes (401, 403, 429)."
    if count < limit * MANY_REFUSALS:
        return Check(name="invalid requests", status=OK, says=says)
    return Check(
        name="invalid requests",
        status=WARN,
        says=says,
        advice="A run stops at that many, for at 10,000 Discord blocks the address: see what is "
        "refused (`raysync dead-letters list`), and ask no more for ten minutes.",
    )


async def check_jobs(engine: Engine, tenants: Sequence[Tenant]) -> list[Check]:
    """Name the jobs whose driver is gone."""
    slugs = {each.id: each.slug for each in tenants}
    return [
        Check(
            name="job",
            status=WARN,
            says=f"Job {job_id} is called running, and its driver is gone.",
            advice=f"Go on with it: raysync resume --job-id {job_id}",
            tenant=slugs[tenant_id],
        )
        for tenant_id, job_id in await abandoned_jobs(engine)
        if tenant_id in slugs
    ]
