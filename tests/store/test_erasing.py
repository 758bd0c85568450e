"""What is erased beside a message's own row: quotes, copies, names of files, and the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import FileVaultError
from raysync.models.entities import Attachment, Message, Tenant
from raysync.models.ids import ChannelId, snowflake_at
from raysync.models.privacy import Elsewhere, PurgeCounts, Retention
from raysync.privacy import TenantPrivacy
from raysync.run.channel_names import with_names
from raysync.store.archive.blobs import BlobStore
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from raysync.store.tenants import TenantStore
from tests.cli.samples import channel_error, job_result
from tests.dump import dumped, tables_with
from tests.store.rows import add_tenant, channel, message, page, task

SECRET = "the words that have to go"
BOB = "u_" + "b" * 26
HOME, OTHER, THREAD = 7, 8, 9
NEW = snowflake_at(datetime.now(UTC) - timedelta(hours=1))
OLD = snowflake_at(datetime.now(UTC) - timedelta(days=800))


class TenantArchive:
    """Tenant with the messages that a test writes."""

    def __init__(self, engine: AsyncEngine, tenant: Tenant, url: str) -> None:
        self.engine, self.tenant, self.url = engine, tenant, url

    @property
    def privacy(self) -> TenantPrivacy:
        return TenantPrivacy(self.engine, self.tenant, "the tests")

    async def write(self, channel_id: int, *messages: Message, **changes: Any) -> None:
        pages = PostgresPages(self.engine)
        described = channel(channel_id, **changes)
        recorded = await ChannelStore(self.engine, self.tenant.id).record([described])
        claim = await pages.claim(task(self.tenant.id, recorded[described.id]), "w1")
        assert claim is not None
        await pages.save_page(claim, page(*messages))

    async def retain(self, **lengths: timedelta) -> None:
        await self.privacy.retain(Retention(**lengths))
        self.tenant = await TenantStore(self.engine).get(self.tenant.slug)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        with psycopg.connect(self.url) as session:
            session.execute(statement, values)

    def rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(self.url) as session:
            return session.execute(query).fetchall()

    def keep_files_in(self, place: Path) -> None:
        """Record a run with `--attachments` into *place*."""
        self.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, options) "
            "SELECT gen_random_uuid(), id, 'full', 0, 'completed', %s FROM tenants",
            [json.dumps({"extras": {"files": {"url": str(place)}}})],
        )


@pytest.fixture
async def archive(engine: AsyncEngine, database_url: str) -> TenantArchive:
    return TenantArchive(engine, await add_tenant(engine), database_url)


def said(message_id: int, content: str = "hello", **payload: Any) -> Message:
    payload = {"id": str(message_id), "content": content, **payload}
    return message(message_id, content, raw=json.dumps(payload).encode())


def quote(message_id: int, channel_id: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(message_id),
        "channel_id": str(channel_id),
        "content": SECRET,
        "author": {"id": "u_" + "c" * 26},
        **more,
    }


async def test_a_forgotten_channel_is_in_no_answer_to_a_forward_of_it(
    archive: TenantArchive,
) -> None:
    await archive.write(HOME, said(NEW, SECRET))
    forward = {
        **quote(NEW + 2, OTHER, content=""),
        "message_reference": {"channel_id": str(HOME), "message_id": str(NEW)},
        "message_snapshots": [{"message": {"content": SECRET}}],
    }
    await archive.write(OTHER, said(NEW + 3, "indeed", referenced_message=forward))
    archive.execute(
        "INSERT INTO message_versions (channel_id, platform_message_id, seen_at, content, raw) "
        "SELECT channel_id, platform_message_id, now(), 'in deed', raw FROM messages "
        "WHERE content = 'indeed'"
    )

    await archive.privacy.forget_channel(ChannelId(HOME))

    assert tables_with(archive.url, SECRET) == set()
    assert archive.rows("SELECT content FROM messages") == [("indeed",)]


async def test_who_is_forgotten_is_in_no_name_of_a_file(archive: TenantArchive) -> None:
    file = Attachment(5, f"{BOB}.png", 9, "image/png", f"https://cdn.test/7/5/{BOB}.png")
    await archive.write(
        HOME,
        message(NEW, "look", raw=b"{}", attachments=(file,)),
        message(NEW + 1, "it is I", author_ref=BOB),
    )

    await archive.privacy.forget_user(BOB)

    assert tables_with(archive.url, BOB) == {"suppressions"}
    assert archive.rows("SELECT filename, url FROM message_attachments") == [
        ("u_erased.png", "https://cdn.test/7/5/u_erased.png")
    ]


async def test_old_messages_are_quoted_no_more_not_even_where_a_thread_was_begun_from_one(
    archive: TenantArchive,
) -> None:
    await archive.write(
        HOME, said(OLD, SECRET), said(NEW, "yes", referenced_message=quote(OLD, HOME))
    )
    starter = said(NEW + 1, "", referenced_message=quote(OLD, HOME))
    metadata = json.dumps({"original": starter.raw.decode(), "flags": 0}).encode()
    starter = replace(starter, metadata=metadata)
    await archive.write(THREAD, starter, type=11, parent_id=ChannelId(HOME))
    await archive.retain(max_age=timedelta(days=400))

    done = await archive.privacy.purge()

    assert done == PurgeCounts(erased=1)
    assert tables_with(archive.url, SECRET) == set()
    assert archive.rows("SELECT metadata FROM messages ORDER BY 1") == [
        ({"flags": 0},),
        ({"flags": 0, "pinned": False},),
    ]


@pytest.fixture
async def files(archive: TenantArchive, tmp_path: Path) -> Path:
    """A folder with the bytes of an old message and of a new one, as a run left it."""
    place = tmp_path / "files"
    vault = BlobStore(str(place), archive.tenant.guild_id)
    described = [
        (number, Attachment(number, "a.png", 3, "image/png", f"https://cdn.test/7/{number}/a.png"))
        for number in (OLD, NEW)
    ]
    await archive.write(HOME, *(message(at, "x", attachments=(each,)) for at, each in described))
    for number, _ in described:
        async with vault.draft() as draft:
            draft.write(b"old" if number == OLD else b"new")
            stored = await draft.keep()
        archive.execute(
            "UPDATE message_attachments SET blob_key = %s WHERE platform_attachment_id = %s",
            (stored.key, number),
        )
    archive.keep_files_in(place)
    return place


def contents(place: Path) -> set[bytes]:
    return {each.read_bytes() for each in place.rglob("*") if each.is_file()}


async def test_a_purge_that_could_not_reach_the_files_is_due_again(
    archive: TenantArchive, files: Path
) -> None:
    await archive.retain(max_age=timedelta(days=400))
    away = files.rename(files.with_name("unmounted"))

    with pytest.raises(FileVaultError, match="without-place"):
        await archive.privacy.purge()

    assert len(archive.rows("SELECT FROM messages")) == 2
    away.rename(files)
    assert contents(files) == {b"old", b"new"}
    would = await archive.privacy.count_purge()
    assert await archive.privacy.purge() == would == PurgeCounts(erased=1, blobs=1, files=1)
    assert contents(files) == {b"new"}


async def test_files_of_messages_deleted_on_discord_are_removed_with_them(
    archive: TenantArchive, files: Path
) -> None:
    archive.execute(
        "UPDATE messages SET deleted_at = now() - interval '3 days', raw = '{\"id\": \"1\"}' "
        "WHERE platform_message_id = %s",
        [NEW],
    )
    await archive.retain(purge_deleted_after=timedelta(days=4))
    assert await archive.privacy.purge() == PurgeCounts()
    await archive.retain(purge_deleted_after=timedelta(days=2))

    would = await archive.privacy.count_purge()
    assert await archive.privacy.purge() == would == PurgeCounts(emptied=1, blobs=1, files=1)
    assert contents(files) == {b"old"}


async def test_a_place_that_is_gone_for_good_can_be_left_out(
    archive: TenantArchive, files: Path
) -> None:
    gone = files.rename(files.with_name("burnt"))
    with pytest.raises(FileVaultError, match="without-place"):
        await archive.privacy.forget_channel(ChannelId(HOME))

    without = Elsewhere(without=frozenset({str(files)}))
    erased = await archive.privacy.forget_channel(ChannelId(HOME), without)

    assert (erased.files, contents(gone)) == (0, {b"old", b"new"})
    (entry,) = await archive.privacy.suppressions()
    assert entry.erased_at is not None
    told = dumped(archive.url)["audit_log"]
    assert str(files) in told, "the audit log says what was passed over"


async def test_files_that_were_moved_are_removed_where_they_are_now(
    archive: TenantArchive, files: Path
) -> None:
    moved = files.rename(files.with_name("moved"))
    where = Elsewhere(more=frozenset({str(moved)}), without=frozenset({str(files)}))

    erased = await archive.privacy.forget_all(where)

    assert (erased.files, contents(moved)) == (2, set())


async def test_errors_of_a_result_name_channels_and_a_forgotten_one_has_no_name(
    archive: TenantArchive,
) -> None:
    for channel_id in (HOME, OTHER):
        await archive.write(channel_id, said(NEW + channel_id), name=f"room-{channel_id}")
    errors = [
        channel_error(0).model_copy(update={"channel_id": each})
        for each in (str(HOME), str(OTHER), "999", None)
    ]
    result = job_result(status="partial", errors=errors)

    named = await with_names(archive.engine, archive.tenant.id, result)
    await archive.privacy.forget_channel(ChannelId(HOME))
    later = await with_names(archive.engine, archive.tenant.id, result)

    assert [each.name for each in named.errors] == ["room-7", "room-8", None, None]
    assert [each.name for each in later.errors] == [None, "room-8", None, None]
