"""Writer of events: one transaction for each batch, with the position that it covers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import RulesChangedError, SessionTakenError
from raysync.models.ids import ChannelId
from raysync.models.live import (
    Doubt,
    LiveBatch,
    MessageSeen,
    Position,
    ReactionChange,
    ReactionsCleared,
    SessionLease,
    TenantBatch,
)
from raysync.store.archive.erased_pages import without_erased
from raysync.store.archive.page_rows import message_row, storable_json
from raysync.store.connection.engine import translated
from raysync.store.live import statements

_Driver = psycopg.AsyncConnection[Any]


class LiveWriter:
    """Writer of the events of one or more sessions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def write(
        self, lease: SessionLease, position: Position | None, batches: Sequence[TenantBatch]
    ) -> None:
        """Store *batches* and the *position* up to which they go, or nothing.

        Batches of one tenant are stored in their order. A position of None ends the session,
        which then cannot be resumed.

        Raises:
            SessionTakenError: another process listens with the token by now.
            RulesChangedError: a tenant's rules are of another epoch, or the tenant was removed.
        """
        with translated():
            async with self._engine.begin() as connection:
                pooled = await connection.get_raw_connection()
                driver: _Driver = pooled.driver_connection  # type: ignore[assignment]  # untyped there
                await _hold(driver, lease, position)
                for batch in sorted(batches, key=lambda batch: batch.tenant_id):
                    await _write(driver, batch)

    async def forget_old(self, tenant_id: int) -> None:
        """Forget deletions of messages that no page in flight can hold any more."""
        with translated():
            async with self._engine.begin() as connection:
                pooled = await connection.get_raw_connection()
                driver: _Driver = pooled.driver_connection  # type: ignore[assignment]  # untyped there
                await driver.execute(statements.FORGET_OLD, {"tenant": tenant_id})


async def _hold(driver: _Driver, lease: SessionLease, position: Position | None) -> None:
    values: dict[str, Any] = {"session_id": None, "resume_url": None, "sequence": None}
    if position is not None:
        values = asdict(position)
    held = await driver.execute(statements.HOLDS_SESSION, values | asdict(lease))
    if held.rowcount != 1:
        raise SessionTakenError("Another process listens with this token by now.")


async def _write(driver: _Driver, given: TenantBatch) -> None:
    batch = given.batch
    tenant = {"tenant": given.tenant_id}
    rules = tenant | {"events": batch.events, "rules_epoch": given.rules_epoch}
    followed = await driver.execute(statements.FOLLOWS_RULES, rules)
    if followed.rowcount != 1:
        raise RulesChangedError("The rules on people of a tenant were changed.")
    channels = sorted(channels_of(batch))
    if not channels:
        return
    await driver.execute(statements.LOCK, tenant | {"channels": channels})
    rows = await _message_rows(driver, given)
    for statement, found in (
        (statements.MESSAGES, rows),
        (statements.DELETIONS, [{"channel": at, "id": id_} for at, id_ in batch.deleted]),
        (statements.CLEARED, [_plain(change) for change in batch.cleared]),
        (statements.REACTIONS, [_plain(change) for change in batch.reactions]),
        (statements.NO_REACTIONS, [_plain(c) for c in batch.reactions if c.count < 0]),
        (statements.DOUBTS, _doubts(batch)),
    ):
        if found:
            await driver.execute(statement, tenant | {"rows": Jsonb(found, _encoded)})


def channels_of(batch: LiveBatch) -> set[ChannelId]:
    """Return the channels whose messages the batch changes."""
    changes: tuple[ReactionsCleared | ReactionChange | Doubt, ...]
    changes = (*batch.cleared, *batch.reactions, *batch.doubts)
    return {
        *(seen.channel_id for seen in batch.messages),
        *(channel_id for channel_id, _ in batch.deleted),
        *(change.channel_id for change in changes),
    }


async def _message_rows(driver: _Driver, given: TenantBatch) -> list[dict[str, Any]]:
    """Return the rows of the batch's messages, without those of suppressed people."""
    seen = {event.message.id: event for event in given.batch.messages}
    kept = await without_erased(
        driver, given.tenant_id, [event.message for event in given.batch.messages]
    )
    return [
        _row(seen[message.id], message_row(message))
        for message in kept
        if not message.is_suppressed
    ]


def _row(seen: MessageSeen, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"channel": seen.channel_id, "has_reactions": seen.has_reactions}


def _plain(change: Any) -> dict[str, Any]:
    row = asdict(change)
    return {"channel": row.pop("channel_id"), "id": row.pop("message_id"), **row}


def _doubts(batch: LiveBatch) -> list[dict[str, Any]]:
    """Return the messages in doubt: reactions only where a page may have counted them, too."""
    reacted = {(change.channel_id, change.message_id) for change in batch.reactions}
    sure = {(doubt.channel_id, doubt.message_id) for doubt in batch.doubts}
    return [
        {"channel": channel_id, "id": message_id, "is_sure": (channel_id, message_id) in sure}
        for channel_id, message_id in sorted(reacted | sure)
    ]


def _encoded(rows: Iterable[Any]) -> bytes:
    return storable_json(orjson.dumps(rows))
