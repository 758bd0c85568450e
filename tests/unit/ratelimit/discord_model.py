"""Discord's limits in virtual time, with a network between: what the limiters are judged by."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from raysync.emulator.limits import Form
from raysync.emulator.limits.buckets import Bucket, make_bucket
from raysync.models.permits import Demand, Lease, Sharer
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.limiter import WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from tests.virtual_time import LoopClock

MESSAGES = "GET /channels/{channel_id}/messages"


@dataclass
class Network:
    """Delays: a request's way there (jitter included) and back, and the governor's answer."""

    dice: random.Random = field(default_factory=lambda: random.Random(1))
    least_s: float = 0.02
    jitter_s: float = 0.03
    back_s: float = 0.03
    lease_s: float = 0.003
    lag_s: float = 0.005
    stall_s: float = 0.0
    stall_every_s: float = 1.7

    async def lag(self) -> None:
        """A busy worker's own delay between a permit and the sending."""
        await asyncio.sleep(self.dice.random() * self.lag_s)

    async def there(self) -> None:
        await asyncio.sleep(self.least_s + self.dice.random() * self.jitter_s)
        into_s = asyncio.get_running_loop().time() % self.stall_every_s
        if into_s < self.stall_s:  # all that arrives meanwhile arrives together, at its end
            await asyncio.sleep(self.stall_s - into_s)

    async def back(self) -> None:
        await asyncio.sleep(self.dice.random() * self.back_s)

    async def lease(self) -> None:
        await asyncio.sleep(self.dice.random() * self.lease_s)


class ModelDiscord:
    """Answers requests under a global limit and one of each channel; counts what it refuses."""

    def __init__(
        self, form: Form = Form.SLIDING_LOG, *, limit: int = 5, window_s: float = 5.0, masked=False
    ) -> None:
        self._form, self._limit, self._window_s, self._masked = form, limit, window_s, masked
        global_form = Form.SLIDING_LOG if form is Form.SLIDING else form
        self._global = make_bucket(global_form, 50, 1.0)
        self._buckets: dict[str, Bucket] = {}
        self.refused: Counter[str] = Counter()
        self.answered_s: list[float] = []

    def answer(self, channel: str) -> tuple[int, dict[str, str]]:
        now_s = asyncio.get_running_loop().time()
        verdict = self._global.take(now_s)
        if not verdict.allowed:
            self.refused["global"] += 1
            return 429, {
                "x-ratelimit-scope": "global",
                "retry-after": f"{verdict.retry_after_s + 1:.0f}",
            }
        bucket = self._buckets.setdefault(
            channel, make_bucket(self._form, self._limit, self._window_s)
        )
        verdict = bucket.take(now_s)
        if not verdict.allowed:
            self.refused["user"] += 1
            return 429, self._headers(verdict) | {
                "x-ratelimit-scope": "user",
                "retry-after": f"{verdict.retry_after_s:.3f}",
            }
        self.answered_s.append(now_s)
        if self._masked:
            return 200, {
                "x-ratelimit-limit": "1000",
                "x-ratelimit-remaining": "999",
                "x-ratelimit-reset-after": "1.000",
            }
        return 200, self._headers(verdict)

    @staticmethod
    def _headers(verdict) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(verdict.limit),
            "x-ratelimit-remaining": str(verdict.remaining),
            "x-ratelimit-reset-after": f"{verdict.reset_after_s:.3f}",
        }

    def rate(self, from_s: float, to_s: float) -> float:
        """Answers per second in a stretch of time."""
        return sum(from_s <= each < to_s for each in self.answered_s) / (to_s - from_s)


class GovernorAway:
    """A governor on another machine: a delay between, and a clock of its own."""

    def __init__(self, network: Network, *, ahead_s: float = 1_000.0) -> None:
        self.governor = Governor()
        self.network = network
        self._ahead_s = ahead_s

    def now_s(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead_s

    def lease_for(self, worker: str, per_second: float = 48.0):
        async def lease(want: Demand) -> Lease:
            await self.network.lease()
            granted = self.governor.lease(
                "token", Sharer("run", worker), want, per_second, self.now_s()
            )
            await self.network.lease()
            return granted

        return lease

    async def report(self, status: int, scope: str | None, retry_after_s: float | None) -> None:
        await self.network.lease()
        self.governor.observe("token", status, scope, retry_after_s, self.now_s())

    def limiter(self, worker: str, **options) -> WorkerLimiter:
        pool = PermitPool(self.lease_for(worker), LoopClock())
        return WorkerLimiter(pool, LoopClock(), self.report, **options)


async def read_channel(
    limiter: WorkerLimiter,
    discord: ModelDiscord,
    network: Network,
    channel: str,
    until_s: float,
    route: str = MESSAGES,
) -> int:
    """Ask for page after page, as a channel's reader does; return how many were answered."""
    pages = 0
    while asyncio.get_running_loop().time() < until_s:
        request = await limiter.enter(route, channel)
        await network.lag()
        request.sent()
        await network.there()
        status, headers = discord.answer(channel)
        await network.back()
        request.finish(status, headers)
        pages += status == 200
    return pages
