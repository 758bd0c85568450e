"""An export is one JSON object a line, whatever people wrote, in the order of Discord's ids."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import Attachment, Message, Reaction
from raysync.models.ids import ChannelId, MessageId, TenantId
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.export import export_lines
from raysync.store.archive.pages import PostgresPages
from tests.store.rows import FIRST, NOON, add_tenant, channel, message, page, task


async def _store(
    engine: AsyncEngine, tenant: TenantId, channel_id: int, *messages: Message
) -> None:
    stored = await ChannelStore(engine, tenant).record([channel(channel_id)])
    pages = PostgresPages(engine)
    claim = await pages.claim(task(tenant, stored[ChannelId(channel_id)]), "w1")
    assert claim is not None
    await pages.save_page(claim, page(*messages))


async def _exported(engine: AsyncEngine, tenant: TenantId) -> list[dict[str, Any]]:
    blocks = [block async for block in export_lines(engine, tenant)]
    return [json.loads(line) for line in b"".join(blocks).splitlines()]


async def test_a_line_has_exactly_what_the_contract_names(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    full = message(
        FIRST,
        'two\nlines, "quotes" and \\ \x01\x02\u2028',
        type=19,
        reply_to_id=MessageId(9),
        edited_at=NOON,
        attachments=(
            Attachment(2, "b.png", 5, None, "https://cdn/b"),
            Attachment(1, "a.png", 4, "image/png", "https://cdn/a"),
        ),
        reactions=(Reaction("👍", 2, 1), Reaction("blob:5", 1, 0)),
    )
    await _store(engine, tenant.id, 7, full)

    assert await _exported(engine, tenant.id) == [
        {
            "id": str(FIRST),
            "channel_id": "7",
            "author": "p:9f2c",
            "content": full.content,
            "created_at": full.created_at.isoformat(timespec="milliseconds"),
            "edited_at": "2026-11-23T12:00:00+00:00",
            "deleted_at": None,
            "reply_to_id": "9",
            "type": 19,
            "attachments": [
                {"id": "1", "filename": "a.png", "size": 4, "content_type": "image/png"},
                {"id": "2", "filename": "b.png", "size": 5, "content_type": None},
            ],
            "reactions": [{"emoji": "blob:5", "count": 1}, {"emoji": "👍", "count": 2}],
        }
    ]


async def test_lines_are_ordered_by_discords_ids_as_numbers(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    for channel_id in (100, 20, 3):
        await _store(engine, tenant.id, channel_id, *(message(i) for i in (9, 10, 101)))
    ids = [(each["channel_id"], each["id"]) for each in await _exported(engine, tenant.id)]

    assert ids == [(c, m) for c in ("3", "20", "100") for m in ("9", "10", "101")]


async def test_only_the_tenants_own_messages_are_exported(engine: AsyncEngine) -> None:
    mine, other = await add_tenant(engine, "mine", 1), await add_tenant(engine, "other", 2)
    await _store(engine, mine.id, 7, message(10, "mine"))
    await _store(engine, other.id, 8, message(10, "other"))

    assert [each["content"] for each in await _exported(engine, mine.id)] == ["mine"]


async def test_a_tenant_without_messages_exports_nothing(engine: AsyncEngine) -> None:
    assert await _exported(engine, (await add_tenant(engine)).id) == []


async def test_an_export_may_be_left_early(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    long = "x" * 4000
    await _store(engine, tenant.id, 7, *(message(i, long) for i in range(1, 2001)))
    async with aclosing(export_lines(engine, tenant.id)) as blocks:
        first = await anext(aiter(blocks))

    assert first.endswith(b"}\n")
    assert len(first) < 1_000_000, "a block, not the whole export"
    assert len(await _exported(engine, tenant.id)) == 2000
