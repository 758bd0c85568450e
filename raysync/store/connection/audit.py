"""Who did what: entries are added and never changed, which the database itself sees to.

The actor is what the machine says that asked. The role that was connected, and the time, are what
the database says: only the tables' owner could write others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.records import AuditEntry
from raysync.store.connection.engine import translated
from raysync.store.schema.tables import audit_log

Note = Callable[[AsyncConnection], Awaitable[None]]
"""Adds an entry in a transaction of what the entry is about."""


def entry(
    actor: str,
    action: str,
    tenant: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Note:
    """Return what adds an entry in the transaction of the act's first step.

    An act that is refused there leaves no entry that says that it was begun.
    """
    values = {"actor": actor, "action": action, "tenant": tenant, "details": dict(details or {})}

    async def note(connection: AsyncConnection) -> None:
        await connection.execute(insert(audit_log).values(**values))

    return note


async def nothing(_: AsyncConnection) -> None:
    """Add no entry."""


class AuditLog:
    """The log of what operators did."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def record(
        self,
        actor: str,
        action: str,
        tenant: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry; *tenant* is a slug, *details* plain JSON without secrets."""
        with translated():
            async with self._engine.begin() as connection:
                await entry(actor, action, tenant, details)(connection)

    async def recent(self, limit: int = 50, tenant: str | None = None) -> tuple[AuditEntry, ...]:
        """The last entries, of one tenant or of all, the latest first."""
        query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
        if tenant is not None:  # removed ones included: an entry outlives its tenant
            query = query.where(audit_log.c.tenant == tenant)
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(query)
        return tuple(
            AuditEntry(row.at, row.actor, row.action, row.tenant, row.details, row.db_role)
            for row in rows
        )
