"""What a verification means to a script."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from raysync.cli.report import _print_text
from raysync.cli.runs.verify import _show, exit_code
from raysync.models.results import CoverageGap, SkippedChannel, Verification
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from tests.cli.histories import channel, finished, with_result
from tests.cli.samples import NO_SEARCH, job_result

AT = datetime(2026, 1, 1, tzinfo=UTC)


def verification(*, is_news: bool | None = None) -> Verification:
    gaps = []
    if is_news is not None:
        gaps = [CoverageGap(channel_id="1", name="c", after=AT, before=AT, is_news=is_news)]
    return Verification(channels=1, proven=1 - len(gaps), gaps=gaps)


@pytest.mark.parametrize(
    ("status", "found", "expected"),
    [
        pytest.param("completed", verification(), 0, id="proven"),
        pytest.param("completed", verification(is_news=True), 0, id="not-synced-yet"),
        pytest.param("completed", verification(is_news=False), 1, id="a-gap"),
        pytest.param("partial", verification(), 1, id="a-list-was-not-read"),
        pytest.param("failed", None, 1, id="it-failed"),
        pytest.param("cancelled", verification(), 130, id="interrupted"),
    ],
)
def test_the_exit_code(status: str, found: Verification | None, expected: int) -> None:
    job = job_result().model_copy(update={"status": status, "verification": found})

    assert exit_code(job) == expected


def test_what_the_api_has_no_route_for_is_told_and_is_no_gap(
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = job_result(verification=verification(), not_covered=[NO_SEARCH])

    _show(job, 0)

    assert (
        f"not covered: {NO_SEARCH.what} (2 channels): {NO_SEARCH.reason}" in capsys.readouterr().out
    )
    assert exit_code(job) == 0


def test_the_report_of_a_verification_says_what_is_proven_and_counts_no_unchanged_channels(
    capsys: pytest.CaptureFixture[str],
) -> None:
    skipped = [SkippedChannel(channel_id="2", name="d", reason="no permission")]
    history = with_result(
        finished([channel(1)]), verification=verification(is_news=False), skipped=skipped
    )
    record = replace(history.record, window=SyncWindow(SyncType.VERIFY))

    _print_text(replace(history, record=record), AT)

    printed = capsys.readouterr().out
    assert "compared in" in printed
    assert "0 of 1 channel proven complete, 1 gap, 1 skipped; " in printed
    assert "none answered with 429" in printed
    assert "unchanged" not in printed
