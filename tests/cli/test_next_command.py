"""What is advised after a run that was ended early goes on with that very run."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

import pytest

from raysync.cli.runs import start as start_module
from raysync.cli.runs.next_command import start_command
from raysync.cli.runs.start import run as run_request
from raysync.cli.runs.start import show
from raysync.errors import ConfigurationError, StoreUnavailableError
from raysync.models.extras import Extras, FileRules
from raysync.models.ids import ChannelId
from raysync.models.results import RunResult
from raysync.models.status import SyncType
from raysync.run.requests import SyncRequest
from tests.cli.samples import JOB_ID, job_result

CUT_SHORT = ("cancelled", "failed")


@pytest.mark.parametrize("status", CUT_SHORT)
def test_the_advice_after_a_full_run_resumes_it(capsys, status):
    request = SyncRequest(tenants=("takaro",), sync_type=SyncType.FULL, workers=3)

    show(RunResult(jobs=[job_result(status=status)]), as_json=False, request=request)

    said = capsys.readouterr().err
    assert f"raysync resume --job-id {JOB_ID} --workers 3" in " ".join(said.split())
    assert "start" not in said


def test_a_run_whose_turn_had_not_come_is_begun_with_all_of_its_options(capsys):
    request = SyncRequest(tenants=("takaro", "other"), sync_type=SyncType.FULL)
    jobs = [job_result(status="cancelled"), job_result(status="cancelled", tenant="o", job_id="")]

    show(RunResult(jobs=jobs), as_json=False, request=request)

    said = " ".join(capsys.readouterr().err.split())
    assert f"resume --job-id {JOB_ID}" in said
    assert "start --tenant o --full" in said


def test_a_resumed_job_that_did_not_begin_is_resumed(capsys):
    jobs = [job_result(status="failed", job_id="")]

    show(RunResult(jobs=jobs), as_json=False, request=SyncRequest(resume=JOB_ID))

    assert f"resume --job-id {JOB_ID}" in " ".join(capsys.readouterr().err.split())


REQUESTS = [
    SyncRequest(tenants=("a",)),
    SyncRequest(tenants=("a", "b"), sync_type=SyncType.FULL, workers=2),
    SyncRequest(tenants=("a",), sync_type=SyncType.INCREMENTAL, lookback_s=0.0),
    SyncRequest(tenants=("a",), lookback_s=3600.0, reconcile_requests=7),
    SyncRequest(tenants=("a",), archives_every_s=0.0),
    SyncRequest(tenants=("a",), archives_every_s=90.0),
    SyncRequest(
        tenants=("a",),
        since=datetime(2026, 1, 31, 12, tzinfo=UTC),
        until=datetime(2026, 2, 1, tzinfo=UTC),
        channels=frozenset({ChannelId(8), ChannelId(9)}),
        extras=Extras(True, FileRules("/a folder/ü", 25_000_000, ("image/*", "text/plain"))),
    ),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_the_command_that_is_advised_asks_for_the_same(run, monkeypatch, request_):
    asked = []

    def note(request: SyncRequest) -> RunResult:
        asked.append(request)
        return RunResult(jobs=[])

    monkeypatch.setattr(start_module, "run", note)
    words = shlex.split(start_command(request_, request_.tenants))

    result = run(*words[words.index("start") :])

    assert result.exit_code == 0, result.stderr
    assert asked == [request_]


@pytest.mark.parametrize(
    ("error", "is_advised"),
    [
        (KeyboardInterrupt(), True),
        (StoreUnavailableError("The database went away."), True),
        (ConfigurationError("The token is not here."), False),
    ],
)
def test_a_run_that_ends_without_a_result_says_how_to_go_on(capsys, monkeypatch, error, is_advised):
    def ended(_request, _settings, observer):
        observer.started("takaro", JOB_ID)
        observer.started("other", "another-job")
        observer.finished(job_result(tenant="other"))
        raise error

    monkeypatch.setattr("raysync.run.driver.sync", ended)

    with pytest.raises(type(error)):
        run_request(SyncRequest(tenants=("takaro",), sync_type=SyncType.FULL))

    said = " ".join(capsys.readouterr().err.split())
    assert (f"resume --job-id {JOB_ID}" in said) is is_advised
    assert "resume --job-id another-job" not in said
