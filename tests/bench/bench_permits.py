"""What a permit costs: through a real governor actor, and in the governor alone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import ray

from raysync.actors.governor import RateLimitGovernorActor
from raysync.actors.handles import lease_from
from raysync.actors.secrets import JobSecrets
from raysync.clock import SystemClock
from raysync.models.entities import Privacy
from raysync.models.ids import JobId
from raysync.ratelimit.budget import Demand, Sharer, Use
from raysync.ratelimit.governor import Governor
from raysync.ratelimit.permits import PermitPool

PERMITS = 2_000
TOKENS = 1_000
PER_SECOND = 48.0


def secrets_of(database_url: str) -> JobSecrets:
    """A token that Discord lets do as much as we like: the governor is measured, not the wait."""
    return JobSecrets(
        job_id=JobId("00000000-0000-4000-8000-000000000001"),
        tenant="bench",
        database_url=database_url,
        token="token",
        token_fingerprint="token",
        pseudonym_key=b"k" * 32,
        privacy=Privacy.PSEUDONYMOUS,
        discord_api_url="http://127.0.0.1",
        requests_per_second=10_000.0,
        channel_pages_per_second=1.0,
        page_size=100,
        retry_base_s=1.0,
    )


async def test_permits_through_an_actor(database_url: str, tmp_path: Path) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        governor = RateLimitGovernorActor.options(num_cpus=0).remote()
        pool = PermitPool(lease_from(governor, "bench", secrets_of(database_url)), SystemClock())
        await wait_for_permit(pool)
        alone_s = [await wait_for_permit(pool) for _ in range(200)]
        began_s = time.perf_counter()
        await asyncio.gather(*(wait_for_permit(pool) for _ in range(PERMITS)))
        per_second = PERMITS / (time.perf_counter() - began_s)
        await pool.close()
    finally:
        ray.shutdown()
    alone_s.sort()
    print(f"\none after another: p50 {alone_s[100] * 1e3:.1f} ms, p99 {alone_s[197] * 1e3:.1f} ms")
    print(f"{PERMITS} at once: {per_second:.0f} permits/s by one pool")


async def wait_for_permit(pool: PermitPool) -> float:
    """Take a permit and use it; how long that took."""
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
