"""Governors that share a database share a token: the sum holds, and what is unused moves on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.ratelimit.budget import QUIET_S
from raysync.ratelimit.shares import VALID_FOR_S, TokenShare
from raysync.store.limits.token_shares import TokenShares

WHOLE = 50
AGE = text("UPDATE token_shares SET expires_at = expires_at - make_interval(secs => :age)")

RELEASED = text("UPDATE token_shares SET updated_at = updated_at - make_interval(secs => :age)")


@dataclass
class Claimant:
    """A governor on a clock of the test's own."""

    name: str
    store: TokenShares
    share: TokenShare = field(default_factory=lambda: TokenShare(WHOLE))

    async def renew(self, now_s: float, permits: int | None = None) -> None:
        if permits is not None:
            self.share.note_use(permits, now_s)
        await self.store.renew("token", self.name, VALID_FOR_S, self.share.decide(now_s))
        self.share.note_written(now_s, now_s)


@pytest.fixture
def claimants(engine: AsyncEngine) -> list[Claimant]:
    return [Claimant(name, TokenShares(engine)) for name in ("one", "two", "three")]


def usable(claimants: list[Claimant], now_s: float) -> list[int]:
    return [each.share.usable(now_s) for each in claimants]


async def test_one_alone_has_the_whole_at_once(claimants: list[Claimant]) -> None:
    await claimants[0].renew(0.0, permits=8)

    assert claimants[0].share.usable(0.0) == WHOLE


async def test_several_share_evenly_and_never_exceed_the_whole(claimants: list[Claimant]) -> None:
    sums = []
    for tick in range(40):
        now_s = tick * 0.25
        for each in claimants if now_s >= 1 else claimants[:1]:
            await each.renew(now_s, permits=20)
            sums.append(sum(usable(claimants, now_s)))

    assert max(sums) == WHOLE
    assert min(usable(claimants, 10.0)) == 16


async def test_claims_made_at_the_same_moment_do_not_add_up(claimants: list[Claimant]) -> None:
    for tick in range(12):
        await asyncio.gather(*(each.renew(tick * 0.25, permits=20) for each in claimants))

        assert sum(usable(claimants, tick * 0.25)) <= WHOLE


async def test_a_newcomer_waits_until_what_was_given_up_is_out_of_the_way(
    claimants: list[Claimant],
) -> None:
    first, second, _ = claimants
    await first.renew(0.0, permits=20)
    await second.renew(0.5, permits=0)
    await first.renew(1.0, permits=20)

    assert usable([first, second], 1.0) == [25, 0], "it uses less before it says so"
    await first.renew(1.0, permits=20)
    await second.renew(1.1, permits=0)
    assert usable([first, second], 1.1 + QUIET_S - 0.01) == [25, 0]
    assert usable([first, second], 1.1 + QUIET_S) == [25, 25]


async def test_what_one_does_not_use_goes_to_the_other(claimants: list[Claimant]) -> None:
    modest, hungry, _ = claimants
    for tick in range(40):
        await modest.renew(tick * 0.25, permits=1)
        await hungry.renew(tick * 0.25, permits=20)

    assert modest.share.usable(10.0) < 12
    assert hungry.share.usable(10.0) > 38


async def test_who_stops_asking_gives_its_share_up(claimants: list[Claimant]) -> None:
    leaving, staying, _ = claimants
    for tick in range(60):
        now_s = tick * 0.25
        await leaving.renew(now_s, permits=20 if now_s < 6 else None)
        await staying.renew(now_s, permits=20)

    assert usable([leaving, staying], 14.75) == [0, WHOLE]


@pytest.mark.parametrize(("ago_s", "waits_s"), [(0.0, QUIET_S), (1.0, QUIET_S - 1.0), (5.0, 0.0)])
async def test_the_time_since_a_share_was_given_up_counts(
    engine: AsyncEngine, claimants: list[Claimant], ago_s: float, waits_s: float
) -> None:
    """The next run need not wait for permits that lapsed while it started."""
    leaving, coming, _ = claimants
    await leaving.renew(0.0, permits=20)
    leaving.share.give_up()
    await leaving.renew(0.1)
    async with engine.begin() as connection:
        await connection.execute(RELEASED, {"age": ago_s})
    await coming.renew(0.1 + ago_s, permits=0)

    assert coming.share.usable(0.1 + ago_s) == (0 if waits_s else WHOLE)
    assert coming.share.usable(0.1 + ago_s + waits_s + 0.01) == WHOLE


async def test_a_share_that_is_still_used_does_not_count_as_given_up(
    engine: AsyncEngine, claimants: list[Claimant]
) -> None:
    first, second, _ = claimants
    await first.renew(0.0, permits=20)
    await second.renew(0.5, permits=0)
    await first.renew(1.0, permits=20)
    await first.renew(1.0, permits=20)  # it claims 25 from now on
    async with engine.begin() as connection:
        await connection.execute(RELEASED, {"age": 5.0})
    await second.renew(1.1, permits=0)

    assert usable([first, second], 1.1 + QUIET_S - 0.01) == [25, 0]


async def test_the_share_of_one_that_died_is_free_when_it_has_expired(
    engine: AsyncEngine, claimants: list[Claimant]
) -> None:
    dead, other, _ = claimants
    await dead.renew(0.0, permits=20)
    await other.renew(0.1, permits=20)

    assert other.share.usable(2.9) == 0
    async with engine.begin() as connection:
        await connection.execute(AGE, {"age": VALID_FOR_S})
    await other.renew(3.1, permits=20)
    assert other.share.usable(3.1) == 0, "what the dead one granted may still be on its way"
    assert other.share.usable(3.1 + QUIET_S) == WHOLE


async def test_a_share_that_is_not_renewed_is_used_until_it_expires_and_no_longer(
    claimants: list[Claimant],
) -> None:
    await claimants[0].renew(0.0, permits=20)
    claimants[0].share.put_off(1.0)

    assert usable(claimants, VALID_FOR_S - 0.01) == [WHOLE, 0, 0]
    assert usable(claimants, VALID_FOR_S) == [0, 0, 0]


async def test_a_claim_that_a_step_of_the_clock_expired_still_counts(
    engine: AsyncEngine, claimants: list[Claimant]
) -> None:
    using, coming, _ = claimants
    await using.renew(0.0, permits=20)
    async with engine.begin() as connection:
        await connection.execute(AGE, {"age": 5.0})  # a suspended machine's clock jumps so
    await coming.renew(0.1, permits=20)
    assert usable([using, coming], 0.1) == [WHOLE, 0]

    sums = []
    for tick in range(1, 30):
        now_s = 0.1 + tick * 0.25
        for each in (using, coming):
            await each.renew(now_s, permits=20)
        sums.append(sum(usable([using, coming], now_s)))
    assert max(sums) <= WHOLE
