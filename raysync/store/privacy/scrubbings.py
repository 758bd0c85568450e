"""Scrubbing rules that a tenant's rows were written under."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.ids import TenantId
from raysync.models.privacy import SCRUBBING_RULES
from raysync.store.connection.engine import translated

_NOTE = text("""
INSERT INTO scrubbings (tenant_id, rules, completed_at) VALUES (:tenant_id, :rules, now())
""")
_STATE = text("""
SELECT coalesce(max(rules) FILTER (WHERE completed_at IS NOT NULL), 1) AS rules,
    count(*) FILTER (WHERE completed_at IS NULL) > 0 AS is_unfinished
FROM scrubbings WHERE tenant_id = :tenant_id
""")


@dataclass(frozen=True, slots=True)
class Scrubbing:
    """Scrubbing rules of a tenant's rows."""

    rules: int
    is_unfinished: bool  #: a rescrub was interrupted

    @property
    def is_due(self) -> bool:
        """True if rows of earlier rules may be left."""
        return self.rules < SCRUBBING_RULES


async def note_scrubbed(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Record that all rows of a new tenant follow today's rules."""
    await connection.execute(_NOTE, {"tenant_id": tenant_id, "rules": SCRUBBING_RULES})


async def scrubbing_of(engine: AsyncEngine, tenant_id: TenantId) -> Scrubbing:
    """Return the scrubbing rules of the tenant's rows."""
    with translated():
        async with engine.connect() as connection:
            row = (await connection.execute(_STATE, {"tenant_id": tenant_id})).one()
    return Scrubbing(row.rules, row.is_unfinished)
