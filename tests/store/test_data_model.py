"""docs/data-model.md: it lists what the database has, and its queries answer what they promise."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.entities import Attachment, Message, Reaction, Tenant
from raysync.models.ids import ChannelId, GuildId, MessageId
from raysync.models.work import IdRange, PageWrite
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from raysync.store.server.privileges import ANALYSTS
from raysync.store.server.roles import RoleStore
from tests.store.rows import add_tenant, channel, message, task

PAGE = (Path(__file__).parents[2] / "docs" / "data-model.md").read_text()

_SHORT_TYPES = {"timestamp with time zone": "timestamptz"}
_COLUMNS = """
SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
    NOT a.attnotnull
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'v') AND n.nspname IN ('public', 'analytics')
ORDER BY 1, 2, a.attnum
"""


class Column(NamedTuple):
    """A column as the page or the database describes it."""

    name: str
    type: str
    is_nullable: bool | None  # None: a view's, which the server does not know


def columns_on_page() -> dict[str, set[Column]]:
    """Return the columns that the page lists, by table or view."""
    sections = re.findall(r"^### ([a-z_.]+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    return {name: {column_of(cells) for cells in rows_of(text)} for name, text in sections}


def rows_of(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head."""
    lines = re.findall(r"^\| (`.*) \|$", section, re.MULTILINE)
    return [re.split(r" (?<!\\)\| ", line) for line in lines]


def column_of(cells: list[str]) -> Column:
    """Return the column that a row of the page describes."""
    is_nullable = cells[3] != "–" if len(cells) > 3 else None
    return Column(cells[0].strip("`"), cells[1], is_nullable)


def test_every_table_view_and_column_is_on_the_page(database_url: str) -> None:
    with psycopg.connect(database_url) as session:
        rows = session.execute(_COLUMNS).fetchall()
    stored: dict[str, set[Column]] = {}
    for schema, relation, name, type_, is_nullable in rows:
        is_view = schema == "analytics"
        column = Column(name, str(_SHORT_TYPES.get(type_, type_)), None if is_view else is_nullable)
        stored.setdefault(f"analytics.{relation}" if is_view else relation, set()).add(column)

    listed = columns_on_page()
    assert sorted(listed) == sorted(stored)
    assert [
        (name, listed[name] ^ stored[name]) for name in stored if listed[name] != stored[name]
    ] == []


def test_the_page_names_what_is_closed_to_analysts() -> None:
    section = PAGE.partition("\n## Who may read what\n")[2].partition("\n## ")[0]
    closed = re.search(r"^- \*\*Closed to analysts\*\*: .*$", section, re.MULTILINE)
    assert closed is not None
    tables = {name for name in columns_on_page() if not name.startswith("analytics.")}
    some_columns = {cells[0]: cells[1] for cells in rows_of(section)}

    assert set(re.findall(r"`(\w+)`", closed[0])) == tables - set(ANALYSTS)
    assert some_columns == {
        f"`{table}`": ", ".join(f"`{column}`" for column in columns)
        for table, columns in ANALYSTS.items()
        if columns
    }


def query(heading: str) -> str:
    """Return the SQL under a heading of the page."""
    section = PAGE.partition(f"\n### {heading}\n")[2]
    return section.partition("```sql\n")[2].partition("```")[0]


GENERAL, NEWS, THREAD = 1090000000000000001, 1090000000000000002, 1090000000000000003
FIRST = 1100000000000000001
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANN, BOB = "u_ann", "u_bob"


def said(number: int, author: str, at: datetime, content: str, **changes: Any) -> Message:
    """Return a message of the archive."""
    values = {"author_ref": author, "created_at": at, **changes}
    return message(FIRST + number, content, **values)


def reply(number: int, author: str, at: datetime, content: str, to: int) -> Message:
    """Return an answer to the message of number *to*."""
    reference = {"message_id": str(FIRST + to), "channel_id": str(GENERAL)}
    raw = orjson.dumps({"message_reference": reference})
    target = MessageId(FIRST + to)
    return said(number, author, at, content, type=19, reply_to_id=target, raw=raw)


PICTURE = Attachment(1, "a.png", 300, "image/png", "https://cdn/a")
TEXT = Attachment(2, "b.txt", 20, "text/plain; charset=utf-8", "https://cdn/b")
MORE_TEXT = Attachment(3, "c.txt", 30, "text/plain", "https://cdn/c")
UNKNOWN = Attachment(4, "d", 5, None, "https://cdn/d")

BEFORE = said(0, ANN, NOON, "helo")
AFTER = said(
    0,
    ANN,
    NOON,
    "hello",
    edited_at=NOON + timedelta(minutes=1),
    reactions=(Reaction("👍", 2, 0), Reaction("🎉", 1, 0)),
)
GENERAL_PAGE = (
    AFTER,
    reply(1, BOB, NOON + timedelta(hours=1), "an answer", to=0),
    reply(2, ANN, NOON + timedelta(days=1), "an answer to it", to=1),
    said(3, BOB, NOON + timedelta(days=1), "files", attachments=(PICTURE, TEXT, MORE_TEXT),
         reactions=(Reaction("👍", 3, 1),)),
    said(5, BOB, NOON + timedelta(days=1), "a file", attachments=(UNKNOWN,)),
)  # fmt: skip
GONE = said(4, BOB, NOON + timedelta(days=1), "regretted")
THREAD_PAGE = (said(6, ANN, NOON, "in the thread"),)


