"""Lists of archived threads with records that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from raysync.discord_api.guilds import read_channel
from raysync.discord_api.privacy import Pseudonymizer
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
