"""Stored names of the channels in a job's result."""

from __future__ import annotations

import logging

from raysync.errors import RaysyncError
from raysync.models.ids import ChannelId, TenantId
from raysync.models.results import SyncJobResult
from raysync.store.archive.channels import ChannelStore
from raysync.store.connection.engine import Engine

_log = logging.getLogger(__name__)


async def with_names(engine: Engine, tenant_id: TenantId, result: SyncJobResult) -> SyncJobResult:
    """Return *result* with channel names in its errors; unchanged while the database is away.

    A forgotten channel is not stored, and so has no name.
    """
    ids = {ChannelId(int(error.channel_id)) for error in result.errors if error.channel_id}
    if not ids:
        return result
    try:
        names = await ChannelStore(engine, tenant_id).names(ids)
    except RaysyncError as failure:
        _log.warning("channel names could not be looked up: %s", failure)
        return result
    errors = [
        error.model_copy(update={"name": names.get(ChannelId(int(error.channel_id)))})
        if error.channel_id
        else error
        for error in result.errors
    ]
    return result.model_copy(update={"errors": errors})
