"""What the search index and the CDN ask to wait is bounded, whatever they send."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from raysync.discord_api.attachments import _begin_of
from raysync.discord_api.thread_lists import searched_threads
from raysync.errors import RetryableError, SearchIndexError
from raysync.models.extras import MissingFile
from raysync.models.ids import MessageId

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "expected_s"),
    [
        pytest.param(2, 2.0, id="as-documented"),
        pytest.param("2", 2.0, id="a-text"),
        pytest.param(1e9, 60.0, id="decades"),
        pytest.param(10**400, 60.0, id="more-than-a-float-holds"),
        pytest.param(math.inf, 60.0, id="for-ever"),
        pytest.param(math.nan, 1.0, id="nan"),
        pytest.param(-5, 1.0, id="negative"),
        pytest.param(0, 1.0, id="nothing"),
        pytest.param(True, 1.0, id="a-truth-value"),
        pytest.param([2], 1.0, id="garbage"),
        pytest.param(None, 1.0, id="missing"),
    ],
)
async def test_an_index_that_is_not_there_yet_is_asked_for_again_soon(asked, expected_s):
    async def ask(_path: str, _params: dict[str, str]) -> Any:
        return {"code": 110_000, "retry_after": asked}, []

    with pytest.raises(SearchIndexError) as caught:
        async for _ in searched_threads(ask):
            pass

    assert caught.value.retry_after_s == expected_s


@pytest.mark.parametrize(
    ("values", "expected_s"),
    [
        pytest.param(["7"], 7.0, id="seconds"),
        pytest.param(["7", "20"], 20.0, id="twice"),
        pytest.param(
            [format_datetime(NOON + timedelta(seconds=30), usegmt=True)], 30.0, id="a-date"
        ),
        pytest.param(["1000000000"], 60.0, id="decades"),
        pytest.param(["inf"], 60.0, id="for-ever"),
        pytest.param(["nan"], None, id="nan"),
        pytest.param(["-7"], None, id="negative"),
        pytest.param(["soon"], None, id="garbage"),
        pytest.param([], None, id="missing"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_cdn_holds_a_file_up_for_a_minute_at_most(status, values, expected_s):
    headers = CIMultiDict([("Retry-After", each) for each in values])
    headers["Date"] = format_datetime(NOON, usegmt=True)
    response: Any = SimpleNamespace(status=status, headers=headers)
    file = MissingFile(MessageId(1), 2, "https://cdn/x", 3, None)
    with pytest.raises(RetryableError) as caught:
        _begin_of(response, file, 0)

    assert caught.value.retry_after_s == expected_s
