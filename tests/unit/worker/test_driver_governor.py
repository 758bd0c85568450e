"""Permits of a run's driver, before its own governor hands over and after, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from enum import Enum, auto

import pytest
from pydantic import SecretBytes, SecretStr

from raysync.errors import BannedError, RunStoppedError
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId, JobId
from raysync.models.permits import Bequest, Demand, Lease, Sharer
from raysync.models.records import ShareClaim
from raysync.ratelimit.budget import DISCORD_PER_SECOND, QUIET_S
from raysync.ratelimit.limiter import Report
from raysync.ratelimit.permits import PermitPool
from raysync.ratelimit.refusals import BAN
from raysync.ratelimit.shares import VALID_FOR_S, Decide
from raysync.worker.channel_worker import Watch
from raysync.worker.driver_governor import HAND_OVER_RETRY_S, RELEASE_S, DriverGovernor
from raysync.worker.secrets import JobSecrets
from raysync.worker.token_sharing import TokenSharing
from tests.unit.sync.sinks import FakeSink
from tests.virtual_time import LoopClock, run_virtual

TOKEN = "fingerprint"
RATE = 48.0
LATENCY_S = 0.1
URL = "postgresql://one"


def secrets(invalid_request_limit: int = 1_000) -> JobSecrets:
    return JobSecrets(
        job_id=JobId("job"),
        tenant="takaro",
        guild_id=GuildId(1),
        database_url=SecretStr(URL),
        token=SecretStr("token"),
        token_fingerprint=TOKEN,
        pseudonym_key=SecretBytes(b"key"),
        privacy=Privacy.PSEUDONYMOUS,
        discord_api_url="http://discord",
        requests_per_second=RATE,
        channel_pages_per_second=1.0,
        invalid_request_limit=invalid_request_limit,
        page_size=100,
        retry_base_s=1.0,
    )


class Ledger:
    """The table `token_shares` in memory, with the rules of `store/limits/token_shares.py`."""

    def __init__(self, seed: int = 1) -> None:
        self._rows: dict[str, tuple[ShareClaim, float, float]] = {}
        self._lock = asyncio.Lock()
        self._dice = random.Random(seed)

    async def renew(self, token: str, governor: str, valid_s: float, decide: Decide) -> None:
        began_s = LoopClock().monotonic_s()
        await asyncio.sleep(self._dice.random() * 0.02)
        async with self._lock:
            await asyncio.sleep(self._dice.random() * 0.02)
            now_s = LoopClock().monotonic_s()
            others = {name: row for name, row in self._rows.items() if name != governor}
            valid = [claim for claim, expires_s, _ in others.values() if expires_s > now_s]
            quiet_s = min(
                (
                    now_s - (expires_s if claim.granted else updated_s)
                    for claim, expires_s, updated_s in others.values()
                ),
                default=math.inf,
            )
            own = decide(valid, max(quiet_s, 0.0))
            self._rows[governor] = (own, now_s + valid_s, began_s)
        await asyncio.sleep(self._dice.random() * 0.02)

    async def close(self) -> None:
        pass


class Heir(Enum):
    """How Ray's governor takes a token over."""

    CONTINUES = auto()
    REFUSES = auto()
    FAILS_BEFORE = auto()
    FAILS_AFTERWARDS = auto()  #: the answer is lost


