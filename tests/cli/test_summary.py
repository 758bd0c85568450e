"""What a run did, as people read it, and as scripts do."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from raysync.cli.progress.summary import MAX_ERRORS, print_result
from raysync.cli.runs.start import exit_code, show
from raysync.models.results import ArchivedThreads, RunResult
from tests.cli.samples import NO_SEARCH, STARTED, channel_error, failed_result, job_result


def text_of(*jobs) -> str:
    out = io.StringIO()
    print_result(Console(file=out, width=80), RunResult(jobs=list(jobs)))
    return out.getvalue()


def test_the_summary_explains_the_efficiency():
    assert "0.97: Discord's limits allow 31.2 s at best, and it took 32.0 s" in text_of(
        job_result()
    )


def test_the_summary_counts_what_was_skipped_by_reason():
    text = text_of(job_result())

    assert "62: 56 synced, 3 unchanged, 3 skipped" in text
    assert "2 × no VIEW_CHANNEL" in text


def test_the_summary_tells_some_errors_and_how_many_more():
    errors = [channel_error(number) for number in range(MAX_ERRORS + 4)]
    job = job_result(status="partial", errors=errors, channel_results=[failed_result(0)])

    text = text_of(job)

    assert "1 failed" in text
    assert text.count("AccessDeniedError") == MAX_ERRORS
    assert "and 4 more" in text


def test_the_summary_tells_channels_that_were_begun_from_those_that_were_not():
    pending = {"status": "pending", "completed_at": None, "error": None}
    begun = failed_result(0).model_copy(update=pending)
    left = [begun, begun, begun.model_copy(update={"started_at": None})]

    text = text_of(job_result(status="cancelled", channel_results=left))

    assert "2 not finished, 1 not started" in text


def test_no_efficiency_is_claimed_for_a_run_that_asked_nothing():
    stats = job_result().parallel_stats.model_copy(update={"efficiency": None})

    assert "efficiency" not in text_of(job_result(parallel_stats=stats))


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        pytest.param([], 0, id="nothing-to-do"),
        pytest.param(["completed", "completed"], 0, id="all-completed"),
        pytest.param(["completed", "partial"], 3, id="some-channels-failed"),
        pytest.param(["partial", "failed"], 1, id="failed-is-worse-than-partial"),
        pytest.param(["failed", "cancelled"], 130, id="interrupted"),
    ],
)
def test_the_exit_code_tells_the_worst(statuses, expected):
    jobs = [job_result(status=status) for status in statuses]

    assert expected == exit_code(RunResult(jobs=jobs))


def test_json_is_the_result_and_nothing_else(capsys):
    result = RunResult(jobs=[job_result()])

    show(result, as_json=True)

    assert json.loads(capsys.readouterr().out) == json.loads(result.model_dump_json())


@pytest.mark.parametrize("model", [RunResult, *RunResult.model_json_schema()["$defs"]], ids=str)
def test_the_docs_name_every_key_of_the_result(model):
    schema = RunResult.model_json_schema()
    keys = (schema if model is RunResult else schema["$defs"][model])["properties"]
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()

    assert [key for key in keys if f'"{key}"' not in text] == []


def test_what_the_api_has_no_route_for_is_told_and_fails_nothing():
    job = job_result(not_covered=[NO_SEARCH])

    told = " ".join(text_of(job).split())

    assert f"not covered {NO_SEARCH.what} (2 channels): {NO_SEARCH.reason}" in told
    assert exit_code(RunResult(jobs=[job])) == 0


def test_the_summary_counts_what_could_not_be_read_whole_and_says_who_names_it():
    text = " ".join(text_of(job_result(quarantined=3)).split())

    assert "3 messages stored with fields that could not be read" in text
    assert "raysync doctor --tenant takaro" in text
    assert "quarantined" not in text_of(job_result())
    assert exit_code(RunResult(jobs=[job_result(quarantined=3)])) == 0, "nothing is lost"


def test_an_error_names_its_channel_and_one_that_was_forgotten_stays_nameless():
    named = channel_error(1).model_copy(update={"name": "gen\x1b[2Jeral"})

    text = text_of(job_result(status="partial", errors=[named, channel_error(2)]))

    assert "#gen[2Jeral (1001): AccessDeniedError" in text
    assert "channel 1002: AccessDeniedError" in text
    assert "\x1b" not in text


def test_the_summary_says_within_which_time_archived_threads_are_compared():
    since = STARTED - timedelta(hours=5, minutes=20)
    found = ArchivedThreads(lists=2_000, compared=340, unsettled=2, compared_since=since)
    all_of_them = ArchivedThreads(lists=9, compared=9, unsettled=0, compared_since=STARTED)

    text = " ".join(text_of(job_result(archived_threads=found)).split())
    assert "archived threads compared within 5 h 21 min: 340 of 2,000 lists in this run" in text
    assert "2 not read to their end" in text
    assert "archived threads" not in text_of(job_result(archived_threads=all_of_them))
    assert "archived threads" not in text_of(job_result(archived_threads=None))
