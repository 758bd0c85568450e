"""InFlightLimit for requests, and the permits that need one, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from raysync.ratelimit.in_flight_limit import InFlightLimit
from raysync.ratelimit.permits import PermitPool
from tests.unit.ratelimit.test_permits import FakeGovernor
from tests.virtual_time import LoopClock, run_virtual


async def request(pool: PermitPool, lasts_s: float, under_way: list[int]) -> float:
    """One request; *under_way* counts those at the same time."""
    permit = await pool.acquire()
    under_way[0] += 1
    under_way.append(under_way[0])
    pool.sent(permit)
    await asyncio.sleep(lasts_s)
    under_way[0] -= 1
    pool.ended(permit)
    return asyncio.get_running_loop().time()


def test_no_more_requests_are_under_way_than_there_are_places() -> None:
    async def scene() -> tuple[list[int], float]:
        places, under_way = InFlightLimit(3), [0]
        pool = PermitPool(FakeGovernor(spacing_s=0.01).lease, LoopClock(), places=places)
        await asyncio.gather(*(request(pool, 0.1, under_way) for _ in range(30)))
        await pool.close()
        return under_way, places.waited_s

    under_way, waited_s = run_virtual(scene())

    assert max(under_way) == 3
    assert waited_s > 0.5


def test_two_tokens_share_the_places_of_their_worker() -> None:
    async def scene() -> list[int]:
        places, under_way = InFlightLimit(2), [0]
        pools = [
            PermitPool(FakeGovernor(spacing_s=0.01).lease, LoopClock(), places=places)
            for _ in range(2)
        ]
        await asyncio.gather(*(request(pool, 0.1, under_way) for pool in pools for _ in range(10)))
        for each in pools:
            await each.close()
        return under_way

    assert max(run_virtual(scene())) == 2


def test_where_the_token_is_the_limit_nobody_waits_for_a_place() -> None:
    async def scene() -> float:
        places = InFlightLimit(3)
        pool = PermitPool(FakeGovernor(spacing_s=0.1).lease, LoopClock(), places=places)
        await asyncio.gather(*(request(pool, 0.05, [0]) for _ in range(20)))
        await pool.close()
        return places.waited_s

    assert run_virtual(scene()) == 0.0


@pytest.mark.parametrize("how", ["unused", "cancelled"])
def test_a_permit_that_is_not_used_leaves_its_place_to_the_next(how: str) -> None:
    async def scene() -> None:
        pool = PermitPool(FakeGovernor(spacing_s=0.01).lease, LoopClock(), places=InFlightLimit(1))
        for _ in range(5):
            if how == "unused":
                pool.unused(await pool.acquire())
            else:
                waiting = asyncio.create_task(pool.acquire())
                await asyncio.sleep(0.05)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                if waiting.done() and not waiting.cancelled():
                    pool.unused(waiting.result())
        async with asyncio.timeout(1.0):
            await pool.acquire()
        await pool.close()

    run_virtual(scene())


def test_who_has_a_head_start_goes_first_and_others_do_not_wait_for_ever() -> None:
    async def scene() -> tuple[list[str], float]:
        pool = PermitPool(FakeGovernor(spacing_s=0.5, valid_for_s=1.0).lease, LoopClock())
        order: list[str] = []
        coming: list[asyncio.Task[None]] = []

        async def come(name: str, head_start_s: float) -> None:
            await pool.acquire(head_start_s)
            order.append(name)

        def send(name: str, head_start_s: float) -> None:
            coming.append(asyncio.create_task(come(name, head_start_s)))

        for number in range(4):
            send(f"early-{number}", 0.0)
        send("plain", 0.0)
        for number in range(60):  # faster than permits come
            send(f"urgent-{number}", 99.0)
            await asyncio.sleep(0.4)
        served_s = order.index("plain") * 0.5
        await asyncio.gather(*coming)
        await pool.close()
        return order, served_s

    order, served_s = run_virtual(scene())

    assert order.index("urgent-1") < order.index("plain")
    assert served_s < 15.0, "99 s count as five"