class SharedGovernor:
    """Ray's governor for clients in this process: calls take a while, and may fail at first."""

    def __init__(
        self,
        ledger: Ledger,
        failures: int = 0,
        heir: Heir = Heir.CONTINUES,
        call_s: float = 0.004,
    ) -> None:
        self.call_s = call_s
        self.heir = heir
        self.tokens = TokenSharing(LoopClock(), FakeSink(), lambda _: ledger)
        self.renewing = asyncio.create_task(self.tokens.renew_for_ever())
        self.observed: list[tuple[int, str | None, float | None]] = []
        self._failures = failures

    def lease_for(
        self, secrets: JobSecrets, worker: str = "driver"
    ) -> Callable[[Demand], Awaitable[Lease]]:
        self.tokens.connect(TOKEN, URL)

        async def lease(demand: Demand) -> Lease:
            await asyncio.sleep(0.002)
            granted = self.tokens.lease(TOKEN, Sharer("run", worker), demand, RATE)
            await asyncio.sleep(0.002)
            return granted

        return lease

    async def inherit(self, secrets: JobSecrets, bequest: Bequest) -> bool:
        await asyncio.sleep(self.call_s)
        if self.heir is Heir.REFUSES:
            return False
        if self.heir is Heir.FAILS_BEFORE:
            raise ConnectionError
        self.tokens.connect(TOKEN, URL)
        is_heir = self.tokens.inherit(TOKEN, bequest, RATE)
        if self.heir is Heir.FAILS_AFTERWARDS:
            raise ConnectionError
        return is_heir

    def observe_for(self, fingerprint: str) -> Report:
        async def observe(status: int, scope: str | None, retry_after_s: float | None) -> None:
            await asyncio.sleep(0.002)
            if self._failures:
                self._failures -= 1
                raise ConnectionError
            self.observed.append((status, scope, retry_after_s))
            self.tokens.observe(fingerprint, status, scope, retry_after_s)

        return observe

    def watch(self) -> Watch:
        return self.tokens.stopped


async def ask_for_ever(pool: PermitPool, arrived_s: list[float], dice: random.Random) -> None:
    """Send request after request, each over a network with delays."""
    while True:
        permit = await pool.acquire()
        await asyncio.sleep(dice.random() * 0.01)
        pool.sent(permit)
        await asyncio.sleep(dice.random() * 0.015)
        arrived_s.append(LoopClock().monotonic_s())
        await asyncio.sleep(LATENCY_S)
        pool.ended(permit)


@pytest.mark.parametrize(
    ("hand_over_s", "workers_after_s"),
    [
        (0.0, 0.0),
        (0.02, 0.0),
        (0.07, 1.0),
        (0.3, 0.0),
        (0.9, 0.5),
        (1.0, 0.0),
        (1.5, 2.0),
        (2.4, 0.0),
    ],
)
@pytest.mark.parametrize("planners", [1, 40])
@pytest.mark.parametrize("heir", Heir)
def test_no_second_of_a_hand_over_holds_more_than_the_budget(
    hand_over_s: float, workers_after_s: float, planners: int, heir: Heir
) -> None:
    """A planner asks all the time; workers of the shared governor join it after the hand-over."""
    arrived_s: list[float] = []
    fails = heir in (Heir.FAILS_BEFORE, Heir.FAILS_AFTERWARDS)
    settled_s = 12.0 if fails else 6.0

    async def scenario() -> None:
        ledger, dice = Ledger(round(1000 * hand_over_s)), random.Random(7)
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        planner = PermitPool(governor.lease_for(secrets()), LoopClock())
        asking = [
            asyncio.create_task(ask_for_ever(planner, arrived_s, dice)) for _ in range(planners)
        ]
        await asyncio.sleep(hand_over_s)
        shared = SharedGovernor(ledger, heir=heir)
        await governor.hand_over(shared)
        await asyncio.sleep(workers_after_s)
        for number in range(2):
            lease = shared.lease_for(secrets(), f"worker-{number}")
            worker = PermitPool(lease, LoopClock())
            asking += [
                asyncio.create_task(ask_for_ever(worker, arrived_s, dice)) for _ in range(20)
            ]
        await asyncio.sleep(settled_s)
        for task in [*asking, shared.renewing]:
            task.cancel()

    run_virtual(scenario())

    arrived_s.sort()
    densest = max(
        bisect_left(arrived_s, at_s + 1.0) - place for place, at_s in enumerate(arrived_s)
    )
    assert densest <= DISCORD_PER_SECOND
    ended_s = hand_over_s + workers_after_s + settled_s
    last = sum(at_s > ended_s - 2.0 for at_s in arrived_s)
    assert last >= 0.9 * 2.0 * RATE, "the shared governor has all of the token in the end"
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(arrived_s)]
    longest_s = 2 * QUIET_S + (VALID_FOR_S if fails else 0.5)
    assert max(gaps_s) < longest_s
    if heir is Heir.CONTINUES and hand_over_s >= 0.3:  # the planner has a share by then
        after = [gap_s for gap_s, at_s in zip(gaps_s, arrived_s, strict=False) if at_s > 0.2]
        assert max(after) < 0.4, "nobody waits for the planner's last permits"


