"""Looks at everything that a sync depends on, and says what is missing and what to do about it.

It asks Discord six questions a tenant, slower than the headroom that runs leave (48 of 50 a
second), so it may be used while a run is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from raysync.database import open_store
from raysync.doctor import limits as limit_checks
from raysync.doctor.database import check_database, check_jobs
from raysync.doctor.machine import check_disks, check_files, check_ray, check_secret, check_way_out
from raysync.doctor.sentences import FAIL, WARN
from raysync.doctor.tenant import check_tenant
from raysync.errors import ConfigurationError
from raysync.models.checks import Check, CheckUp
from raysync.settings import Settings
from raysync.store.tenants import TenantStore


async def examine(
    settings: Settings, slugs: Sequence[str] = (), *, forget_limits: bool = False
) -> CheckUp:
    """Look at everything, or at the tenants with these *slugs* alone.

    With *forget_limits*, what was learned of Discord's limits is forgotten before.

    Raises:
        UnknownTenantError: there is no tenant of that name.
    """
    checks = [
        check_secret(settings),
        check_files(settings),
        *check_disks(settings),
        *check_way_out(settings),
    ]
    checks.append(await check_ray(settings))
    async with AsyncExitStack() as stack:
        try:
            engine = await stack.enter_async_context(open_store(settings))
        except ConfigurationError as error:
            return CheckUp(checks=[*checks, Check(name="database", status=FAIL, says=str(error))])
        store = TenantStore(engine)
        tenants = [await store.get(each) for each in slugs] or list(await store.list())
        if forget_limits:
            checks.append(await limit_checks.forget_limits(engine, settings.discord_api_url))
        checks += await check_database(settings, engine)
        if not tenants:
            advice = "Add one: raysync tenant add SLUG --guild ID --token-env NAME"
            checks.append(
                Check(name="tenants", status=WARN, says="There is none yet.", advice=advice)
            )
        checks += await check_jobs(engine, tenants)
        for each in tenants:
            checks += await check_tenant(settings, engine, each)
    return CheckUp(checks=checks)
