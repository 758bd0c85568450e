"""Things to store, plain unless a test says otherwise."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import Channel, Message, Privacy, Tenant
from raysync.models.ids import (
    MAX_SNOWFLAKE,
    ChannelId,
    GuildId,
    JobId,
    MessageId,
    TenantId,
    moment_of,
)
from raysync.models.status import ChannelJobStatus, SyncType
from raysync.models.work import (
    ChannelOutcome,
    ChannelTally,
    ChannelTask,
    Failure,
    IdRange,
    PageWrite,
    StoredChannel,
)
from raysync.store.archive.channels import ChannelStore
from raysync.store.tenants import TenantStore

GUILD = GuildId(41771983423143937)
FIRST = 1_100_000_000_000_000_000
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def message(message_id: int, content: str = "hello", **changes: Any) -> Message:
    values: dict[str, Any] = {
        "id": MessageId(message_id),
        "type": 0,
        "content": content,
        "author_ref": "p:9f2c",
        "reply_to_id": None,
        "created_at": moment_of(message_id),
        "edited_at": None,
        "metadata": orjson.dumps({"flags": 0, "pinned": False}),
        "raw": json.dumps({"id": str(message_id), "content": content}).encode(),
    }
    return Message(**{**values, **changes})


def page(*messages: Message, covered: IdRange | None = None) -> PageWrite:
    ids = [each.id for each in messages]
    if covered is None and ids:
        covered = IdRange(min(ids), max(ids) + 1)
    return PageWrite(messages, covered, MessageId(max(ids)) if ids else None)


def channel(channel_id: int, name: str = "general", **changes: Any) -> Channel:
    values: dict[str, Any] = {
        "id": ChannelId(channel_id),
        "guild_id": GUILD,
        "type": 0,
        "name": name,
        "parent_id": None,
        "last_message_id": None,
    }
    return Channel(**{**values, **changes})


async def add_tenant(engine: AsyncEngine, slug: str = "takaro", guild: int = GUILD) -> Tenant:
    return await TenantStore(engine).add(
        slug, GuildId(guild), slug.title(), "env:TOKEN", Privacy.PSEUDONYMOUS
    )


async def add_channel(engine: AsyncEngine, tenant: TenantId, channel_id: int = 7) -> StoredChannel:
    recorded = await ChannelStore(engine, tenant).record([channel(channel_id)])
    return recorded[ChannelId(channel_id)]


def new_job_id() -> JobId:
    return JobId(str(uuid.uuid4()))


def task(tenant: TenantId, stored: StoredChannel, **changes: Any) -> ChannelTask:
    values: dict[str, Any] = {
        "job_id": JobId("00000000-0000-4000-8000-000000000001"),
        "tenant_id": tenant,
        "channel_key": stored.key,
        "channel_id": stored.channel_id,
        "name": "general",
        "sync_type": SyncType.FULL,
        "window": IdRange(0, MAX_SNOWFLAKE),
        "last_message_id": None,
        "lookback_start": 0,
        "expected_pages": 1.0,
    }
    return ChannelTask(**{**values, **changes})


def outcome(
    of: ChannelTask,
    worker_id: str = "w1",
    status: ChannelJobStatus = ChannelJobStatus.COMPLETED,
    tally: ChannelTally | None = None,
    failure: Failure | None = None,
) -> ChannelOutcome:
    return ChannelOutcome(
        channel_id=of.channel_id,
        status=status,
        worker_id=worker_id,
        attempt=of.attempt,
        started_at=NOON,
        completed_at=NOON + timedelta(seconds=10),
        tally=tally or ChannelTally(messages=100),
        retry_count=2,
        failure=failure,
    )
