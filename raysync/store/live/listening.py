"""What each tenant's tail has heard without a gap, and what runs may leave out because of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import UnknownTenantError
from raysync.models.entities import Tenant
from raysync.models.ids import ChannelId, MessageId, TenantId
from raysync.models.live import DoubtfulMessage, ListenedTenant
from raysync.models.privacy import PeopleRules
from raysync.store.connection.engine import translated
from raysync.store.live.statements import LATE_S
from raysync.store.privacy.suppressions import people_rules

ALIVE_S = 60
"""Age of the last sign of a tail, in seconds, from which it counts as gone."""

_OPEN = text("""
INSERT INTO tenant_listening (tenant_id, fingerprint) VALUES (:tenant_id, :fingerprint)
ON CONFLICT (tenant_id) DO UPDATE SET fingerprint = excluded.fingerprint, updated_at = now()
RETURNING rules_epoch
""")
_BEGIN = text("""
UPDATE tenant_listening SET listened_since = now(), alive_at = now(), interrupted_at = NULL,
    settled_at = NULL, gaps = gaps + (listened_since IS NOT NULL)::integer, updated_at = now()
WHERE tenant_id = ANY(:tenants)
""")
_LOSE = text("""
UPDATE tenant_listening SET listened_since = NULL, settled_at = NULL, gaps = gaps + 1,
    interrupted_at = coalesce(interrupted_at, now()), updated_at = now()
WHERE tenant_id = ANY(:tenants) AND listened_since IS NOT NULL
""")
_INTERRUPT = text("""
UPDATE tenant_listening SET interrupted_at = coalesce(interrupted_at, now()), updated_at = now()
WHERE tenant_id = ANY(:tenants)
""")
_BEAT = text("""
UPDATE tenant_listening SET alive_at = now(), interrupted_at = NULL,
    events_a_minute = coalesce(:events_a_minute, events_a_minute),
    lag_ms = coalesce(:lag_ms, lag_ms), updated_at = now()
WHERE tenant_id = :tenant_id
""")
_SETTLED = text("""
UPDATE tenant_listening SET looked_back_at = :began_at, missed = missed + :missed,
    settled_at = CASE WHEN listened_since <= :began_at THEN :began_at ELSE settled_at END,
    updated_at = now()
WHERE tenant_id = :tenant_id
""")
_STATE = text(f"""
SELECT l.*, (SELECT min(s.identifies_left) FROM gateway_sessions s
        WHERE s.fingerprint = l.fingerprint) AS identifies_left,
    coalesce(l.alive_at > now() - make_interval(secs => {ALIVE_S}), false) AS is_alive
FROM tenant_listening l WHERE tenant_id = :tenant_id
""")  # noqa: S608 of constants
_DOUBTS = text(f"""
SELECT c.platform_channel_id, d.platform_message_id
FROM gateway_doubts d JOIN channels c ON c.id = d.channel_id
WHERE c.tenant_id = :tenant_id AND c.deleted_at IS NULL
    AND d.at < now() - make_interval(secs => {LATE_S})
ORDER BY c.platform_channel_id, d.platform_message_id
LIMIT :most
""")  # noqa: S608 of constants
_NEWS = text("""
SELECT c.platform_channel_id
FROM channels c JOIN sync_progress p ON p.channel_id = c.id
WHERE c.tenant_id = :tenant_id AND c.deleted_at IS NULL AND EXISTS (
    SELECT FROM messages m WHERE m.channel_id = c.id
        AND m.platform_message_id >= coalesce(upper(p.coverage), 0))
ORDER BY 1
""")
_FIELDS = tuple(field.name for field in fields(ListenedTenant))


class ListeningStore:
    """What the tails of a database's tenants have heard."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(
        self, tenant: Tenant, fingerprint: str, now: datetime
    ) -> tuple[int, PeopleRules]:
        """Return the epoch of the tenant's rules on people, and the rules.

        *fingerprint* is that of the token that listens.

        Raises:
            ConfigurationError: a rotation of pseudonyms is unfinished.
            UnknownTenantError: the tenant was removed.
        """
        try:
            with translated():
                async with self._engine.begin() as connection:
                    opened = await connection.execute(
                        _OPEN, {"tenant_id": tenant.id, "fingerprint": fingerprint}
                    )
                    epoch = int(opened.scalar_one())
        except IntegrityError:
            raise UnknownTenantError(f"The tenant {tenant.slug} was removed.") from None
        return epoch, await people_rules(self._engine, tenant, now)  # the epoch is the older one

    async def begin(self, tenants: Collection[TenantId]) -> None:
        """Note that everything that happens from now on is stored."""
        await self._note(_BEGIN, tenants)

    async def lose(self, tenants: Collection[TenantId]) -> None:
        """Note that events were lost: a run has to find what they changed."""
        await self._note(_LOSE, tenants)

    async def interrupt(self, tenants: Collection[TenantId]) -> None:
        """Note that the connection broke. The session may continue."""
        await self._note(_INTERRUPT, tenants)

    async def beat(
        self, tenant_id: TenantId, events_a_minute: int | None = None, lag_ms: int | None = None
    ) -> None:
        """Note that the tail is connected and has stored what it received."""
        values = {"tenant_id": tenant_id, "events_a_minute": events_a_minute, "lag_ms": lag_ms}
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(_BEAT, values)

    async def settled(self, tenant_id: TenantId, began_at: datetime, missed: int = 0) -> None:
        """Note that a run that began then compared everything before, with its look-back.

        *missed* differences should have been heard.
        """
        values = {"tenant_id": tenant_id, "began_at": began_at, "missed": missed}
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(_SETTLED, values)

    async def state(self, tenant_id: TenantId) -> ListenedTenant | None:
        """Return what is known of a tenant's tail; None: it never had one."""
        with translated():
            async with self._engine.connect() as connection:
                found = await connection.execute(_STATE, {"tenant_id": tenant_id})
                row: Any = found.mappings().one_or_none()
        if row is None:
            return None
        return ListenedTenant(**{name: row[name] for name in _FIELDS})

    async def doubts(self, tenant_id: TenantId, most: int = 10_000) -> Sequence[DoubtfulMessage]:
        """Return messages that a settle pass has to read, at most so many."""
        values = {"tenant_id": tenant_id, "most": most}
        with translated():
            async with self._engine.connect() as connection:
                return [
                    DoubtfulMessage(
                        ChannelId(row.platform_channel_id),
                        MessageId(row.platform_message_id),
                    )
                    for row in await connection.execute(_DOUBTS, values)
                ]

    async def channels_with_news(self, tenant_id: TenantId) -> list[ChannelId]:
        """Return the channels with messages that no page has proven yet."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_NEWS, {"tenant_id": tenant_id})
                return [ChannelId(channel_id) for channel_id in rows.scalars()]

    async def _note(self, statement: Any, tenants: Collection[TenantId]) -> None:
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(statement, {"tenants": sorted(tenants)})
