"""Stored rate limits are validated when they are read."""

from __future__ import annotations

import math

import pytest

from raysync.models.records import LearnedLimit
from raysync.ratelimit.policies import ROUTE_WINDOW_S, PolicySource, RoutePolicy
from raysync.worker.limit_memory import LimitMemory

MESSAGES = "GET /channels/{channel_id}/messages"
NEW = "GET /channels/{channel_id}/new"


class Record:
    """Store of limits in memory."""

    def __init__(self, *rows: LearnedLimit) -> None:
        self.rows = list(rows)

    async def remember(self, learned: LearnedLimit) -> None:
        self.rows.append(learned)

    async def known(self) -> tuple[LearnedLimit, ...]:
        return tuple(self.rows)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(LearnedLimit(MESSAGES, "", 5, 1e9), id="a-window-of-decades"),
        pytest.param(LearnedLimit(MESSAGES, "", 1, 300.0, "headers"), id="five-minutes"),
        pytest.param(LearnedLimit(MESSAGES, "", 5, ROUTE_WINDOW_S + 1), id="beyond-the-bound"),
        pytest.param(LearnedLimit(MESSAGES, "", 5, math.inf), id="for-ever"),
        pytest.param(LearnedLimit(MESSAGES, "", 5, math.nan), id="nan"),
        pytest.param(LearnedLimit(MESSAGES, "", 0, 5.0), id="none"),
        pytest.param(LearnedLimit(MESSAGES, "", -5, 5.0), id="negative"),
        pytest.param(LearnedLimit(MESSAGES, "", 2_000_000_000, 5.0), id="a-mask"),
        pytest.param(LearnedLimit(MESSAGES, "", 5, 5.0, "rumour"), id="an-unknown-source"),
        pytest.param(LearnedLimit(MESSAGES, "", 5, 5.0, "prior"), id="nobody-learned-it"),
        pytest.param(LearnedLimit(MESSAGES, "", 5, 5.0, "refusal", "round"), id="an-unknown-form"),
    ],
)
async def test_an_impossible_row_is_ignored_alone(row, caplog):
    policies = await LimitMemory(Record(row, LearnedLimit(NEW, "", 3, 7.0))).recall()

    assert policies == (RoutePolicy(NEW, 3, 7.0, PolicySource.REFUSAL),)
    assert [record.event for record in caplog.records] == ["limit_not_believed"]


async def test_an_ignored_row_is_replaced_by_a_learned_limit():
    record = Record(LearnedLimit(MESSAGES, "", 5, 1e9))
    memory = LimitMemory(record)
    await memory.recall()
    await memory.keep([RoutePolicy(MESSAGES, 3, 5.0, PolicySource.REFUSAL)])

    assert record.rows[1:] == [LearnedLimit(MESSAGES, "", 3, 5.0, "refusal")]