class Archived(NamedTuple):
    """An archive, and a session of an analyst of its tenant."""

    tenant: Tenant
    analyst: psycopg.Connection[tuple[Any, ...]]

    def answer(self, heading: str) -> list[tuple[Any, ...]]:
        """Return the rows of the query under a heading."""
        return self.analyst.execute(query(heading)).fetchall()


@pytest.fixture
async def archived(engine: AsyncEngine, database_url: str) -> AsyncIterator[Archived]:
    """Return an archive with another tenant's beside it, which the analyst must not see."""
    tenant = await fill(engine, "takaro", 1)
    await fill(engine, "other", 2)
    role = f"role_reader_{uuid.uuid4().hex[:12]}"
    await RoleStore(engine).grant_analyst(role, tenant)
    url = make_url(database_url).set(username=role).render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as session:
        session.execute("SET datestyle = 'ISO'")  # the environment of these tests presets another
        yield Archived(tenant, session)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


async def fill(engine: AsyncEngine, slug: str, guild: int) -> Tenant:
    """Return a tenant with an edited, a deleted and an answered message, a thread and a gap."""
    tenant = await add_tenant(engine, slug, GuildId(guild))
    stored = await ChannelStore(engine, tenant.id).record(
        [
            channel(GENERAL, last_message_id=MessageId(FIRST + 5)),
            channel(NEWS, "news", last_message_id=MessageId(FIRST + 9)),
            channel(THREAD, "a thread", type=11, parent_id=ChannelId(GENERAL)),
        ]
    )
    pages = PostgresPages(engine)
    whole = IdRange(0, FIRST + 6)
    general = [PageWrite((BEFORE, *GENERAL_PAGE[1:4], GONE, GENERAL_PAGE[4]), whole, None)]
    general.append(PageWrite(GENERAL_PAGE, whole, None, gone=whole))
    thread = [PageWrite(THREAD_PAGE, IdRange(0, 9), None)]
    thread.append(PageWrite((), IdRange(FIRST, FIRST + 7), None))
    for channel_id, writes in ((GENERAL, general), (THREAD, thread)):
        claim = await pages.claim(task(tenant.id, stored[ChannelId(channel_id)]), "w1")
        assert claim is not None
        for write in writes:
            await pages.save_page(claim, write)
    return tenant


async def test_messages_per_day(archived: Archived) -> None:
    assert archived.answer("Messages per day") == [(date(2026, 11, 23), 3), (date(2026, 11, 24), 3)]


async def test_edit_history(archived: Archived) -> None:
    first, last = archived.answer("Edit history of a message")

    assert first[:2] == ("helo", None)
    assert first[2] is not None
    assert last == ("hello", NOON + timedelta(minutes=1), None)


async def test_deleted_messages(archived: Archived) -> None:
    (row,) = archived.answer("Deleted messages")

    assert row[:5] == ("general", GONE.id, BOB, "regretted", GONE.created_at)
    assert row[5] is not None


async def test_threads_by_size(archived: Archived) -> None:
    assert archived.answer("Threads by size") == [("general", "a thread", 1, NOON)]


async def test_most_used_reactions(archived: Archived) -> None:
    assert archived.answer("Most used reactions") == [("👍", 5, 2), ("🎉", 1, 1)]


async def test_files_by_type(archived: Archived) -> None:
    assert archived.answer("Files by type") == [
        ("image/png", 1, 300, 0),
        ("text/plain", 2, 50, 0),
        ("unknown", 1, 5, 0),
    ]


async def test_reply_chain(archived: Archived) -> None:
    assert archived.answer("Reply chain of a message") == [
        (0, FIRST, ANN, "hello"),
        (1, FIRST + 1, BOB, "an answer"),
        (2, FIRST + 2, ANN, "an answer to it"),
    ]


async def test_activity_by_hour(archived: Archived) -> None:
    rows = archived.answer("Activity by hour of the day")

    assert [hour for hour, _ in rows] == list(range(24))
    assert {hour: count for hour, count in rows if count} == {12: 5, 13: 1}


async def test_most_active_authors(archived: Archived) -> None:
    assert archived.answer("Most active authors") == [
        (ANN, 3, 2, NOON + timedelta(days=1)),
        (BOB, 3, 1, NOON + timedelta(days=1)),
    ]


async def test_channels_with_coverage(archived: Archived) -> None:
    rows = archived.answer("Channels, their coverage, and when they were last synced")

    assert sorted(row[:5] for row in rows) == [
        ("a thread", "in_progress", 1, True, 1),
        ("general", "in_progress", 6, True, 0),
        ("news", "idle", 0, False, 0),
    ]
    assert [row[0] for row in rows if row[5] is None] == ["news"]
    assert rows[0][0] == "news"


def test_the_page_has_ten_queries_and_all_are_run() -> None:
    queries = PAGE.partition("## Ten queries")[2]
    tested = re.findall(r'archived\.answer\("(.+?)"\)', Path(__file__).read_text())

    assert sorted(tested) == sorted(re.findall(r"^### (.+)$", queries, re.MULTILINE))
    assert len(tested) == 10
