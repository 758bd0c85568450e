"""Runs commands in process, on a database of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from raysync.cli.app import app
from raysync.models.ids import JobId
from tests.cli.samples import JOB_ID

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test."""
    for name in os.environ:
        if name.startswith(("RAYSYNC_", "SYNC_", "RAY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RAYSYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAYSYNC_DISCORD_API_URL", "http://127.0.0.1:1/api/v10")  # nobody is there
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def run() -> Run:
    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return invoke


@pytest.fixture
def with_database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    """Commands use this migrated database."""
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", database_url)
    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "a secret key of the tests alone")
    return database_url


@pytest.fixture
def takaro(run: Run, with_database: str) -> str:
    """A tenant, in the database with this URL."""
    added = run("tenant", "add", "takaro", "--guild", "5", "--token-env", "T")
    assert added.exit_code == 0, added.stderr
    return with_database


@pytest.fixture
def job(takaro: str) -> JobId:
    """A job of takaro's that ended with nothing to show for it."""
    with psycopg.connect(takaro) as session:
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, completed_at) "
            "SELECT %s, id, 'full', 0, 'cancelled', now() FROM tenants",
            (JOB_ID,),
        )
    return JOB_ID
