"""Lookups of tenants, before a command asks a question or acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysync.models.entities import Tenant


async def find_tenant(slug: str) -> Tenant:
    """Return the tenant called *slug*. Raises UnknownTenantError."""
    from raysync.database import LOOK_TIMEOUT_S, open_store
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings(), timeout_s=LOOK_TIMEOUT_S) as engine:
        return await TenantStore(engine).get(slug)


async def all_tenants() -> tuple[Tenant, ...]:
    """Return all tenants."""
    from raysync.database import LOOK_TIMEOUT_S, open_store
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings(), timeout_s=LOOK_TIMEOUT_S) as engine:
        return await TenantStore(engine).list()


async def all_slugs() -> list[str]:
    """Return the slugs of all tenants."""
    return [tenant.slug for tenant in await all_tenants()]
