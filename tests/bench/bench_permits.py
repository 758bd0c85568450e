"""Cost of a permit: through a real governor actor, and in the governor alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from raysync.actors.governor import RateLimitGovernorActor
from raysync.actors.handles import lease_from
from raysync.actors.runtime import connect, disconnect
from raysync.clock import SystemClock
from raysync.models.entities import Privacy
from raysync.models.ids import JobId
from raysync.models.permits import Demand, Sharer, Use
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.permits import PermitPool
from raysync.settings import home
from raysync.worker.secrets import JobSecrets
from tests.bench.figures import machine

ALONE = 100
APART_S = 0.03
TOKENS_AT_ONCE = (1, 20, 100, 200)
FOR_S = 4.0
READERS = 8
TOKENS = 1_000
PER_SECOND = 48.0


def secrets_of(database_url: str, token: str) -> JobSecrets:
    """Return the secrets of a job on *token*."""
    return JobSecrets(
        job_id=JobId("00000000-0000-4000-8000-000000000001"),
        tenant="bench",
        database_url=database_url,
        token=token,
        token_fingerprint=token,
        pseudonym_key=b"k" * 32,
        privacy=Privacy.PSEUDONYMOUS,
        discord_api_url="http://127.0.0.1",
        requests_per_second=PER_SECOND,
        channel_pages_per_second=1.0,
        invalid_request_limit=1000,
        page_size=100,
        retry_base_s=1.0,
    )


async def test_permits_through_an_actor(database_url: str) -> None:
    connect(None, home(), dashboard=False)
    print(f"\n{machine()}")
    try:
        governor = RateLimitGovernorActor.options(num_cpus=0, max_concurrency=20_000).remote()
        await _alone(_pool(governor, database_url, "alone"))
        for tokens in TOKENS_AT_ONCE:
            names = [f"{tokens}-{number}" for number in range(tokens)]
            await _together([_pool(governor, database_url, name) for name in names])
    finally:
        disconnect()


def _pool(governor: Any, database_url: str, token: str) -> PermitPool:
    sharer = Sharer("bench", "worker")
    return PermitPool(lease_from(governor, sharer, secrets_of(database_url, token)), SystemClock())


async def _alone(pool: PermitPool) -> None:
    """Measure a permit's cost below the limit, one request at a time."""
    await wait_for_permit(pool)
    took_s = []
    for _ in range(ALONE):
        took_s.append(await wait_for_permit(pool))
        await asyncio.sleep(APART_S)
    await pool.close()
    took_s.sort()
    p50, p99 = took_s[ALONE // 2] * 1e3, took_s[int(ALONE * 0.99)] * 1e3
    print(f"one at a time: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)


async def _together(pools: list[PermitPool]) -> None:
    """Measure the permits that one governor grants when every token is saturated."""
    await asyncio.gather(*(wait_for_permit(each) for each in pools))
    granted = 0
    until_s = time.perf_counter() + FOR_S

    async def read(pool: PermitPool) -> None:
        nonlocal granted
        while time.perf_counter() < until_s:
            await wait_for_permit(pool)
            granted += 1

    await asyncio.gather(*(read(pool) for pool in pools for _ in range(READERS)))
    for each in pools:
        await each.close()
    per_second = granted / FOR_S
    share = per_second / (len(pools) * PER_SECOND)
    print(
        f"{len(pools)} tokens: {per_second:,.0f} permits/s, {share:.0%} of what they allow",
        flush=True,
    )


async def wait_for_permit(pool: PermitPool) -> float:
    """Take a permit and use it; return the seconds that took."""
    began_s = time.perf_counter()
    permit = await pool.acquire()
    took_s = time.perf_counter() - began_s
    pool.sent(permit)
    pool.ended(permit)
    return took_s


def test_a_thousand_tokens_in_one_governor() -> None:
    governor, uses, permits = Governor(-1_000.0), dict[int, tuple[Use, ...]](), 0
    began_s = time.process_time()
    for tick in range(10):
        now_s = tick * 0.1
        for token in range(TOKENS):
            demand = Demand(5, uses.get(token, ()))
            lease = governor.lease(str(token), Sharer("run", "worker"), demand, PER_SECOND, now_s)
            starts_s = [now_s + each for each in lease.starts]
            uses[token] = tuple(Use(each, each) for each in starts_s)
            permits += len(starts_s)
    cpu_s = time.process_time() - began_s
    print(f"\n{TOKENS} tokens for a second: {permits} permits, {cpu_s:.2f} s of CPU")
