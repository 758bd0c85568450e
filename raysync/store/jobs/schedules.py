"""Ticks of a schedule: entries of the audit log, and a lock while a tick runs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import select

from raysync.models.audit import AuditAction
from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import Engine, translated
from raysync.store.connection.locks import Lease, LockHolder
from raysync.store.schema.tables import audit_log


class ScheduleStore:
    """Ticks of one schedule, for all schedulers that share the database."""

    def __init__(self, engine: Engine, name: str) -> None:
        """*name* describes what the schedule runs, and identifies the schedule."""
        self._engine = engine
        self._name = name

    async def last_tick(self) -> datetime | None:
        """Return the last tick whose run has ended."""
        details = audit_log.c.details
        query = (
            select(details["tick"].astext)
            .where(
                audit_log.c.action == AuditAction.SCHEDULE.value,
                details["schedule"].astext == self._name,
            )
            .order_by(audit_log.c.id.desc())
            .limit(1)
        )
        with translated():
            async with self._engine.connect() as connection:
                found = (await connection.execute(query)).scalar_one_or_none()
        return None if found is None else datetime.fromisoformat(found)

    async def ended(self, actor: str, tick: datetime, exit_code: int) -> None:
        """Record the end of the run of *tick*."""
        details = {"schedule": self._name, "tick": tick.isoformat(), "exit_code": exit_code}
        await AuditLog(self._engine).record(actor, AuditAction.SCHEDULE, details=details)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[bool]:
        """Hold the schedule by a lock that ends with its process. Yield False if it is held."""
        digest = hashlib.sha256(self._name.encode()).hexdigest()  # the name may be long
        lease, holder = Lease(f"schedule/{digest}"), LockHolder(self._engine, "raysync schedule")
        is_held = await holder.take(lease)
        try:
            yield is_held
        finally:
            await holder.release(lease)
