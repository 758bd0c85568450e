"""Where a tenant's attachments' bytes are, and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import Tenant
from raysync.models.ids import TenantId
from raysync.store.engine import translated
from raysync.store.vault import open_vault

_PLACES = text("""
SELECT DISTINCT options -> 'extras' -> 'files' ->> 'url' AS url FROM sync_jobs
WHERE tenant_id = :tenant_id AND options -> 'extras' -> 'files' ->> 'url' IS NOT NULL
""")
_KEYS = text("""
SELECT DISTINCT a.blob_key FROM message_attachments a JOIN channels c ON c.id = a.channel_id
WHERE c.tenant_id = :tenant_id AND a.blob_key IS NOT NULL
""")


async def places(engine: AsyncEngine, tenant_id: TenantId) -> set[str]:
    """Where runs of the tenant were told to keep attachments."""
    with translated():
        async with engine.connect() as connection:
            rows = await connection.execute(_PLACES, {"tenant_id": tenant_id})
            return {row.url for row in rows}


async def sweep(engine: AsyncEngine, tenant: Tenant, urls: Iterable[str]) -> int:
    """Remove the guild's files that no attachment of the tenant has any more; how many.

    The caller holds the tenant. Raises FileVaultError or ConfigurationError where a place cannot
    be reached.
    """
    vaults = [open_vault(each, tenant.guild_id) for each in sorted(urls)]
    if not vaults:
        return 0
    with translated():
        async with engine.connect() as connection:
            rows = await connection.execute(_KEYS, {"tenant_id": tenant.id})
            kept = {row.blob_key for row in rows}
    return sum([await asyncio.to_thread(each.sweep, kept) for each in vaults])
