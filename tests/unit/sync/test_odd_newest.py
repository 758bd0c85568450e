"""Channels that name a wrong newest message are read to their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from raysync.models.entities import Message
from raysync.models.ids import MAX_SNOWFLAKE, ChannelId, ChannelKey, MessageId, snowflake_at
from raysync.models.status import ChannelJobStatus
from raysync.models.work import IdRange, StoredChannel
from raysync.sync.planning.estimate import is_unchanged
from tests.unit.sync.fakes import FakeHistory, FakePages, ids_of, snowflakes
from tests.unit.sync.test_job import make_channel
from tests.unit.sync.test_ties import TiedHistory, at, sync
from tests.virtual_time import LoopClock


@dataclass
class CappedHistory(FakeHistory):
    """History that serves fewer messages than requested, although there are more."""

    most: int = 100

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        return await super().fetch_after(channel_id, after, min(limit, self.most))


NAMED = {
    "none": lambda _: None,
    "the-first": lambda ids: ids[0],
    "one-in-the-middle": lambda ids: ids[len(ids) // 2],
    "none-of-its-own": lambda ids: ids[len(ids) // 2] + 1,
    "one-below-all": lambda ids: ids[0] - 5,
    "one-deleted-above": lambda ids: ids[-1] + 1,
    "the-newest": lambda ids: ids[-1],
}


@pytest.mark.parametrize("most", [100, 50])
@pytest.mark.parametrize("page_size", [100, 60, 51])
@pytest.mark.parametrize("count", [2, 60, 100, 101, 250])
@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
def test_a_channel_is_read_to_its_end_whatever_it_names(
    named: object, count: int, page_size: int, most: int
) -> None:
    ids = snowflakes(count)
    history, pages = CappedHistory(most=most), FakePages()
    history.post(*ids)

    outcome = sync(history, pages, named(ids), page_size)  # type: ignore[operator]

    assert outcome.status is ChannelJobStatus.COMPLETED
    assert ids_of(pages.rows) == ids
    assert pages.coverage[0].start == 0
    assert pages.coverage[0].stop >= ids[-1] + 1


def test_where_the_newest_is_as_named_no_page_is_asked_for_twice() -> None:
    ids = snowflakes(250)
    history = FakeHistory()
    history.post(*ids)

    sync(history, FakePages(), ids[-1], 100)

    assert len(history.asked) == len(set(history.asked)) == 3


class CrowdedHistory(TiedHistory):
    """History that shows three messages of a crowded millisecond, others for each limit."""

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        assert len(self.asked) < 1_000, "it comes to an end"
        return (await super().fetch_after(channel_id, after, limit))[-3:]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(12))
def test_pages_that_end_elsewhere_each_time_come_to_an_end(seed: int, page_size: int) -> None:
    history = CrowdedHistory(seed=seed)
    history.post(*at(0, 40))

    sync(history, FakePages(), at(90, 1)[0], page_size)

    assert len(history.asked) < 1_000


def stored(coverage: Sequence[IdRange], count: int = 0) -> StoredChannel:
    return StoredChannel(ChannelKey(1), ChannelId(1), tuple(coverage), count)


def test_a_channel_rests_unless_there_was_more_than_it_names() -> None:
    first, second = snowflakes(2)
    start = snowflake_at(LoopClock.start)
    whole = IdRange(0, MAX_SNOWFLAKE)

    def rests(named: int | None, stop: int) -> bool:
        channel = make_channel(1, last=named)
        return is_unchanged(channel, stored([IdRange(0, stop)]), whole, start)

    assert rests(second, second + 1)
    assert not rests(first, second + 1), "what it names is out of date"
    assert not rests(None, second + 1), "there were messages"
    assert is_unchanged(make_channel(1, last=None), stored([]), whole, start)
