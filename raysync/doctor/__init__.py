"""Checks of everything that a sync needs, with advice on what is wrong.

The checks send six requests per tenant to Discord. They are slower than the headroom that runs
leave (runs use 48 of 50 requests a second), so they may run beside a sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from raysync.database import LOOK_TIMEOUT_S, open_store
from raysync.doctor import limits as limit_checks
from raysync.doctor.database import check_database, check_jobs
from raysync.doctor.machine import check_disks, check_files, check_proxy, check_ray, check_secret
from raysync.doctor.sentences import FAIL, WARN
from raysync.doctor.tenant import check_tenant
from raysync.errors import ConfigurationError
from raysync.models.checks import Check, CheckUp
from raysync.settings import Settings
from raysync.store.tenants import TenantStore


async def examine(
    settings: Settings, slugs: Sequence[str] = (), *, forget_limits: bool = False
) -> CheckUp:
    """Check the installation and all tenants, or only the tenants with these *slugs*.

    With *forget_limits*, forget the rate limits that were learned first.

    Raises:
        UnknownTenantError: a slug belongs to no tenant.
    """
    checks = [
        check_secret(settings),
        check_files(settings),
        *check_disks(settings),
        *check_proxy(settings),
    ]
    checks.append(await check_ray(settings))
    async with AsyncExitStack() as stack:
        try:
            looking = open_store(settings, timeout_s=LOOK_TIMEOUT_S)
            engine = await stack.enter_async_context(looking)
        except ConfigurationError as error:
            return CheckUp(checks=[*checks, Check(name="database", status=FAIL, says=str(error))])
        store = TenantStore(engine)
        tenants = [await store.get(slug) for slug in slugs] or list(await store.list())
        if forget_limits:
            checks.append(await limit_checks.forget_limits(engine, settings.discord_api_url))
        checks += await check_database(settings, engine)
        if not tenants:
            advice = "Add one: raysync tenant add SLUG --guild ID --token-env NAME"
            checks.append(
                Check(name="tenants", status=WARN, says="There is no tenant yet.", advice=advice)
            )
        checks += await check_jobs(engine, tenants)
        for tenant in tenants:
            checks += await check_tenant(settings, engine, tenant)
    return CheckUp(checks=checks)
