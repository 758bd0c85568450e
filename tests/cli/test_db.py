"""`raysync db`."""

from __future__ import annotations

import psycopg

from raysync.store.embedded import embedded_running, stop_embedded
from raysync.store.job_lock import LOCK_CLASS
from raysync.store.migrate import head
from tests.cli.samples import JOB_ID


def test_upgrade_makes_the_tables_and_is_harmless_again(run, monkeypatch, empty_database_url):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", empty_database_url)

    assert "run `raysync db upgrade`" in run("db", "current").stderr
    assert f"now {head()}" in run("db", "upgrade").stderr
    assert "up to date" in run("db", "upgrade").stderr
    assert run("db", "current").stdout.strip() == head()


def test_url_is_one_that_any_client_reads(run, with_database):
    url = run("db", "url").stdout.strip()

    with psycopg.connect(url) as session:
        assert session.execute("SELECT count(*) FROM tenants").fetchone() == (0,)


def test_the_embedded_server_starts_on_demand_and_stops_when_told(run, tmp_path):
    home = tmp_path / "home"
    try:
        assert run("tenant", "list").exit_code == 0
        assert embedded_running(home)
        assert "is stopped" in run("db", "stop").stderr
        assert not embedded_running(home)
        assert "was not running" in run("db", "stop").stderr
    finally:
        stop_embedded(home)


def test_the_embedded_server_is_not_stopped_under_a_running_sync(run, tmp_path):
    home = tmp_path / "home"
    try:
        run("tenant", "add", "takaro", "--guild", "5", "--token-env", "T")
        with psycopg.connect(run("db", "url").stdout.strip(), autocommit=True) as driver:
            driver.execute(
                "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s) "
                "SELECT %s, id, 'full', 0 FROM tenants",
                (JOB_ID,),
            )
            driver.execute("SELECT pg_advisory_lock(%s, id::integer) FROM tenants", (LOCK_CLASS,))

            refused = run("db", "stop")

            assert refused.exit_code == 2
            assert f"raysync cancel --job-id {JOB_ID}" in refused.stderr
            assert embedded_running(home)
            assert run("db", "stop", "--force").exit_code == 0
        assert not embedded_running(home)
        assert run("db", "url").exit_code == 0
        assert run("db", "stop").exit_code == 0, "that job's driver is gone"
    finally:
        stop_embedded(home)


def test_an_embedded_server_without_tables_is_stopped(run, tmp_path):
    try:
        assert run("db", "url").exit_code == 0
        assert run("db", "stop").exit_code == 0
    finally:
        stop_embedded(tmp_path / "home")


def test_a_server_of_the_user_is_not_stopped(run, with_database):
    result = run("db", "stop")

    assert result.exit_code == 2
    assert "RAYSYNC_DATABASE_URL" in result.stderr
