"""The pool of a worker's permits, in virtual time."""

import asyncio

import pytest

from raysync.errors import BannedError, PermitUnavailableError, RunStoppedError
from raysync.models.permits import Demand, Lease, Use
from raysync.ratelimit.leases import ClockBounds
from raysync.ratelimit.permits import PermitPool
from tests.virtual_time import LoopClock, run_virtual


class FakeGovernor:
    """Grants what it is asked for, one permit each *spacing_s*, and notes how it was asked."""

    def __init__(self, *, spacing_s=0.1, valid_for_s=0.05, answer_s=0.0, ahead_s=0.0):
        self.spacing_s, self.valid_for_s = spacing_s, valid_for_s
        self.answer_s, self.ahead_s = answer_s, ahead_s
        self.asked: list[int] = []
        self.next_s = 0.0
        self.uses: list[Use] = []

    async def lease(self, want: Demand) -> Lease:
        self.uses += want.uses
        if not want.permits:
            return Lease(asyncio.get_running_loop().time() + self.ahead_s, (), self.valid_for_s)
        self.asked.append(want.permits)
        now_s = asyncio.get_running_loop().time()
        starts = []
        for _ in range(want.permits):
            self.next_s = max(self.next_s, now_s)
            starts.append(self.next_s - now_s)
            self.next_s += self.spacing_s
        await asyncio.sleep(self.answer_s if len(self.asked) > 1 else 0.0)
        return Lease(now_s + self.ahead_s, tuple(starts), self.valid_for_s)


def pool_of(governor, **options) -> PermitPool:
    return PermitPool(governor.lease, LoopClock(), **options)


async def acquire_at(pool: PermitPool) -> float:
    await pool.acquire()
    return asyncio.get_running_loop().time()


def test_permits_are_handed_out_in_order_each_in_its_time():
    async def scene():
        governor = FakeGovernor()
        pool = pool_of(governor)
        times = await asyncio.gather(*(acquire_at(pool) for _ in range(20)))
        await pool.close()
        return times, governor.asked

    times, asked = run_virtual(scene())

    assert times == pytest.approx([n * 0.1 for n in range(20)])
    assert max(asked) == 8
    assert sum(asked) == 20


def test_a_permit_is_never_used_before_its_start_nor_after_its_end():
    async def scene():
        governor = FakeGovernor(answer_s=0.02, ahead_s=500.0)
        pool = pool_of(governor)
        times = await asyncio.gather(*(acquire_at(pool) for _ in range(50)))
        await pool.close()
        return times

    for time_s in run_virtual(scene()):
        late_s = time_s % 0.1
        assert late_s <= 0.05 or late_s > 0.1 - 1e-9


def test_a_cancelled_coroutine_leaves_its_permit_to_the_next():
    async def scene():
        governor = FakeGovernor()
        pool = pool_of(governor)
        first, second, third = (asyncio.create_task(acquire_at(pool)) for _ in range(3))
        await asyncio.sleep(0.05)
        second.cancel()
        times = [await first, await third]
        await pool.close()
        return times, pool.lapsed

    times, lapsed = run_virtual(scene())

    assert times == pytest.approx([0.0, 0.1])
    assert lapsed == 0


def test_a_coroutine_cancelled_at_the_very_moment_loses_nothing():
    async def scene():
        pool = pool_of(FakeGovernor())
        await pool.acquire()
        granted = asyncio.create_task(acquire_at(pool))
        other = asyncio.create_task(acquire_at(pool))
        asyncio.get_running_loop().call_at(0.1, granted.cancel)
        time_s = await other
        await pool.close()
        return time_s

    assert run_virtual(scene()) <= 0.2 + 1e-6


def test_permits_that_come_too_late_lapse_and_more_are_asked_for():
    async def scene():
        governor = FakeGovernor(answer_s=0.16)
        pool = pool_of(governor)
        await pool.acquire()
        await asyncio.sleep(1.0)
        time_s = await acquire_at(pool)
        await pool.close()
        return time_s, pool.lapsed, governor.asked

    time_s, lapsed, asked = run_virtual(scene())

    assert lapsed > 0
    assert asked[:3] == [1, 1, 2]
    assert time_s < 2.0