def test_the_first_request_does_not_wait_for_an_earlier_governor_that_nobody_saw() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        planner = PermitPool(governor.lease_for(secrets()), LoopClock())
        await planner.acquire()
        assert LoopClock().monotonic_s() < 0.3

        await governor.close()
        again = DriverGovernor(Sharer("next", "driver"), LoopClock(), lambda _: ledger)
        began_s = LoopClock().monotonic_s()
        await asyncio.sleep(1.0)  # the next command comes up
        planner = PermitPool(again.lease_for(secrets()), LoopClock())
        await planner.acquire()
        waited_s = LoopClock().monotonic_s() - began_s
        assert QUIET_S - 0.1 < waited_s < QUIET_S + 0.2, "it counts from the release"
        await again.close()

    run_virtual(scenario())


def test_what_was_refused_before_the_hand_over_is_known_after_it() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        lease, observe = governor.lease_for(secrets()), governor.observe_for(TOKEN)
        await observe(403, None, None)
        await observe(429, "global", 7.0)
        shared = SharedGovernor(ledger, failures=1)
        began_s = LoopClock().monotonic_s()
        await governor.hand_over(shared)
        assert LoopClock().monotonic_s() - began_s >= HAND_OVER_RETRY_S
        assert shared.observed == [(403, None, None), (429, "global", 7.0)]

        await observe(403, None, None)
        assert len(shared.observed) == 3, "later refusals go to the shared governor"
        while not (await lease(Demand(1))).starts:
            await asyncio.sleep(0.1)
        assert LoopClock().monotonic_s() - began_s >= 7.0
        shared.renewing.cancel()

    run_virtual(scenario())


def test_too_many_refusals_before_and_after_the_hand_over_add_up() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        lease = governor.lease_for(secrets(invalid_request_limit=6))
        observe = governor.observe_for(TOKEN)
        for _ in range(5):
            await observe(403, None, None)
        shared = SharedGovernor(ledger)
        shared.tokens.stop_at(6)
        await governor.hand_over(shared)
        await lease(Demand(1))
        await observe(401, None, None)

        with pytest.raises(RunStoppedError):
            await lease(Demand(1))
        shared.renewing.cancel()

    run_virtual(scenario())


def test_without_a_database_the_end_does_not_wait_for_it() -> None:
    class Stuck(Ledger):
        async def renew(self, token: str, governor: str, valid_s: float, decide: Decide) -> None:
            await asyncio.Event().wait()

    async def scenario() -> None:
        ledger = Stuck()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        governor.lease_for(secrets())
        await asyncio.sleep(1.0)
        began_s = LoopClock().monotonic_s()
        await governor.close()
        assert LoopClock().monotonic_s() - began_s <= RELEASE_S

    run_virtual(scenario())


def test_a_governor_whose_hand_over_is_cancelled_is_closed_at_the_end() -> None:
    class Slow(Ledger):
        is_closed = False

        async def renew(self, token: str, governor: str, valid_s: float, decide: Decide) -> None:
            await super().renew(token, governor, valid_s, decide)
            await asyncio.sleep(0.5)

        async def close(self) -> None:
            self.is_closed = True

    async def scenario() -> None:
        ledger = Slow()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        governor.lease_for(secrets())
        await asyncio.sleep(1.0)
        shared = SharedGovernor(Ledger())
        changing = asyncio.create_task(governor.hand_over(shared))
        await asyncio.sleep(0.2)
        changing.cancel()
        await asyncio.wait([changing])
        assert not ledger.is_closed, "the hand-over was cancelled before"

        await governor.close()

        assert ledger.is_closed
        shared.renewing.cancel()

    run_virtual(scenario())


def test_a_governor_that_does_not_answer_is_asked_again() -> None:
    class Silent(SharedGovernor):
        calls = 0

        def observe_for(self, fingerprint: str) -> Report:
            answer = super().observe_for(fingerprint)

            async def observe(status: int, scope: str | None, retry_after_s: float | None) -> None:
                self.calls += 1
                if self.calls == 1:
                    await asyncio.Event().wait()
                await answer(status, scope, retry_after_s)

            return observe

    async def scenario() -> None:
        ledger = Ledger()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        governor.lease_for(secrets())
        await governor.observe_for(TOKEN)(403, None, None)
        shared = Silent(ledger)
        async with asyncio.timeout(60.0):
            await governor.hand_over(shared)
        assert shared.observed == [(403, None, None)]
        shared.renewing.cancel()

    run_virtual(scenario())


