"""Audit log: entries are added and never changed, which the database enforces.

The client's machine names the actor. The database itself writes the connected role and the time;
only the tables' owner could forge them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from raysync.models.audit import AuditAction
from raysync.models.records import AuditEntry
from raysync.store.connection.engine import translated
from raysync.store.schema.tables import audit_log

Note = Callable[[AsyncConnection], Awaitable[None]]
"""Function that adds an entry in the transaction of the act that the entry is about."""


def entry(
    actor: str,
    action: AuditAction,
    tenant: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Note:
    """Return a function that adds an entry in the transaction of the act's first step.

    If the first step is refused, no entry claims that the act was begun.
    """
    values = {
        "actor": actor,
        "action": str(action),
        "tenant": tenant,
        "details": dict(details or {}),
    }

    async def note(connection: AsyncConnection) -> None:
        await connection.execute(insert(audit_log).values(**values))

    return note


async def nothing(_: AsyncConnection) -> None:
    """Add no entry."""


class AuditLog:
    """Log of what operators did."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def record(
        self,
        actor: str,
        action: AuditAction,
        tenant: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry. *tenant* is a slug, *details* is plain JSON without secrets."""
        with translated():
            async with self._engine.begin() as connection:
                await entry(actor, action, tenant, details)(connection)

    async def recent(self, limit: int = 50, tenant: str | None = None) -> tuple[AuditEntry, ...]:
        """Return the latest *limit* entries of one tenant or of all, latest first."""
        query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
        if tenant is not None:  # by slug: an entry outlives its tenant
            query = query.where(audit_log.c.tenant == tenant)
        with translated():
            async with self._engine.connect() as connection:
                rows = await connection.execute(query)
        return tuple(
            AuditEntry(row.at, row.actor, row.action, row.tenant, row.details, row.db_role)
            for row in rows
        )
