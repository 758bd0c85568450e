"""Who and what is kept out of a tenant's archive, and under which rules a run begins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ConfigurationError
from raysync.models.entities import Tenant
from raysync.models.ids import ChannelId, TenantId
from raysync.models.privacy import PeopleRules, Retention, Suppression
from raysync.store.archive.channels import forget_listings
from raysync.store.connection.audit import Note, nothing
from raysync.store.connection.engine import translated
from raysync.store.schema.privacy_tables import SuppressedKind

_LISTED = text("""
SELECT id, kind, ref, created_at, erased_at FROM suppressions
WHERE tenant_id = :tenant_id ORDER BY id
""")
_ADD = text("""
INSERT INTO suppressions AS s (tenant_id, kind, ref) VALUES (:tenant_id, :kind, :ref)
ON CONFLICT (tenant_id, kind, ref) DO UPDATE SET erased_at = NULL
RETURNING id
""")
_NOTE_ERASED = text("UPDATE suppressions SET erased_at = now() WHERE id = :id")
_LIFT = text("""
DELETE FROM suppressions WHERE tenant_id = :tenant_id AND kind = :kind AND ref = :ref RETURNING id
""")
_GENERATIONS = text("""
SELECT encode(salt, 'hex') AS salt, completed_at FROM pseudonym_generations
WHERE tenant_id = :tenant_id ORDER BY generation
""")


class SuppressionStore:
    """The suppression list of one tenant."""

    def __init__(self, engine: AsyncEngine, tenant_id: TenantId) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    async def list(self) -> tuple[Suppression, ...]:
        """All of it, the oldest first."""
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_LISTED, {"tenant_id": self._tenant_id})
                return tuple(
                    Suppression(row.id, row.kind, row.ref, row.created_at, row.erased_at)
                    for row in rows
                )

    async def add(
        self, kind: SuppressedKind, ref: str, begun: Callable[[int], Note] = lambda _: nothing
    ) -> int:
        """Keep somebody or something out from now on; the entry's id. Again changes nothing.

        *begun* takes the id, and is called in the transaction that adds the entry.
        """
        values = {"tenant_id": self._tenant_id, "kind": kind.value, "ref": ref}
        with translated():
            async with self._engine.begin() as connection:
                added = int((await connection.execute(_ADD, values)).scalar_one())
                await begun(added)(connection)
        return added

    async def note_erased(self, suppression_id: int) -> None:
        """All that was stored of it is gone."""
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(_NOTE_ERASED, {"id": suppression_id})

    async def lift(self, kind: SuppressedKind, ref: str) -> int | None:
        """Keep it out no longer; the id of what was the entry, None where there was none."""
        values = {"tenant_id": self._tenant_id, "kind": kind.value, "ref": ref}
        with translated():
            async with self._engine.begin() as connection:
                lifted = (await connection.execute(_LIFT, values)).scalar_one_or_none()
                if lifted is not None:  # threads that were passed over are to be found again
                    await forget_listings(connection, self._tenant_id)
        return lifted


async def people_rules(engine: AsyncEngine, tenant: Tenant, now: datetime) -> PeopleRules:
    """What a run of the tenant that begins *now* must hold to; it holds the tenant already.

    Raises:
        ConfigurationError: a rotation of pseudonyms did not come to its end.
    """
    with translated():
        async with engine.connect() as connection:
            rows = (await connection.execute(_GENERATIONS, {"tenant_id": tenant.id})).all()
    if any(row.completed_at is None for row in rows):
        raise ConfigurationError(
            f"The pseudonyms of {tenant.slug} are half rotated: finish it first with "
            f"`raysync privacy rotate --tenant {tenant.slug}`."
        )
    listed = await SuppressionStore(engine, tenant.id).list()
    return PeopleRules(
        salts=tuple(row.salt for row in rows),
        users=frozenset(entry.ref for entry in listed if entry.kind == SuppressedKind.USER),
        channels=frozenset(
            ChannelId(int(entry.ref)) for entry in listed if entry.kind == SuppressedKind.CHANNEL
        ),
        before=Retention.of(tenant.settings).horizon(now),
    )
