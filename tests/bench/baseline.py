"""Sequential baseline: one plain discord.py client that reads channel after channel.

It pages as `channel.history()` does, leaves the limits to discord.py, and writes each page with
psycopg's `executemany` into a table of its own. Nothing of raysync is in it.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import discord
import psycopg
from discord.http import Route

PAGE_SIZE = 100
TEXT = 0
TABLE = """
CREATE TABLE IF NOT EXISTS baseline_messages (
    channel_id bigint, message_id bigint, author_id bigint, content text,
    created_at timestamptz, payload jsonb, PRIMARY KEY (channel_id, message_id)
)"""
INSERT = """
INSERT INTO baseline_messages VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (channel_id, message_id) DO UPDATE SET content = excluded.content"""


async def walk(url: str, token: str, guild_id: int, channels: int, database_url: str) -> int:
    """Copy the guild's first text channels in sequence; return the number of messages."""
    Route.BASE = url
    client = discord.Client(intents=discord.Intents.none())
    async with client, await psycopg.AsyncConnection.connect(database_url) as session:
        await session.execute(TABLE)
        await session.commit()
        await client.login(token)
        every = await client.http.get_all_guild_channels(guild_id)
        texts = [each for each in every if each["type"] == TEXT][:channels]
        return sum([await _copy(client, session, int(each["id"])) for each in texts])


async def _copy(client: discord.Client, session: psycopg.AsyncConnection, channel_id: int) -> int:
    copied, before = 0, None
    while True:
        page = await client.http.logs_from(channel_id, PAGE_SIZE, before=before)
        if page:
            await _write(session, channel_id, page)
            copied, before = copied + len(page), int(page[-1]["id"])
        if len(page) < PAGE_SIZE:
            return copied


async def _write(session: psycopg.AsyncConnection, channel_id: int, page: list[Any]) -> None:
    async with session.cursor() as cursor:
        await cursor.executemany(INSERT, [_row(channel_id, each) for each in page])
    await session.commit()


def _row(channel_id: int, message: dict[str, Any]) -> tuple[Any, ...]:
    author, content = int(message["author"]["id"]), message["content"]
    payload = psycopg.types.json.Jsonb(message)
    return channel_id, int(message["id"]), author, content, message["timestamp"], payload


def main() -> None:
    """Run with the command line's options, and print the number of messages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("url", "token", "database-url"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("guild", "channels"):
        parser.add_argument(f"--{name}", required=True, type=int)
    given = parser.parse_args()
    walked = walk(given.url, given.token, given.guild, given.channels, given.database_url)
    print(asyncio.run(walked))


if __name__ == "__main__":
    main()
