"""Lists of archived threads with records that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raysync.discord_api.guilds import read_channel
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.discord_api.thread_lists import archived_threads, searched_threads
from raysync.errors import NoProgressError
from raysync.models.entities import Channel
from raysync.models.ids import NO_CHANNEL, GuildId, UserId

PEOPLE = Pseudonymizer(b"k" * 32)


def thread(thread_id: int, minute: int, **more: Any) -> dict[str, Any]:
    archived_at = f"2025-01-01T00:{minute:02}:00+00:00"
    state = {"archived": True, "archive_timestamp": archived_at}
    return {"id": str(thread_id), "type": 11, "parent_id": "1", "thread_metadata": state} | more


def listed(list_: Any, pages: Sequence[dict[str, Any]]) -> tuple[list[int], list[str | None]]:
    """The ids that come of it, and where each page was asked for."""
    asked: list[str | None] = []

    async def ask(_path: str, params: dict[str, str]) -> tuple[dict[str, Any], list[Channel]]:
        answer = pages[len(asked)]
        asked.append(params.get("before") or params.get("offset"))
        records = answer["threads"]
        return answer, [read_channel(each, GuildId(1), UserId(2), PEOPLE) for each in records]

    async def collect() -> list[int]:
        found: AsyncIterator[Channel] = list_(ask)
        return [each.id async for each in found]

    return asyncio.run(collect()), asked


def by_time(ask: Any) -> AsyncIterator[Channel]:
    return archived_threads(ask, private=False)


def by_id(ask: Any) -> AsyncIterator[Channel]:
    return archived_threads(ask, private=True, joined_only=True)


@pytest.mark.parametrize("list_", [by_time, by_id, searched_threads])
def test_odd_records_end_no_list_and_are_all_told(list_: Any) -> None:
    ids, asked = listed(
        list_,
        [
            {"threads": [thread(9, 9), None, {"id": "x"}, thread(8, 8)], "has_more": True},
            {"threads": [thread(7, 7), None], "has_more": False},
        ],
    )

    assert ids == [9, NO_CHANNEL, NO_CHANNEL, 8, 7, NO_CHANNEL]
    assert len(asked) == 2
    assert asked[1] != "0"


def test_a_list_goes_on_by_the_times_that_can_be_read() -> None:
    odd = thread(8, 8, thread_metadata={"archived": True, "archive_timestamp": "soon"})
    ids, asked = listed(
        by_time,
        [
            {"threads": [thread(9, 9), odd], "has_more": True},
            {"threads": [thread(7, 7)], "has_more": False},
        ],
    )

    assert ids == [9, 8, 7]
    assert str(asked[1]).startswith("2025-01-01T00:09:00")


def test_a_list_that_tells_no_way_on_is_not_taken_for_whole() -> None:
    odd = thread(8, 8, thread_metadata={"archived": True, "archive_timestamp": "soon"})

    with pytest.raises(NoProgressError, match="more threads"):
        listed(by_time, [{"threads": [odd], "has_more": True}])


@pytest.mark.parametrize("list_", [by_time, by_id, searched_threads])
def test_a_list_of_nothing_but_odd_records_comes_to_an_end(list_: Any) -> None:
    pages = [{"threads": [None, {"id": "x"}], "has_more": True}] * 1_000

    with pytest.raises(NoProgressError, match="more threads"):
        listed(list_, pages)


class Server:
    """A list by time of archival as Discord serves it, of threads by their seconds."""

    def __init__(self, seconds: Sequence[int], told: dict[int, str | None], has_more: Any) -> None:
        self._truth = {1_000 + at: each for at, each in enumerate(seconds)}
        self._told = told
        self._has_more = has_more
        self.asked = 0

    async def ask(self, _: str, params: dict[str, str]) -> tuple[dict[str, Any], list[Channel]]:
        self.asked += 1
        before = datetime.fromisoformat(params.get("before", "2030-01-01T00:00:00+00:00"))
        left = [each for each, second in self._truth.items() if at_second(second) < before]
        left.sort(key=lambda each: (self._truth[each], each), reverse=True)
        page, is_more = left[:100], len(left) > 100
        answer = {"has_more": is_more if self._has_more is None else self._has_more(is_more)}
        records = [self._record(each) for each in page]
        return answer, [read_channel(each, GuildId(1), UserId(2), PEOPLE) for each in records]

    def _record(self, thread_id: int) -> dict[str, Any]:
        truth = at_second(self._truth[thread_id]).isoformat()
        time = self._told.get(self._truth[thread_id], truth)
        state = {"archived": True, "archive_timestamp": time}
        return {"id": str(thread_id), "type": 11, "parent_id": "1", "thread_metadata": state}

    def missing(self) -> tuple[int, str | None]:
        """How many threads do not come, and why."""
        found: set[int] = set()

        async def collect() -> None:
            async for each in archived_threads(self.ask, private=False):
                found.add(each.id)

        try:
            asyncio.run(collect())
        except NoProgressError as error:
            return len(self._truth.keys() - found), str(error)
        return len(self._truth.keys() - found), None


def at_second(second: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=second)


@pytest.mark.parametrize("at", [299, 250, 201, 200, 101, 100, 0])
@pytest.mark.parametrize("told", ["2016-01-01T00:00:00+00:00", "2025-06-01T00:00:00+00:00", None])
def test_one_thread_with_a_wrong_time_hides_no_others(at: int, told: str | None) -> None:
    assert Server(range(300), {at: told}, None).missing() == (0, None)


@pytest.mark.parametrize(
    "has_more",
    [
        lambda _: False,
        lambda _: None,
        lambda is_more: str(is_more).lower(),
        lambda is_more: is_more,
    ],
)
@pytest.mark.parametrize("threads", [1, 100, 250])
def test_a_full_page_is_no_end_whatever_it_says(threads: int, has_more: Any) -> None:
    assert Server(range(threads), {}, has_more).missing() == (0, None)


@pytest.mark.parametrize(
    ("seconds", "missing"),
    [
        pytest.param([9] * 50 + [5] * 150 + [1] * 30, 50, id="in-the-middle"),
        pytest.param([9] * 250 + [1] * 30, 150, id="at-the-top"),
        pytest.param([9] * 50 + [5] * 99 + list(range(-150, 0)), 0, id="one-less-than-a-page"),
    ],
)
def test_more_threads_of_a_moment_than_a_page_takes_are_told(
    seconds: list[int], missing: int
) -> None:
    lost, told = Server(seconds, {}, None).missing()

    assert lost == missing
    assert (told is not None and "at one moment" in told) is (missing > 0)


def test_a_list_that_ignores_where_it_is_to_start_comes_to_an_end() -> None:
    pages = [{"threads": [thread(9, 9), thread(8, 8)], "has_more": True}] * 5

    with pytest.raises(NoProgressError, match="more threads"):
        listed(by_time, pages)
