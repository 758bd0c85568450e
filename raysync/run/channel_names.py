"""Names of the channels that a job's result tells of, as they are stored."""

from __future__ import annotations

import logging

from raysync.errors import RaysyncError
from raysync.models.ids import ChannelId, TenantId
from raysync.models.results import SyncJobResult
from raysync.store.archive.channels import ChannelStore
from raysync.store.connection.engine import Engine

_log = logging.getLogger(__name__)


async def with_names(engine: Engine, tenant_id: TenantId, result: SyncJobResult) -> SyncJobResult:
    """Return *result* with the channels of its errors named; while the database is away, without.

    A channel that was forgotten is not stored, and so stays nameless.
    """
    numbered = {ChannelId(int(each.channel_id)) for each in result.errors if each.channel_id}
    if not numbered:
        return result
    try:
        names = await ChannelStore(engine, tenant_id).names(numbered)
    except RaysyncError as error:
        _log.warning("the names of channels could not be looked up: %s", error)
        return result
    errors = [
        each.model_copy(update={"name": names.get(ChannelId(int(each.channel_id)))})
        if each.channel_id
        else each
        for each in result.errors
    ]
    return result.model_copy(update={"errors": errors})
