"""Look-ups of the guild are shared by all callers that ask during one."""

from __future__ import annotations

import asyncio

from raysync.errors import GuildUnavailableError, PermanentError, RetryableError
from raysync.sync.job.membership import Membership
from raysync.sync.planning.planner import GuildPlanner, Survey
from raysync.sync.retry import Retrier, RetryPolicy
from tests.unit.sync.test_job import GUILD, FakeGuild
from tests.virtual_time import LoopClock, run_virtual


class SlowGuild(FakeGuild):
    """Guild that takes a second for each look-up, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.looks = 0

    async def list_channels(self, guild_id):
        self.looks += 1
        await asyncio.sleep(1.0)
        if self.error is not None:
            raise self.error
        return await super().list_channels(guild_id)


def membership_of(guild: SlowGuild) -> Membership:
    clock = LoopClock()
    retrier = Retrier(RetryPolicy(max_attempts=1), clock)
    return Membership(GuildPlanner(guild, GUILD), retrier, clock)


def test_callers_during_a_look_up_share_the_next_one():
    guild = SlowGuild()

    async def many() -> list[Survey | None]:
        membership = membership_of(guild)
        first = asyncio.create_task(membership.look())
        await asyncio.sleep(0.5)
        later = [asyncio.create_task(membership.look()) for _ in range(500)]
        return await asyncio.gather(first, *later)

    found = run_virtual(many())

    assert guild.looks == 2, "a look-up that began before the call is outdated"
    assert all(each is not None for each in found)


def test_every_caller_learns_that_the_bot_is_out():
    guild = SlowGuild(GuildUnavailableError("out"))

    async def two() -> list[object]:
        membership = membership_of(guild)
        return await asyncio.gather(membership.look(), membership.look(), return_exceptions=True)

    assert [type(each) for each in run_virtual(two())] == [GuildUnavailableError] * 2


def test_a_guild_that_does_not_answer_explains_nothing():
    for error in (RetryableError("503"), PermanentError("400")):
        assert run_virtual(membership_of(SlowGuild(error)).look()) is None
