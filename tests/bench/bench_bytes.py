"""Disk space of a message, with its indexes and dependent rows."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from tests.archive import Archive
from tests.bench.figures import aligned

MESSAGES = 200_000
TOKEN = "bench-token"
_SIZES = text("""
SELECT relname AS name, n_live_tup AS rows, pg_table_size(relid) AS heap,
    pg_indexes_size(relid) AS indexes
FROM pg_stat_user_tables WHERE pg_total_relation_size(relid) > 65536
ORDER BY pg_total_relation_size(relid) DESC
""")


@pytest.mark.timeout(1800)
async def test_bytes_of_a_message(engine: AsyncEngine) -> None:
    world = World(generate_guild(GuildSpec.lively(MESSAGES)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    async with serve(world, limits=Limits.off()) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(guild_id)
        end = await archive.run(SyncWindow(SyncType.FULL))
    async with engine.connect() as connection:
        raw = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await raw.execute(text("VACUUM ANALYZE"))
        tables = (await raw.execute(_SIZES)).all()
        (messages,) = (await raw.execute(text("SELECT count(*) FROM messages"))).one()
    rows = [
        [
            table.name,
            f"{table.rows:,}",
            *(f"{size / messages:,.0f}" for size in (table.heap, table.indexes)),
        ]
        for table in tables
    ]
    whole = sum(table.heap + table.indexes for table in tables) / messages
    print(f"\n{end.status.value}: {messages:,} messages, {whole:,.0f} bytes each, all told")
    print(aligned(["table", "rows", "bytes a message", "of indexes"], rows))
