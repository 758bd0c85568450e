"""Malformed messages and people: what cannot be read names nobody, and is erased like the rest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.credentials import tenant_key
from raysync.emulator import Emulator, GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.world.entities import Channel
from raysync.emulator.world.snowflakes import made_at_ms
from raysync.models.entities import Privacy
from raysync.models.privacy import Retention
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.privacy import TenantPrivacy
from raysync.settings import Settings
from raysync.store.archive.quarantine import quarantine_of
from raysync.store.tenants import TenantStore
from tests.archive import Archive
from tests.dump import dumped, tables_with

TOKEN = "a-token"
FULL = SyncWindow(SyncType.FULL)
SECRET = "a secret key of these tests alone"
SETTINGS = Settings(RAYSYNC_SECRET_KEY=SECRET)
BOTH = pytest.mark.parametrize("stage", list(Privacy), indirect=True)


@dataclass
class Stage:
    """A guild, a tenant's archive of it, and somebody who wrote some of its messages."""

    archive: Archive
    emulator: Emulator
    engine: AsyncEngine
    url: str

    @property
    def channel(self) -> Channel:
        return next(each for each in self.emulator.world.channels.values() if each.type == 0)

    @property
    def office(self) -> TenantPrivacy:
        assert self.archive.tenant is not None
        return TenantPrivacy(self.engine, self.archive.tenant, "the tests")

    def someone(self) -> tuple[int, str]:
        """A member, by id and name."""
        guild = self.emulator.world.guild_of(self.channel)
        user = guild.users[guild.user_ids[0]]
        return user.id, user.name

    def post(self, *, damage: dict[str, Any] | None = None, **message: Any) -> int:
        user_id, _ = self.someone()
        edits = self.emulator.edits
        message_id = edits.post_message(
            self.channel.id, **({"author_id": user_id, "content": "hello"} | message)
        )
        if damage is not None:
            edits.damage_message(self.channel.id, message_id, **damage)
        return message_id

    async def run(self) -> None:
        assert (await self.archive.run(FULL)).status is JobStatus.COMPLETED

    async def quarantined(self) -> set[int]:
        found = await quarantine_of(self.engine, self.office.tenant.id, 99)
        return {each.message_id for each in found.first}


