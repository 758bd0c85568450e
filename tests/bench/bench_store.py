"""Cost of a page in wall time and client CPU, and the speed of an export."""

from __future__ import annotations

import random
import statistics
import time

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import Attachment, Message, Reaction
from raysync.models.ids import TenantId
from raysync.models.work import PageWrite
from raysync.store.archive.export import export_lines
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection.engine import open_engine
from tests.store.rows import FIRST, add_channel, add_tenant, message, page, task

PAGES = 300
WARM_UP = 20
WORDS = ["a", "word", "that", "somebody", "wrote", "in", "some", "channel", "of", "a", "guild"]


def _message(message_id: int, draws: random.Random, *, rich: bool) -> Message:
    content = " ".join(draws.choices(WORDS, k=12))
    raw = {
        "id": str(message_id),
        "content": content,
        "embeds": [],
        "components": [],
        "x": "y" * 400,
    }
    if not rich:
        return message(message_id, content, raw=orjson.dumps(raw))
    return message(
        message_id,
        content,
        raw=orjson.dumps(raw),
        reactions=(Reaction("👍", 2, 0), Reaction("🎉", 1, 0)) if draws.random() < 0.2 else (),
        attachments=(Attachment(message_id, "a.png", 9, "image/png", "https://cdn/a"),)
        if draws.random() < 0.1
        else (),
    )


def _pages(*, rich: bool) -> list[PageWrite]:
    draws = random.Random(1)
    ids = range(FIRST, FIRST + PAGES * 100 * 4096, 4096)
    messages = [_message(message_id, draws, rich=rich) for message_id in ids]
    return [page(*messages[i : i + 100]) for i in range(0, len(messages), 100)]


@pytest.mark.parametrize("rich", [False, True], ids=["plain", "with-parts"])
async def test_pages(database_url: str, rich: bool) -> None:
    engine = open_engine(database_url, pool_size=2, application_name="raysync bench")
    tenant = await add_tenant(engine)
    store = PostgresPages(engine)
    claim = await store.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
    assert claim is not None
    pages = _pages(rich=rich)
    for name in ("new", "unchanged"):
        walls, cpu_s = [], 0.0
        for saved in pages:
            wall_s, process_s = time.perf_counter(), time.process_time()
            await store.save_page(claim, saved)
            walls.append(time.perf_counter() - wall_s)
            cpu_s += time.process_time() - process_s
        print(
            f"\n{name} pages: median {statistics.median(walls[WARM_UP:]) * 1000:.2f} ms, "
            f"client CPU {cpu_s / PAGES * 1000:.2f} ms"
        )
    await _time_export(engine, tenant.id)
    await engine.dispose()


async def _time_export(engine: AsyncEngine, tenant_id: TenantId) -> None:
    started_s, lines = time.perf_counter(), 0
    async for block in export_lines(engine, tenant_id):
        lines += block.count(b"\n")
    print(f"export: {lines / (time.perf_counter() - started_s):,.0f} lines/s")