def test_no_permit_in_time_is_an_error():
    async def never(want: Demand) -> Lease:
        return Lease(0.0, (), 0.05, ask_again_s=1.0)

    async def scene():
        pool = PermitPool(never, LoopClock())
        with pytest.raises(PermitUnavailableError, match="60 s"):
            await pool.acquire()
        await pool.close()
        return asyncio.get_running_loop().time()

    assert run_virtual(scene()) == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ConnectionError("gone"), PermitUnavailableError, id="unreachable"),
        pytest.param(BannedError("blocked"), BannedError, id="banned"),
        pytest.param(RunStoppedError("stopped"), RunStoppedError, id="stopped"),
    ],
)
def test_without_the_governor_everybody_fails_at_once(error, expected):
    async def failing(want: Demand) -> Lease:
        raise error

    async def scene():
        pool = PermitPool(failing, LoopClock())
        results = await asyncio.gather(*(pool.acquire() for _ in range(5)), return_exceptions=True)
        await pool.close()
        return results

    assert [type(each) for each in run_virtual(scene())] == [expected] * 5


def test_a_governor_that_comes_back_is_used_again():
    async def scene():
        governor = FakeGovernor()
        answers = [ConnectionError("gone")]

        async def lease(want: Demand) -> Lease:
            if answers:
                raise answers.pop()
            return await governor.lease(want)

        pool = PermitPool(lease, LoopClock())
        with pytest.raises(PermitUnavailableError):
            await pool.acquire()
        await pool.acquire()
        await pool.close()

    run_virtual(scene())


def test_a_block_holds_everybody_and_drops_what_was_leased():
    async def scene():
        pool = pool_of(FakeGovernor())
        first = await acquire_at(pool)
        waiting = [asyncio.create_task(acquire_at(pool)) for _ in range(3)]
        await asyncio.sleep(0.01)
        pool.block(5.0)
        times = await asyncio.gather(*waiting)
        await pool.close()
        return first, times

    first, times = run_virtual(scene())

    assert first == 0.0
    assert min(times) >= 5.0


def test_a_stop_fails_who_waits_and_who_comes_and_ends_with_the_next_lease():
    async def scene():
        pool = pool_of(FakeGovernor(spacing_s=1.0))
        await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        pool.stop(BannedError("blocked"))
        with pytest.raises(BannedError):
            await waiting
        with pytest.raises(BannedError):
            await pool.acquire()
        await asyncio.sleep(61)
        await pool.acquire()
        await pool.close()

    run_virtual(scene())


def test_nothing_is_asked_for_while_nobody_waits():
    async def scene():
        governor = FakeGovernor()
        pool = pool_of(governor)
        await pool.acquire()
        await asyncio.sleep(100)
        await pool.close()
        return governor.asked

    assert run_virtual(scene()) == [1]


def test_closing_fails_who_waits():
    async def scene():
        pool = pool_of(FakeGovernor(spacing_s=30.0))
        await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(1)
        await pool.close()
        with pytest.raises(PermitUnavailableError):
            await waiting

    run_virtual(scene())


def test_one_slow_answer_among_quick_ones_does_not_widen_the_bounds():
    bounds = ClockBounds()
    bounds.note(10.0, 110.0, 10.001)
    bounds.note(11.0, 111.5, 12.0)

    assert bounds.least_s <= 100.0 <= bounds.most_s
    assert bounds.most_s - bounds.least_s < 0.003


def test_another_governors_clock_replaces_the_bounds():
    bounds = ClockBounds()
    bounds.note(10.0, 110.0, 10.001)
    bounds.note(11.0, 5.0, 11.002)

    assert (bounds.least_s, bounds.most_s) == pytest.approx((-6.002, -6.0))


def test_what_may_wait_goes_after_what_comes_later():
    async def scene():
        pool = pool_of(FakeGovernor(spacing_s=1.0, valid_for_s=0.5))
        order = []

        async def ask(name, head_start_s=0.0):
            await pool.acquire(head_start_s)
            order.append(name)

        asked = [asyncio.create_task(ask("first page"))]
        await asyncio.sleep(0.1)
        asked += [asyncio.create_task(ask("reactors", -5.0))]
        await asyncio.sleep(0.1)
        asked += [asyncio.create_task(ask(f"page {number}")) for number in range(3)]
        await asyncio.gather(*asked)
        await pool.close()
        return order

    assert run_virtual(scene()) == ["first page", "page 0", "page 1", "page 2", "reactors"]