@pytest.fixture
async def stage(
    engine: AsyncEngine, database_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    world = World(generate_guild(GuildSpec(text_channels=1, text_messages=10, users=3), seed=5))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    async with serve(world, limits=Limits.off()) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        archive.key = tenant_key(SECRET.encode(), guild_id)
        await archive.add(guild_id, getattr(request, "param", Privacy.PSEUDONYMOUS))
        yield Stage(archive, emulator, engine, database_url)


async def test_nobody_is_named_where_no_name_belongs(stage: Stage) -> None:
    user_id, name = stage.someone()
    user = {"id": str(user_id), "username": name, "global_name": name}
    mention = f"<@{user_id}>"
    patches: list[dict[str, Any]] = [
        {"pinned": user},
        {"pinned": mention},
        {"flags": {"user": user}},
        {"flags": str(user_id)},
        {"type": str(user_id)},
        {"content": [mention, user]},
        {"content": {"user": user}},
        {"timestamp": mention},
        {"edited_timestamp": mention},
        {"author": [user]},
        {"author": None, "member": {"user": user, "nick": name}, "type": None},
        {"attachments": [{"id": "5", "filename": mention, "size": None, "url": mention}]},
        {"attachments": {"user": user}},
        {"reactions": [{"emoji": {"id": None, "name": mention}, "count": 1}]},
        {"reactions": [{"emoji": {"id": user, "name": "a"}, "count": 1}]},
        {"reactions": [{"emoji": {"id": None, "name": "👍"}, "count": user}]},
        {"message_reference": user},
        {"nonce": user_id, "type": None},
        {"embeds": [{"color": user_id}], "content": None},
        {"embeds": [{"footer": {"user": user}, "color": 10**400}]},
        {mention: 10**400, "embeds": [{mention: float("nan"), "user": user}]},
    ]
    broken = [stage.post(damage={"patch": each}) for each in patches]
    deep = "[" * 3_000 + "]" * 3_000
    broken.append(stage.post())
    told = json.dumps({"id": str(broken[-1]), "content": mention, "user": user})
    text = f'{told[:-1]}, "x": {deep}}}'
    stage.emulator.edits.damage_message(stage.channel.id, broken[-1], text=text)
    await stage.run()

    assert {message_id for _, message_id in await stage.archive.rows()} >= set(broken)
    assert len(await stage.quarantined()) >= len(broken) - 2, "two are odd and can be read"
    assert tables_with(stage.url, str(user_id)) == set()
    assert tables_with(stage.url, name) == set()


@BOTH
async def test_what_may_be_a_forgotten_persons_is_not_kept(stage: Stage) -> None:
    user_id, _ = stage.someone()
    words = "these are the words of somebody who is forgotten"
    source = stage.post(content=words)
    await stage.run()
    await stage.office.forget_user(await stage.office.ref_of(str(user_id), SETTINGS))
    assert tables_with(stage.url, words) == set()

    other = max(each for each in stage.emulator.world.guild_of(stage.channel).user_ids)
    copy = {"message": {"content": words, "attachments": [], "embeds": []}}
    forward = {"type": 1, "message_id": str(source), "channel_id": str(stage.channel.id)}
    theirs = [
        stage.post(content=words, damage={"patch": {"author": None}}),
        stage.post(content=words, damage={"without": ["author"]}),
        stage.post(content=words, damage={"patch": {"author": {"id": "x"}}}),
        stage.post(content=words, damage={"patch": {"type": None}}),
        stage.post(content=words, damage={"patch": {"timestamp": 5, "attachments": 5}}),
    ]
    copies = [
        stage.post(
            author_id=other,
            content="",
            damage={
                "patch": {
                    "message_snapshots": [copy],
                    "message_reference": forward | {"message_id": odd},
                }
            },
        )
        for odd in ("x", 1.5, [str(source)], {"id": str(source)}, True, "9" * 40)
    ]
    await stage.run()

    assert tables_with(stage.url, words) == set()
    stored = {message_id for _, message_id in await stage.archive.rows()}
    assert set(copies) <= stored, "that there is a message is no secret"
    assert stored.isdisjoint(theirs[-2:]), "of these it is known whose they are"


@BOTH
async def test_what_is_stored_of_them_is_erased_purged_exported_and_rotated_like_the_rest(
    stage: Stage,
) -> None:
    user_id, _ = stage.someone()
    other = max(each for each in stage.emulator.world.guild_of(stage.channel).user_ids)
    snapshot = [{"message": {"content": "copied", "attachments": [], "embeds": []}}]
    quote = {"content": "quoted", "author": {"id": str(other)}}
    odd_ids: list[Any] = ["x", 1.5, True, [], {}, "9" * 40, -1, 10**30, "", " 5", "٣"]
    broken = [
        stage.post(
            author_id=each,
            damage={
                "patch": {
                    "message_snapshots": snapshot,
                    "message_reference": {"message_id": odd, "channel_id": odd},
                    "referenced_message": quote
                    | {"id": odd, "message_reference": {"message_id": odd}},
                    "thread": {"id": odd},
                    "flags": odd,
                }
            },
        )
        for odd in odd_ids
        for each in (user_id, other)
    ]
    references = [
        stage.post(author_id=other, damage={"patch": {"message_reference": odd}}) for odd in odd_ids
    ]
    await stage.run()
    ref = await stage.office.ref_of(str(user_id), SETTINGS)
    async with aclosing(stage.office.export(ref)) as blocks:
        lines = [
            json.loads(line) for block in [b async for b in blocks] for line in block.splitlines()
        ]
    exported = {int(each["id"]): each for each in lines if each["kind"] == "message"}
    assert {each for each in broken[::2] if exported[each]["quarantine"]} == set(broken[::2])

    if stage.office.tenant.privacy is Privacy.PSEUDONYMOUS:
        await stage.office.rotate(SETTINGS)
        assert tables_with(stage.url, ref) == set()
        ref = await stage.office.ref_of(str(user_id), SETTINGS)
    erased = await stage.office.forget_user(ref)
    assert erased.messages >= len(broken) // 2
    assert "messages" not in tables_with(stage.url, ref)
    assert await stage.quarantined() >= set(broken[1::2])
    assert await stage.quarantined() >= {
        each for each, odd in zip(references, odd_ids, strict=True) if odd != {}
    }

    young = datetime.fromtimestamp(made_at_ms(broken[0]) / 1000, UTC) - timedelta(minutes=5)
    await stage.office.retain(Retention(max_age=datetime.now(UTC) - young))
    stage.archive.tenant = await TenantStore(stage.engine).get(stage.office.tenant.slug)
    await stage.office.purge()
    assert await stage.quarantined() >= set(broken[1::2])
    assert "quoted" not in "".join(dumped(stage.url).values()), "how old it is cannot be told"
    await stage.run()
