"""Under which rules the rows of a tenant were kept."""

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
    """Under which rules a tenant's rows were kept."""

    rules: int
    is_unfinished: bool  #: bringing them to later ones was cut short

    @property
    def is_due(self) -> bool:
        """Return whether rows of rules before today's may be left."""
        return self.rules < SCRUBBING_RULES


async def note_scrubbed(connection: AsyncConnection, tenant_id: TenantId) -> None:
    """Note that all rows of a new tenant are kept under today's rules."""
    await connection.execute(_NOTE, {"tenant_id": tenant_id, "rules": SCRUBBING_RULES})


async def scrubbing_of(engine: AsyncEngine, tenant_id: TenantId) -> Scrubbing:
    """Return under which rules the tenant's rows were kept."""
    with translated():
        async with engine.connect() as connection:
            row = (await connection.execute(_STATE, {"tenant_id": tenant_id})).one()
    return Scrubbing(row.rules, row.is_unfinished)
