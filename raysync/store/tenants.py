"""Tenants: one guild each, with its settings and the reference to its bot token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, cast, delete, false, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.errors import ConfigurationError, TenantTakenError, UnknownTenantError
from raysync.models.entities import Privacy, Tenant, TenantStatus
from raysync.models.ids import GuildId, TenantId
from raysync.models.status import JobStatus, SyncType
from raysync.store.archive.people_epoch import rules_changed
from raysync.store.connection.audit import Note
from raysync.store.connection.engine import NO_TIMEOUT, translated
from raysync.store.jobs.lease import add_lock, refuse_while_running
from raysync.store.privacy.scrubbings import note_scrubbed
from raysync.store.schema.job_tables import sync_jobs
from raysync.store.schema.message_tables import (
    message_attachments,
    message_emoji_reactions,
    message_versions,
    messages,
)
from raysync.store.schema.tables import channels, sync_progress, tenants

_VIOLATED = {
    "uq_tenants_slug": (
        "The slug {slug} belongs to a tenant already: choose another. If that tenant has a wrong "
        "guild and no messages, remove it first: `raysync tenant remove {slug}`."
    ),
    "uq_tenants_platform_platform_id": (
        "The guild {guild} belongs to a tenant already: `raysync tenant list` shows which."
    ),
    "ck_tenants_slug": (
        "{slug} is not a valid slug: use up to 63 lower-case letters, digits, - and _, with a "
        "letter or digit first and last."
    ),
}
_KEPT_BY_CHANNEL = (message_attachments, message_emoji_reactions, message_versions, messages)


class TenantStore:
    """List of tenants."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(
        self,
        slug: str,
        guild_id: GuildId,
        name: str,
        token_ref: str,
        privacy: Privacy,
        token_sealed: bytes | None = None,
    ) -> Tenant:
        """Add an active tenant.

        Raises:
            TenantTakenError: the slug or the guild is another tenant's; the error says which.
            ConfigurationError: the slug is invalid.
        """
        new = insert(tenants).values(
            slug=slug,
            platform_id=guild_id,
            name=name,
            token_ref=token_ref,
            privacy=privacy.value,
            token_sealed=token_sealed,
        )
        with translated():
            try:
                async with self._engine.begin() as connection:
                    added = await connection.execute(new.returning(*tenants.c))
                    tenant = _tenant(added.mappings().one())
                    await note_scrubbed(connection, tenant.id)
                    await add_lock(connection, tenant.id)
                    return tenant
            except IntegrityError as error:
                raise _refusal(error, slug, guild_id) from None

    async def get(self, slug: str) -> Tenant:
        """Return the tenant *slug*. Raises UnknownTenantError."""
        rows = await self._select(select(tenants).where(tenants.c.slug == slug))
        if not rows:
            raise _unknown(slug)
        return _tenant(rows[0])

    async def list(self) -> tuple[Tenant, ...]:
        """Return all tenants, ordered by slug."""
        rows = await self._select(select(tenants).order_by(tenants.c.slug))
        return tuple(_tenant(row) for row in rows)

    async def in_turn(self) -> tuple[Tenant, ...]:
        """Return all tenants, least recently synced first. New ones, which take long, come last."""
        ended = (
            select(sync_jobs.c.completed_at)
            .where(
                sync_jobs.c.tenant_id == tenants.c.id,
                sync_jobs.c.sync_type != SyncType.VERIFY.value,
                sync_jobs.c.status.in_([JobStatus.COMPLETED.value, JobStatus.PARTIAL.value]),
            )
            .order_by(sync_jobs.c.started_at.desc())  # has an index, and there are many jobs
            .limit(1)
            .scalar_subquery()
        )
        rows = await self._select(
            select(tenants).order_by(ended.asc().nulls_last(), tenants.c.slug)
        )
        return tuple(_tenant(row) for row in rows)

    async def set_status(self, slug: str, status: TenantStatus) -> None:
        """Set whether *slug* is synced by default. Raises UnknownTenantError."""
        change = update(tenants).where(tenants.c.slug == slug)
        with translated():
            async with self._engine.begin() as connection:
                done = await connection.execute(
                    change.values(status=status.value, updated_at=text("now()"))
                )
        if done.rowcount == 0:
            raise _unknown(slug)

    async def change_settings(self, slug: str, changes: Mapping[str, Any]) -> Tenant:
        """Change some of the tenant's settings. Raises UnknownTenantError."""
        merged = tenants.c.settings.op("||")(cast(dict(changes), JSONB))
        change = update(tenants).where(tenants.c.slug == slug)
        with translated():
            async with self._engine.begin() as connection:
                done = await connection.execute(
                    change.values(settings=merged, updated_at=text("now()")).returning(*tenants.c)
                )
                row = done.mappings().one_or_none()
                if row is not None:  # the retention is a setting
                    await rules_changed(connection, TenantId(row["id"]))
        if row is None:
            raise _unknown(slug)
        return _tenant(row)

    async def sealed_token(self, slug: str) -> bytes | None:
        """Return the sealed token; None if the token is not stored in the database."""
        rows = await self._select(select(tenants.c.token_sealed).where(tenants.c.slug == slug))
        if not rows:
            raise _unknown(slug)
        sealed = rows[0]["token_sealed"]
        return None if sealed is None else bytes(sealed)

    async def begin_removal(self, begun: Note) -> None:
        """Call *begun* in a transaction that proves that the role may remove tenants.

        Raises:
            NotPermittedError: it may not. A worker could remove the messages, but not the tenant.
        """
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(delete(tenants).where(false()))
                await begun(connection)

    async def remove(self, slug: str, *, is_held: bool = False) -> None:
        """Remove a tenant and everything stored of it, for good.

        *is_held* means that the caller holds the tenant.

        Raises:
            UnknownTenantError: there is none.
            JobRunningError: it is being synced; nothing was removed.
        """
        tenant = await self.get(slug)
        with translated():
            async with self._engine.begin() as connection:
                if not is_held:
                    await refuse_while_running(connection, tenant.id)
                await _remove_messages(connection, tenant.id)
                await connection.execute(delete(tenants).where(tenants.c.id == tenant.id))

    async def _select(self, query: Any) -> Sequence[RowMapping]:
        with translated():
            async with self._engine.connect() as connection:
                return (await connection.execute(query)).mappings().all()


