"""What status says of a tail."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from raysync.cli.output.hints import command_line
from raysync.cli.progress.tail_lines import tail_as_json, tail_lines
from raysync.models.live import ListenedTenant

pytestmark = pytest.mark.cli

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SINCE = NOW - timedelta(hours=2)
ALIVE = ListenedTenant(
    listened_since=SINCE,
    alive_at=NOW - timedelta(seconds=5),
    settled_at=SINCE + timedelta(seconds=3),
    looked_back_at=SINCE + timedelta(seconds=3),
    events=1234,
    events_a_minute=17,
    lag_ms=140,
    identifies_left=998,
    is_alive=True,
)


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        pytest.param(ALIVE, "tail: listening since 2026-12-01 10:00:00 UTC", id="listens"),
        pytest.param(
            replace(ALIVE, settled_at=None),
            "tail: listening since 2026-12-01 10:00:00 UTC; "
            "what happened before is not settled yet",
            id="not-settled",
        ),
        pytest.param(
            replace(ALIVE, is_alive=False, alive_at=NOW - timedelta(minutes=10)),
            "tail: nobody listens, last seen 10 min 0 s ago. Listen with {tail}",
            id="stands-still",
        ),
        pytest.param(
            replace(ALIVE, interrupted_at=NOW - timedelta(seconds=20)),
            "tail: interrupted 20.0 s ago, and connecting again",
            id="interrupted",
        ),
        pytest.param(
            replace(ALIVE, listened_since=None),
            "tail: connected, and waiting for Discord to describe the guild",
            id="waits",
        ),
    ],
)
def test_the_first_line_says_whether_it_listens(tail, sentence) -> None:
    first = tail_lines(tail, "takaro", NOW)[0]

    assert first == sentence.format(tail=command_line("tail", "--tenant", "takaro"))


def test_figures_follow_and_faults_only_where_there_are_any() -> None:
    lines = tail_lines(ALIVE, "takaro", NOW)
    more = tail_lines(replace(ALIVE, missed=2, gaps=1), "takaro", NOW)

    assert len(lines) == 2
    assert lines[1].startswith("heard: 1,234 events stored, 17 in the last minute")
    assert lines[1].endswith("998 sessions left today")
    assert more[2:] == [
        "missed: 2 changes that a look-back found later",
        "gaps: 1 session lost; a look-back settled each",
    ]


def test_json_has_times_and_figures() -> None:
    found = tail_as_json(ALIVE)

    assert found["listened_since"] == "2026-12-01T10:00:00+00:00"
    assert found["interrupted_at"] is None
    assert (found["alive"], found["events"], found["lag_ms"]) == (True, 1234, 140)
