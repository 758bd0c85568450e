"""The guild throws the bot out, or takes a permission away, while channels are read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import (
    Action,
    Emulator,
    FaultRule,
    GuildSpec,
    Limits,
    World,
    generate_guild,
    serve,
)
from raysync.emulator.faults import FaultScript
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.sync.job.outcome import JobOutcome
from tests.archive import Archive

TOKEN = "a-token"
PLAIN = SyncWindow(SyncType.INCREMENTAL, lookback_s=86_400.0)
MESSAGES = "GET /channels/{channel_id}/messages"
PUBLIC = "GET /channels/{channel_id}/threads/archived/public"
REACTIONS = f"{MESSAGES}/{{message_id}}/reactions/{{emoji}}"
GUILD = "GET /guilds/{guild_id}"
READ_HISTORY, VIEW_CHANNEL = 1 << 16, 1 << 10


class Stage:
    """An archive of an emulated guild that changes between one page and the next."""

    def __init__(self, archive: Archive, world: World, emulator: Emulator) -> None:
        self.archive, self.world, self.emulator = archive, world, emulator
        (self.guild,) = world.guilds.values()

    async def run(self, *faults: FaultRule) -> JobOutcome:
        self.emulator.faults = FaultScript(*faults)
        return await self.archive.run(PLAIN)

    def text_channel(self) -> int:
        return next(each.id for each in self.guild.channels.values() if each.type == 0)

    def kick(self) -> dict[str, object]:
        return {"op": "remove_bot", "token": TOKEN, "guild_id": self.guild.id}

    def truth(self) -> set[tuple[int, int]]:
        return {
            (channel, int(message["id"]))
            for channel, message in self.world.truth(self.guild.id, token=TOKEN)
        }

    async def stored(self) -> set[tuple[int, int]]:
        return set(await self.archive.rows())


@asynccontextmanager
async def staged(engine: AsyncEngine) -> AsyncIterator[Stage]:
    spec = GuildSpec(
        text_channels=12,
        text_messages=1_500,
        threads=12,
        messages_per_thread=3,
        archived=0.6,
        users=20,
        end_ms=int(time.time() * 1000) - 5 * 86_400_000,
        span_days=60.0,
    )
    world = World(generate_guild(spec, seed=3))
    world.add_bot(TOKEN, permissions=VIEW_CHANNEL | READ_HISTORY)
    async with serve(world, limits=Limits.off()) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 20)
        await archive.add(next(iter(world.guilds)))
        yield Stage(archive, world, emulator)


@pytest.mark.parametrize("page", [3, 17, 50])
async def test_a_guild_that_throws_the_bot_out_is_one_trouble_of_the_guild(
    engine: AsyncEngine, page: int
) -> None:
    async with staged(engine) as stage:
        out = FaultRule(Action.PASS, route=MESSAGES, nth=(page,), after=[stage.kick()])

        end = await stage.run(out)

        assert end.status is JobStatus.FAILED
        (trouble,) = end.troubles
        assert trouble.channel_id is None
        assert str(stage.guild.id) in trouble.message
        assert not [each for each in end.outcomes if each.failure is not None]
        assert end.gone == frozenset()

        stage.emulator.edits.restore_bot(TOKEN, stage.guild.id, VIEW_CHANNEL | READ_HISTORY)
        assert (await stage.run()).status is JobStatus.COMPLETED
        assert await stage.stored() == stage.truth()


async def test_lists_that_are_refused_because_the_bot_is_out_are_no_troubles_of_channels(
    engine: AsyncEngine,
) -> None:
    async with staged(engine) as stage:
        out = FaultRule(Action.PASS, route=PUBLIC, nth=(1,), before=[stage.kick()])

        end = await stage.run(out)

        assert end.status is JobStatus.FAILED
        assert [each.channel_id for each in end.troubles] == [None]


async def test_a_permission_that_is_taken_away_is_named_and_channels_do_not_rest_for_it(
    engine: AsyncEngine,
) -> None:
    async with staged(engine) as stage:
        everyone = stage.guild.id
        roles = [each.id for each in stage.guild.roles.values()]
        take = [
            {
                "op": "set_role_permissions",
                "guild_id": everyone,
                "role_id": each,
                "permissions": VIEW_CHANNEL,
            }
            for each in roles
        ]
        lost = FaultRule(Action.PASS, route=MESSAGES, nth=(9,), after=take)

        end = await stage.run(lost)

        failures = [each.failure for each in end.outcomes if each.failure is not None]
        assert end.status is JobStatus.PARTIAL
        assert failures
        assert {each.error for each in failures} == {"PermissionLostError"}
        assert all("READ_MESSAGE_HISTORY" in each.message for each in failures)


async def test_a_refusal_that_the_guild_does_not_explain_is_the_channels_own(
    engine: AsyncEngine,
) -> None:
    async with staged(engine) as stage:
        channel_id = stage.text_channel()
        body = {"message": "Missing Access", "code": 50001}
        odd = FaultRule(Action.ANSWER, route=MESSAGES, channel_id=channel_id, status=403, body=body)

        end = await stage.run(odd)

        (failed,) = [each for each in end.outcomes if each.failure is not None]
        assert failed.failure is not None
        assert (failed.channel_id, failed.failure.error) == (channel_id, "AccessDeniedError")
        assert end.status is JobStatus.PARTIAL


async def test_where_the_guild_does_not_answer_a_refusal_stays_the_channels(
    engine: AsyncEngine,
) -> None:
    async with staged(engine) as stage:
        channel_id = stage.text_channel()
        body = {"message": "Missing Access", "code": 50001}
        odd = FaultRule(Action.ANSWER, route=MESSAGES, channel_id=channel_id, status=403, body=body)
        away = FaultRule(Action.ANSWER, route=GUILD, status=400, body={}, every=1)
        first = FaultRule(Action.PASS, route=GUILD, nth=(1,))

        end = await stage.run(odd, first, away)

        (failed,) = [each for each in end.outcomes if each.failure is not None]
        assert failed.failure is not None
        assert failed.failure.error == "AccessDeniedError"


async def test_a_token_that_is_revoked_ends_a_run_that_began_as_failed(
    engine: AsyncEngine,
) -> None:
    async with staged(engine) as stage:
        body = {"message": "401: Unauthorized", "code": 0}
        pages = FaultRule(Action.PASS, route=MESSAGES, nth=tuple(range(1, 12)))
        revoked = FaultRule(Action.ANSWER, status=401, body=body, route=MESSAGES)

        end = await stage.run(pages, revoked)

        assert end.status is JobStatus.FAILED
        assert [each.channel_id for each in end.troubles] == [None]
        assert "token" in end.troubles[0].message
        assert not [each for each in end.outcomes if each.failure is not None]


async def test_a_token_that_is_revoked_while_lists_are_read_does_the_same(
    engine: AsyncEngine,
) -> None:
    async with staged(engine) as stage:
        body = {"message": "401: Unauthorized", "code": 0}
        revoked = FaultRule(Action.ANSWER, status=401, body=body, route=PUBLIC)

        end = await stage.run(revoked)

        assert end.status is JobStatus.FAILED
        assert len(end.troubles) == 1
