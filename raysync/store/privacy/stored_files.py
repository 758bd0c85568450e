"""Files of a tenant's attachments: their places, and the removal of those that are due."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import Tenant
from raysync.models.ids import TenantId
from raysync.store.archive.blobs import BlobStore, open_blob_store
from raysync.store.connection.engine import translated

_PLACES = text("""
SELECT DISTINCT options -> 'extras' -> 'files' ->> 'url' AS url FROM sync_jobs
WHERE tenant_id = :tenant_id AND options -> 'extras' -> 'files' ->> 'url' IS NOT NULL
""")
_STORED = """
FROM message_attachments a JOIN channels c ON c.id = a.channel_id
    JOIN messages m ON m.channel_id = a.channel_id AND m.platform_message_id = a.platform_message_id
WHERE c.tenant_id = :tenant_id AND a.blob_key IS NOT NULL
"""
_DUE = """(m.platform_message_id < :before
    OR coalesce(m.deleted_at < now() - make_interval(secs => :age_s), false)
    OR coalesce(m.anonymized_author_id = ANY(CAST(:authors AS text[])), false)
    OR m.channel_id = ANY(CAST(:channels AS bigint[])))"""
_KEPT = text(f"SELECT DISTINCT a.blob_key {_STORED} AND NOT {_DUE}")
# Uses indexes: one look-up for each channel and one for the tenant. Each run executes it.
_ANY_PAST_RETENTION = text("""
SELECT EXISTS (
    SELECT FROM channels c, LATERAL (
        SELECT FROM message_attachments a
        WHERE a.channel_id = c.id AND a.platform_message_id < :before AND a.blob_key IS NOT NULL
        LIMIT 1) old
    WHERE c.tenant_id = :tenant_id
) OR EXISTS (
    SELECT FROM messages m
        JOIN message_attachments a USING (channel_id, platform_message_id)
    WHERE m.tenant_id = :tenant_id AND m.deleted_at < now() - make_interval(secs => :age_s)
        AND m.deleted_at IS NOT NULL AND m.raw <> '{}'::jsonb AND a.blob_key IS NOT NULL
)
""")


@dataclass(frozen=True, slots=True)
class Due:
    """Messages whose files are to be removed, although their rows still exist."""

    before: int = 0  #: with lower ids
    deleted_after: timedelta | None = None  #: found deleted at least this long ago
    authors: Collection[str] = ()  #: written by these
    channels: Collection[int] = ()  #: in channels with these keys

    @property
    def values(self) -> dict[str, Any]:
        """Parameters of statements."""
        age = self.deleted_after
        return {
            "before": self.before,
            "age_s": None if age is None else age.total_seconds(),
            "authors": list(self.authors),
            "channels": list(self.channels),
        }


NOTHING_DUE: Final = Due()


async def any_past_retention(
    engine: AsyncEngine, tenant_id: TenantId, before: int, deleted_after: timedelta | None
) -> bool:
    """Return whether files of messages are stored that a purge erases or empties."""
    age_s = None if deleted_after is None else deleted_after.total_seconds()
    values = {"tenant_id": tenant_id, "before": before, "age_s": age_s}
    with translated():
        async with engine.connect() as connection:
            return bool((await connection.execute(_ANY_PAST_RETENTION, values)).scalar_one())


async def places(engine: AsyncEngine, tenant_id: TenantId) -> set[str]:
    """Return the URLs at which runs of the tenant stored attachments."""
    with translated():
        async with engine.connect() as connection:
            rows = await connection.execute(_PLACES, {"tenant_id": tenant_id})
            return {row.url for row in rows}


async def sweep(
    engine: AsyncEngine,
    tenant: Tenant,
    urls: Iterable[str],
    due: Due = NOTHING_DUE,
    *,
    is_preview: bool = False,
) -> int:
    """Remove the guild's files that no attachment of the tenant has, ignoring *due* messages.

    Return their number. A preview only counts them.

    The caller holds the tenant. Raises FileVaultError or ConfigurationError if a place cannot be
    reached.
    """
    stores = [open_blob_store(url, tenant.guild_id) for url in sorted(urls)]
    if not stores:
        return 0
    with translated():
        async with engine.connect() as connection:
            rows = await connection.execute(_KEPT, {"tenant_id": tenant.id, **due.values})
            kept = {row.blob_key for row in rows}
    act = BlobStore.count_unkept if is_preview else BlobStore.sweep
    return sum([await asyncio.to_thread(act, store, kept) for store in stores])
