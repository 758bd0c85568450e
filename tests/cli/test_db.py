"""`raysync db`."""

from __future__ import annotations

import json

import psycopg
import pytest
from sqlalchemy import make_url

from raysync.store.server import embedded_use
from raysync.store.server.embedded import embedded_running, stop_embedded
from raysync.store.server.embedded_use import in_use, unused
from raysync.store.server.migrate import head
from tests.cli.samples import JOB_ID
from tests.hostile import hostile_database
from tests.pgbouncer import pooled


def test_upgrade_makes_the_tables_and_is_harmless_again(run, monkeypatch, empty_database_url):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", empty_database_url)

    assert "raysync db upgrade" in run("db", "current").stderr
    assert f"from empty to {head()}" in run("db", "upgrade").stderr
    assert "up to date" in run("db", "upgrade").stderr
    assert run("db", "current").stdout.strip() == head()


def test_url_is_one_that_any_client_reads(run, with_database):
    url = run("db", "url").stdout.strip()

    with psycopg.connect(url) as session:
        assert session.execute("SELECT count(*) FROM tenants").fetchone() == (0,)


def test_the_url_of_the_embedded_server_holds_nothing_that_a_client_might_not_know(run, tmp_path):
    try:
        url = make_url(run("db", "url").stdout.strip())

        assert (url.drivername, url.database) == ("postgresql", "raysync")
        assert url.query.keys() == {"host", "port"}
    finally:
        stop_embedded(tmp_path / "home")


def test_the_url_of_the_embedded_server_is_read_wherever_it_lies(run, monkeypatch, tmp_path):
    home = tmp_path / "a b+%41 ü'\"#?@&=$"
    monkeypatch.setenv("RAYSYNC_HOME", str(home))
    try:
        url = run("db", "url").stdout.strip()

        with psycopg.connect(url) as session:  # hands it to libpq, as psql does
            assert session.execute("SELECT current_database()").fetchone() == ("raysync",)
    finally:
        stop_embedded(home)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:p@ss/w#rd@127.0.0.1:1/db", "percent-encoded"),
        ("postgresql://u:hunter2@127.0.0.1:1/db?sslmod=require", "Did you mean sslmode?"),
        ("mysql://u:hunter2@127.0.0.1:1/db", "not mysql://"),
        ("postgresql://u:hunter2@127.0.0.1:x/db", "port must be a number"),
    ],
)
def test_a_misspelled_url_is_told_at_once_by_every_command(run, monkeypatch, url, said):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", url)
    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "a secret key of the tests alone")
    for command in (
        ("db", "url"),
        ("start",),
        ("schedule", "--every", "1h"),
        ("tenant", "add", "a", "--guild", "5", "--token-env", "T"),
    ):
        result = run(*command)
        assert (result.exit_code, said in result.stderr) == (2, True), (command, result.stderr)
        assert "hunter2" not in result.output
        assert "w#rd" not in result.output
    found = json.loads(run("doctor", "--json").stdout)["checks"]
    assert [each["status"] for each in found if said in each["says"]] == ["fail"]


def test_the_embedded_server_starts_on_demand_and_stops_when_told(run, tmp_path):
    home = tmp_path / "home"
    try:
        assert run("tenant", "list").exit_code == 0
        assert embedded_running(home)
        assert "was stopped" in run("db", "stop").stderr
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
            driver.execute(
                "UPDATE locks SET holder = 'it', backend_pid = a.pid, taken_at = now(),"
                " backend_start = a.backend_start, renewed_at = now(),"
                " expires_at = now() + interval '1 hour'"
                " FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()"
            )

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


def test_a_command_that_has_just_begun_keeps_the_embedded_server(run, tmp_path):
    home = tmp_path / "home"
    try:
        assert run("db", "url").exit_code == 0
        with in_use(home):  # as `start` does before there is a job
            refused = run("db", "stop")

            assert refused.exit_code == 2
            assert "uses the embedded server" in refused.stderr
            assert embedded_running(home)
            assert run("db", "stop", "--force").exit_code == 0
        assert not embedded_running(home)
    finally:
        stop_embedded(home)


def test_a_command_that_begins_during_a_stop_waits_for_it(run, monkeypatch, tmp_path):
    home = tmp_path / "home"
    monkeypatch.setattr(embedded_use, "STOPPED_WITHIN_S", 0.0)  # it waits, and not for long
    try:
        assert run("db", "url").exit_code == 0
        with unused(home):
            for command in (("start",), ("tenant", "list"), ("resume", "--job-id", JOB_ID)):
                waited = run(*command)
                assert (waited.exit_code, "has been stopping" in waited.stderr) == (2, True)
            assert run("status").exit_code == 0, "it only looks, and ends at once"
        assert run("tenant", "list").exit_code == 0
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


@pytest.fixture(params=["LATIN1", "SQL_ASCII", "a pooler of transactions"])
def unusable(request, postgres_url, empty_database_url):
    """The URL of a database that raysync cannot use, and what is wrong with it."""
    if request.param.startswith("a pooler"):
        with pooled(empty_database_url, "transaction") as url:
            yield url, "pool_mode = session"
    else:
        with hostile_database(postgres_url, request.param) as url:
            yield url, f"has the encoding {request.param}"


def test_a_database_that_cannot_be_used_is_told_in_a_sentence_by_every_command(
    run, monkeypatch, unusable
):
    url, wrong = unusable
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", url)
    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "a secret key of the tests alone")
    for command in (
        ("db", "upgrade"),
        ("db", "current"),
        ("start",),
        ("resume", "--job-id", JOB_ID),
        ("status",),
        ("tenant", "list"),
        ("tenant", "add", "takaro", "--guild", "5", "--token-env", "T"),
        ("db", "grant-worker", "--role", "role_worker"),
    ):
        result = run(*command)
        assert (result.exit_code, wrong in result.stderr) == (2, True), (command, result.stderr)
        assert "Traceback" not in result.stderr
    found = json.loads(run("doctor", "--json").stdout)["checks"]

    assert [each["status"] for each in found if wrong in each["says"]] == ["fail"]
