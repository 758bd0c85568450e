"""`raysync db`."""

from __future__ import annotations

import psycopg

from raysync.store.embedded import embedded_running, stop_embedded
from raysync.store.migrate import head


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


def test_a_server_of_the_user_is_not_stopped(run, with_database):
    result = run("db", "stop")

    assert result.exit_code == 2
    assert "RAYSYNC_DATABASE_URL" in result.stderr
