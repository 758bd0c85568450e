"""A tenant's messages that could not be read whole, for the result of its job."""

from __future__ import annotations

import logging

from raysync.errors import RaysyncError
from raysync.models.ids import TenantId
from raysync.models.results import QuarantinedRecord, SyncJobResult
from raysync.store.archive.quarantine import quarantine_of
from raysync.store.connection.engine import Engine

_log = logging.getLogger(__name__)
MOST_NAMED = 20


async def with_quarantine(
    engine: Engine, tenant_id: TenantId, result: SyncJobResult
) -> SyncJobResult:
    """Return *result* with what is quarantined now; while the database is away, without."""
    try:
        found = await quarantine_of(engine, tenant_id, MOST_NAMED)
    except RaysyncError as error:
        _log.warning("what is quarantined could not be looked up: %s", error)
        return result
    named = [
        QuarantinedRecord(
            channel_id=str(each.channel_id),
            message_id=str(each.message_id),
            fields=list(each.fields),
        )
        for each in found.first
    ]
    changes = {"quarantined": found.messages, "quarantined_messages": named}
    return result.model_copy(update=changes)