async def _remove_messages(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Delete the rows without foreign keys. Locks keep out pages that are still in flight."""
    await connection.execute(NO_TIMEOUT)
    locked = select(sync_progress.c.id).where(sync_progress.c.tenant_id == tenant_id)
    await connection.execute(locked.order_by(sync_progress.c.id).with_for_update())
    keys = select(channels.c.id).where(channels.c.tenant_id == tenant_id)
    for table in _KEPT_BY_CHANNEL:
        await connection.execute(delete(table).where(table.c.channel_id.in_(keys)))


def _tenant(row: RowMapping | Mapping[str, Any]) -> Tenant:
    return Tenant(
        id=TenantId(row["id"]),
        slug=row["slug"],
        name=row["name"],
        status=TenantStatus(row["status"]),
        guild_id=GuildId(row["platform_id"]),
        token_ref=row["token_ref"],
        privacy=Privacy(row["privacy"]),
        settings=row["settings"],
        created_at=row["created_at"],
    )


def _unknown(slug: str) -> UnknownTenantError:
    return UnknownTenantError(
        f"There is no tenant {slug}: `raysync tenant list` shows all tenants."
    )


def _refusal(error: IntegrityError, slug: str, guild_id: GuildId) -> Exception:
    violated = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    sentence = _VIOLATED.get(str(violated))
    if sentence is None:
        return error
    kind = ConfigurationError if str(violated).startswith("ck_") else TenantTakenError
    return kind(sentence.format(slug=slug, guild=guild_id))
