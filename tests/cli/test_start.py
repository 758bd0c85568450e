"""`raysync start`, as far as it goes without Ray; tests/cluster goes on from there."""

from __future__ import annotations

import pytest

from raysync.cli.runs.resume_cancel import say_end
from raysync.cli.runs.start import show
from raysync.models.ids import TenantId
from raysync.models.records import JobRecord
from raysync.models.results import RunResult
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from tests.cli.samples import JOB_ID, STARTED, job_result

pytestmark = pytest.mark.usefixtures("with_database")


def test_with_no_tenant_it_says_how_to_add_one(run):
    result = run("start")

    assert result.exit_code == 2
    assert "tenant add" in result.stderr


def test_an_unknown_tenant_exits_2(run):
    result = run("start", "--tenant", "nobody")

    assert result.exit_code == 2
    assert "no tenant nobody" in result.stderr


def test_a_token_that_is_not_there_exits_2(run):
    run("tenant", "add", "takaro", "--guild", "5", "--token-env", "NOT_SET_ANYWHERE")

    result = run("start", "--tenant", "takaro", "--json")

    assert result.exit_code == 2
    assert "NOT_SET_ANYWHERE" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_a_run_that_did_not_end_says_how_to_go_on(capsys, status):
    show(RunResult(jobs=[job_result(status=status)]), as_json=False)

    said = capsys.readouterr()
    assert f"resume --job-id {JOB_ID}" in said.err
    assert "efficiency" not in said.out


@pytest.mark.parametrize(
    ("status", "goes_on"),
    [
        pytest.param(JobStatus.CANCELLED, True, id="cancelled"),
        pytest.param(JobStatus.FAILED, True, id="failed-meanwhile"),
        pytest.param(JobStatus.COMPLETED, False, id="completed-meanwhile"),
        pytest.param(JobStatus.PARTIAL, False, id="all-had-their-turn-meanwhile"),
    ],
)
def test_cancel_says_how_to_continue_a_job_that_is_unfinished(capsys, status, goes_on):
    window = SyncWindow(sync_type=SyncType.INCREMENTAL)
    record = JobRecord(
        JOB_ID, TenantId(1), "takaro", status, window, None, STARTED, None, 0.0, None, None, None
    )

    say_end(record)

    said = capsys.readouterr().err
    assert said.startswith(f"Job {JOB_ID} of takaro is {status}.")
    assert (f"resume --job-id {JOB_ID}" in said) is goes_on


@pytest.mark.parametrize(
    ("where", "says"),
    [
        pytest.param("/proc/raysync", "Cannot write attachments to /proc/raysync", id="read-only"),
        pytest.param("s3://bucket/path", "s3fs", id="package-missing"),
        pytest.param("nonsense://x", "nonsense", id="unknown"),
        pytest.param("ftp://me:hunter2@host/x", "no password", id="password"),
        pytest.param("memory://x", "gone at the end", id="memory"),
    ],
)
def test_where_attachments_cannot_be_kept_is_said_before_anything_runs(
    run, monkeypatch, where, says
):
    monkeypatch.setenv("TOKEN_OF_TAKARO", "a token")
    run("tenant", "add", "takaro", "--guild", "5", "--token-env", "TOKEN_OF_TAKARO")

    result = run("start", "--tenant", "takaro", "--attachments", where)

    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_rules_for_attachments_need_a_place_for_them(run):
    result = run("start", "--attachment-type", "image/*")

    assert result.exit_code == 2
    assert "--attachments" in result.stderr
