"""Finding what a command is about, before it asks or acts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysync.models.entities import Tenant


async def find_tenant(slug: str) -> Tenant:
    """The tenant called *slug*. Raises UnknownTenantError."""
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        return await TenantStore(engine).get(slug)
