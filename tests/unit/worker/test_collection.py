"""The collector of cycles in a worker's process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from raysync.actors.channel_sync import ChannelSyncActor
from raysync.logs import LogFormat
from raysync.models.permits import Sharer

A_PAGE = 2_000
"""Objects of a parsed page."""


@pytest.fixture(autouse=True)
def own_threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


async def test_a_worker_does_not_search_each_page_for_cycles() -> None:
    gc.set_threshold(700)
    ChannelSyncActor(Sharer("run", "worker"), 1, None, None, LogFormat.TEXT)
    gc.collect()
    before = gc.get_stats()[0]["collections"]

    page: list[dict[str, Any]] = [{"at": datetime.now(UTC)} for _ in range(A_PAGE)]

    assert len(page) == A_PAGE
    assert gc.get_stats()[0]["collections"] == before


async def test_cycles_of_a_worker_are_collected_in_the_end() -> None:
    ChannelSyncActor(Sharer("run", "worker"), 1, None, None, LogFormat.TEXT)
    gc.collect()
    before = gc.get_stats()[0]["collected"]

    for _ in range(20_000):
        cycle: list[Any] = []
        cycle.append(cycle)

    assert gc.get_stats()[0]["collected"] > before
