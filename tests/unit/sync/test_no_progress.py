"""Pages that never end are an error, and prove nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from raysync.models.entities import Message
from raysync.models.ids import ChannelId, MessageId, snowflake_at
from raysync.models.status import SyncType
from raysync.models.work import ChannelOutcome, IdRange
from tests.unit.sync.fakes import (
    FakeHistory,
    FakePages,
    channel_sync,
    make_message,
    make_task,
    snowflakes,
)
from tests.virtual_time import LoopClock, run_virtual

PAGE = 10


@dataclass
class StuckHistory(FakeHistory):
    """History that serves pages by a rule without progress."""

    kind: str = "newest"

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        self.asked.append(after)
        assert len(self.asked) < 100, "it never ends"
        ids = sorted(self.messages)
        if self.kind == "newest":  # no cursor is heeded
            return [self.messages[each] for each in ids[-limit:]]
        if self.kind == "oldest":
            return [self.messages[each] for each in ids[:limit]]
        if self.kind == "repeated":
            return [self.messages[next(each for each in ids if each > after)]] * limit
        return [make_message(after + 1)] * limit  # "echo": a message wherever one is asked for


def sync(history: FakeHistory, pages: FakePages, newest: int, **changes: object) -> ChannelOutcome:
    engine = channel_sync(history, pages, PAGE)
    task = make_task(last_message_id=newest, **changes)
    return run_virtual(engine.run(task, lambda _: None))


@pytest.mark.parametrize("kind", ["newest", "oldest", "repeated", "echo"])
def test_pages_that_never_end_are_an_error(kind: str) -> None:
    history, pages, ids = StuckHistory(kind=kind), FakePages(), snowflakes(45)
    history.post(*ids)

    outcome = sync(history, pages, ids[-1])

    assert outcome.failure is not None
    assert outcome.failure.error == "NoProgressError"
    missing = set(ids) - set(pages.rows)
    assert not any(each in part for part in pages.coverage for each in missing)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("window", [slice(5, 9), slice(5, 25)])
def test_an_ignored_cursor_deletes_nothing_in_old_pages(newest_first: bool, window: slice) -> None:
    ids = snowflakes(45)
    pages = FakePages()
    honest = FakeHistory()
    honest.post(*ids)
    sync(honest, pages, ids[-1])
    history = StuckHistory(kind="newest" if newest_first else "oldest")
    history.post(*ids)
    pages.checkpoint = None
    old = ids[window]

    outcome = sync(
        history,
        pages,
        ids[-1],
        sync_type=SyncType.INCREMENTAL,
        recheck=(IdRange(old[0], old[-1] + 1),),
        only_recheck=True,
    )

    assert outcome.failure is not None
    assert outcome.failure.error == "NoProgressError"
    assert pages.deleted == set()


def test_a_message_that_stands_twice_on_a_page_is_no_error() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(25)
    history.post(*ids)

    class Doubled(FakeHistory):
        async def fetch_after(
            self, channel_id: ChannelId, after: MessageId, limit: int
        ) -> Sequence[Message]:
            page = await history.fetch_after(channel_id, after, limit - 1)
            return [*page, *page[:1]]

    outcome = sync(Doubled(), pages, ids[-1])

    assert outcome.failure is None
    assert sorted(pages.rows) == ids


@pytest.mark.parametrize("days", [1, 29])
def test_a_message_of_the_future_proves_nothing_of_the_time_until_then(days: int) -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(5)
    future = snowflake_at(LoopClock.start + timedelta(days=days))
    history.post(*ids, future)

    sync(history, pages, future)

    assert set(pages.rows) == {*ids, future}
    assert ids[-1] < pages.coverage[-1].stop < future - (1 << 40)


def test_a_message_of_the_far_future_is_none_and_proves_nothing_at_all() -> None:
    history, pages, ids = FakeHistory(), FakePages(), snowflakes(5)
    future = ids[-1] + (1 << 61)
    history.post(*ids, future)

    outcome = sync(history, pages, future)

    assert outcome.tally.unplaced == 1
    assert set(pages.rows) == set(ids)
    assert pages.coverage == ()