def test_a_watch_follows_the_hand_over() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        governor.lease_for(secrets())
        watching = asyncio.create_task(governor.watch()())
        await asyncio.sleep(0.5)
        shared = SharedGovernor(ledger)
        await governor.hand_over(shared)
        assert await watching is None, "call it again"
        watching = asyncio.create_task(governor.watch()())
        await asyncio.sleep(0.5)
        await governor.observe_for(TOKEN)(429, BAN, 3600.0)

        assert isinstance(await watching, BannedError)
        shared.renewing.cancel()

    run_virtual(scenario())


@pytest.mark.parametrize("call_s", [0.004, 0.5])
@pytest.mark.parametrize("heir", Heir)
def test_a_hand_over_beside_another_cluster_keeps_to_the_budget(call_s: float, heir: Heir) -> None:
    """The other cluster comes while the token changes hands, or later, and takes what is free."""
    arrived_s: list[float] = []

    async def scenario() -> None:
        ledger, dice = Ledger(), random.Random(3)
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        planner = PermitPool(governor.lease_for(secrets()), LoopClock())
        asking = [asyncio.create_task(ask_for_ever(planner, arrived_s, dice)) for _ in range(40)]
        await asyncio.sleep(2.0)
        shared = SharedGovernor(ledger, heir=heir, call_s=call_s)
        handing_over = asyncio.create_task(governor.hand_over(shared))
        await asyncio.sleep(0.01)
        other = SharedGovernor(ledger)
        pool = PermitPool(other.lease_for(secrets(), "elsewhere"), LoopClock())
        asking += [asyncio.create_task(ask_for_ever(pool, arrived_s, dice)) for _ in range(40)]
        await handing_over
        await asyncio.sleep(15.0)
        for task in [*asking, shared.renewing, other.renewing]:
            task.cancel()

    run_virtual(scenario())

    arrived_s.sort()
    densest = max(
        bisect_left(arrived_s, at_s + 1.0) - place for place, at_s in enumerate(arrived_s)
    )
    assert densest <= DISCORD_PER_SECOND


@pytest.mark.parametrize(("is_over", "longest_s"), [(True, 0.4), (False, 2 * QUIET_S + 0.5)])
def test_a_governor_that_served_an_earlier_run_takes_over_too(
    is_over: bool, longest_s: float
) -> None:
    """It has given the token up, or still uses it for another run."""
    arrived_s: list[float] = []
    later_s: list[float] = []

    async def scenario() -> None:
        ledger, dice = Ledger(), random.Random(5)
        shared = SharedGovernor(ledger)
        pool = PermitPool(shared.lease_for(secrets(), "earlier"), LoopClock())
        asking = [asyncio.create_task(ask_for_ever(pool, arrived_s, dice)) for _ in range(20)]
        await asyncio.sleep(5.0)
        if is_over:
            for task in asking:
                task.cancel()
            await pool.close()
            await shared.tokens.give_up_shares()
        governor = DriverGovernor(Sharer("run", "driver"), LoopClock(), lambda _: ledger)
        planner = PermitPool(governor.lease_for(secrets()), LoopClock())
        asking += [asyncio.create_task(ask_for_ever(planner, later_s, dice)) for _ in range(20)]
        await asyncio.sleep(3.0)
        await governor.hand_over(shared)
        await asyncio.sleep(6.0)
        for task in [*asking, shared.renewing]:
            task.cancel()

    run_virtual(scenario())

    gaps_s = [later - earlier for earlier, later in itertools.pairwise(sorted(later_s))]
    assert max(gaps_s) < longest_s
    arrived_s = sorted(arrived_s + later_s)
    densest = max(
        bisect_left(arrived_s, at_s + 1.0) - place for place, at_s in enumerate(arrived_s)
    )
    assert densest <= DISCORD_PER_SECOND
