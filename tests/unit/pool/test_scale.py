"""Many tenants in one run, in virtual time; the same must hold for ten thousand as for a hundred.

`tests/bench/bench_scale.py` runs the same for more.
"""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from tests.bench.scale_model import Shape
from tests.bench.scale_run import ScaleRun, simulate

CHANNEL_BYTES = 2_000
"""Maximum memory of a channel's result, kept until the run's end."""
TENANT_BYTES = 30_000
"""Maximum memory of a tenant: the rest of its result, and its token's budget."""


def check(run: ScaleRun) -> None:
    """Check the invariants of every run."""
    shape, world = run.shape, run.world
    assert {each.status for each in run.results} == {"completed"}
    assert len({each.job_id for each in run.results}) == shape.tenants
    # every channel to its end, once, and no page of it twice
    assert list(world.archive.ended) == [1] * (shape.tenants * shape.channels)
    assert list(world.archive.requests) == [min(each, 255) for each in world.archive.pages]
    # Discord's limits
    assert world.discord.most_in_a_second <= 50
    assert world.discord.refused == 0
    # what is under way, waits and is kept open at the same time
    assert run.most_tenants <= shape.at_once
    assert run.most_channels <= shape.workers * shape.slots
    assert run.most_waiting <= shape.at_once * shape.channels
    assert world.most_sessions <= shape.at_once * (shape.workers + 1)
    assert world.sessions == 0
    # work and the longest tenant one after the other: no list scheduling may be worse
    assert run.took_s <= run.longest_tenant_s + run.work_s + 10.0


def test_the_engine_reads_every_channel_once_within_the_limits() -> None:
    check(simulate(Shape(tenants=10, channels=10, workers=2, at_once=4, most_pages=15)))


@pytest.mark.parametrize(
    "channels", [20, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_hundred_tenants(channels: int) -> None:
    check(simulate(Shape(100, channels, 4, at_once=40, engine=False, lists=False, most_pages=40)))


def test_an_ended_tenant_keeps_only_its_result() -> None:
    def peak_bytes(tenants: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            simulate(Shape(tenants, 10, 2, at_once=5, engine=False, lists=False, most_pages=3))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(5)  # what is made once
    few, many = peak_bytes(10), peak_bytes(40)

    assert (many - few) / 30 <= TENANT_BYTES + 10 * CHANNEL_BYTES
