"""Quarantined messages of a tenant, which could not be read whole, for its job's result."""

from __future__ import annotations

import logging

from raysync.errors import RaysyncError
from raysync.models.ids import TenantId
from raysync.models.results import QuarantinedRecord, SyncJobResult
from raysync.store.archive.quarantine import quarantine_of
from raysync.store.connection.engine import Engine

_log = logging.getLogger(__name__)

MOST_NAMED = 20
"""Maximum number of quarantined messages that a result names."""


async def with_quarantine(
    engine: Engine, tenant_id: TenantId, result: SyncJobResult
) -> SyncJobResult:
    """Return *result* with the quarantined messages; unchanged while the database is away."""
    try:
        found = await quarantine_of(engine, tenant_id, MOST_NAMED)
    except RaysyncError as error:
        _log.warning("quarantined messages could not be looked up: %s", error)
        return result
    named = [
        QuarantinedRecord(
            channel_id=str(record.channel_id),
            message_id=str(record.message_id),
            fields=list(record.fields),
        )
        for record in found.first
    ]
    changes = {"quarantined": found.messages, "quarantined_messages": named}
    return result.model_copy(update=changes)
