"""Suppression list of a tenant, and the rules about people that a run begins with."""

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
from raysync.store.archive.people_epoch import rules_changed
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
    """Suppression list of one tenant."""

    def __init__(self, engine: AsyncEngine, tenant_id: TenantId) -> None:
        self._engine = engine
        self._tenant_id = tenant_id

    async def list(self) -> tuple[Suppression, ...]:
        """Return all entries, oldest first."""
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
        """Add an entry and return its id. Adding it again returns the same id.

        *begun* gets the id, and its note runs in the transaction that adds the entry.
        """
        values = {"tenant_id": self._tenant_id, "kind": kind.value, "ref": ref}
        with translated():
            async with self._engine.begin() as connection:
                added = int((await connection.execute(_ADD, values)).scalar_one())
                await rules_changed(connection, self._tenant_id)
                await begun(added)(connection)
        return added

    async def note_erased(self, suppression_id: int) -> None:
        """Record that everything stored of an entry is erased."""
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(_NOTE_ERASED, {"id": suppression_id})

    async def lift(self, kind: SuppressedKind, ref: str) -> int | None:
        """Remove an entry. Return its id, or None if there was none."""
        values = {"tenant_id": self._tenant_id, "kind": kind.value, "ref": ref}
        with translated():
            async with self._engine.begin() as connection:
                lifted = (await connection.execute(_LIFT, values)).scalar_one_or_none()
                await rules_changed(connection, self._tenant_id)
                if lifted is not None:  # so that the next run lists skipped threads again
                    await forget_listings(connection, self._tenant_id)
        return lifted


async def people_rules(engine: AsyncEngine, tenant: Tenant, now: datetime) -> PeopleRules:
    """Return the rules about people for a run that begins *now* and holds the tenant.

    Raises:
        ConfigurationError: a rotation of pseudonyms is unfinished.
    """
    with translated():
        async with engine.connect() as connection:
            rows = (await connection.execute(_GENERATIONS, {"tenant_id": tenant.id})).all()
    if any(row.completed_at is None for row in rows):
        raise ConfigurationError(
            f"A rotation of the pseudonyms of {tenant.slug} is unfinished: finish it first with "
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
