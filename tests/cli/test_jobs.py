"""The entry points in jobs/: what their command lines ask of raysync."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raysync.models.results import RunResult
from raysync.models.status import SyncType
from raysync.run.requests import SyncRequest
from tests.cli.samples import job_result

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "jobs"


@pytest.fixture
def requested(monkeypatch):
    """What a job, run here in place of a cluster, asks of the driver."""

    def run_job(name: str, *given: str) -> SyncRequest:
        asked: list[SyncRequest] = []

        def run(request: SyncRequest) -> RunResult:
            asked.append(request)
            return RunResult(jobs=[job_result(status="completed")])

        monkeypatch.setattr("raysync.cli.runs.start.run", run)
        monkeypatch.setattr("raysync.cli.runs.verify.run", run)
        monkeypatch.setattr(sys, "argv", [name, *given])
        with pytest.raises(SystemExit):
            runpy.run_path(str(JOBS / name), run_name="__main__")
        (request,) = asked
        return request

    return run_job


@pytest.mark.parametrize(
    ("job", "given", "expected"),
    [
        ("sync.py", ["takaro"], SyncRequest(tenants=("takaro",))),
        (
            "sync.py",
            ["takaro", "beacon", "--full"],
            SyncRequest(tenants=("takaro", "beacon"), sync_type=SyncType.FULL),
        ),
        ("sync_all.py", [], SyncRequest()),
        ("sync_all.py", ["--workers", "20"], SyncRequest(workers=20)),
        (
            "nightly.py",
            [],
            SyncRequest(lookback_s=7 * 86_400.0),
        ),
        (
            "nightly.py",
            ["--full"],
            SyncRequest(sync_type=SyncType.FULL),
        ),
        (
            "nightly.py",
            ["--lookback=1d", "--reconcile-requests", "500", "--archives-every", "2h"],
            SyncRequest(lookback_s=86_400.0, reconcile_requests=500, archives_every_s=7200.0),
        ),
        (
            "verify.py",
            ["takaro", "--sample", "9"],
            SyncRequest(tenants=("takaro",), sync_type=SyncType.VERIFY, sample=9),
        ),
    ],
)
def test_a_job_asks_what_its_command_line_says(requested, job, given, expected):
    assert requested(job, *given) == expected


@pytest.mark.parametrize("job", ["sync.py", "verify.py"])
def test_a_job_about_one_tenant_needs_its_name(monkeypatch, job):
    monkeypatch.setattr(sys, "argv", [job])

    with pytest.raises(SystemExit, match="Name a tenant"):
        runpy.run_path(str(JOBS / job), run_name="__main__")


def test_every_job_is_tried_here():
    tried = {"sync.py", "sync_all.py", "nightly.py", "verify.py"}

    assert {each.name for each in JOBS.glob("*.py")} == tried


def test_a_job_is_a_program_that_runs_far_from_the_checkout(with_database, tmp_path):
    program = [sys.executable, JOBS / "sync.py", "nobody"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("There is no tenant nobody")


def test_the_runtime_environment_ships_no_more_than_is_needed_and_no_secret():
    found = yaml.safe_load((JOBS / "runtime_env.yaml").read_text())

    assert set(found["excludes"]) >= {".git", ".venv", "tests"}
    assert list(found["env_vars"]) == ["RAY_JOB_STOP_WAIT_TIME_S"]
