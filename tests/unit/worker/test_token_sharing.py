"""The governor's state without Ray: requests that stop, and the end after an idle time."""

from __future__ import annotations

import asyncio

import pytest

from raysync.errors import BannedError, LedgerUnknownError
from raysync.models.permits import Demand, Sharer
from raysync.ratelimit.refusals import BAN
from raysync.sync.progress import metrics
from raysync.worker.token_sharing import IDLE_END_S, WATCH_S, TokenSharing
from tests.unit.sync.sinks import FakeSink
from tests.virtual_time import LoopClock, run_virtual

TOKEN = "fingerprint"
BAN_S = 3600.0


def test_a_watch_ends_without_a_reason_after_a_while() -> None:
    async def scenario() -> None:
        sharing = TokenSharing(LoopClock(), FakeSink())
        began_s = LoopClock().monotonic_s()

        assert await sharing.stopped() is None
        assert LoopClock().monotonic_s() - began_s == pytest.approx(WATCH_S)

    run_virtual(scenario())


def test_a_watch_ends_at_once_when_the_address_is_banned() -> None:
    async def scenario() -> None:
        sharing = TokenSharing(LoopClock(), FakeSink())
        watching = asyncio.create_task(sharing.stopped())
        await asyncio.sleep(5.0)
        assert not watching.done()
        banned_s = LoopClock().monotonic_s()
        sharing.observe(TOKEN, 429, BAN, BAN_S)

        assert isinstance(await watching, BannedError)
        assert LoopClock().monotonic_s() == banned_s

    run_virtual(scenario())


def test_a_token_without_a_known_database_gets_no_permit() -> None:
    async def scenario() -> None:
        sharing = TokenSharing(LoopClock(), FakeSink())
        with pytest.raises(LedgerUnknownError):
            sharing.lease(TOKEN, Sharer("run", "worker-0"), Demand(1), 48.0)

    run_virtual(scenario())


def test_each_greeting_postpones_the_end_of_an_idle_governor() -> None:
    async def scenario() -> None:
        sharing = TokenSharing(LoopClock(), FakeSink())
        began_s = LoopClock().monotonic_s()
        ending = asyncio.create_task(sharing.until_idle())
        await asyncio.sleep(IDLE_END_S / 2)
        sharing.greet()
        await ending

        assert LoopClock().monotonic_s() - began_s == pytest.approx(1.5 * IDLE_END_S)

    run_virtual(scenario())


def test_metrics_show_refusals_and_their_limit() -> None:
    async def scenario() -> None:
        sink = FakeSink()
        sharing = TokenSharing(LoopClock(), sink)
        sharing.observe(TOKEN, 403, None, None)
        sharing.publish_metrics()

        assert sink.gauges[metrics.INVALID_REQUESTS.name,] == 1
        assert sink.gauges[metrics.INVALID_REQUEST_LIMIT.name,] > 1

    run_virtual(scenario())
