"""Commands that only look answer in an archive of any size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import typer
from sqlalchemy import Engine, event, make_url

from raysync.cli.app import app
from tests.bench.bench_large import LOOKS
from tests.bench.large_archive import fill
from tests.conftest import database_like

MESSAGES = 20_000
CLAIMED = 40_000_000
QUARANTINED = 5_000
MOST_ROWS = 1_500
"""Rows of messages and their parts that a command may read: 1,001 quarantined ones, and some."""
LARGE = {"messages", "message_versions", "message_emoji_reactions", "message_attachments"}
SHOWING = {
    "status", "report", "doctor", "audit", "db current", "db url", "tenant list", "tenant show",
    "dead-letters list", "dead-letters show", "forget", "privacy show", "privacy retention",
}  # fmt: skip
"""Commands that only look, by default or with an option."""
WORKING = {
    "start", "submit", "schedule", "resume", "cancel", "verify", "reset", "export", "demo",
    "emulator serve", "dead-letters retry", "privacy purge", "privacy rescrub",
    "privacy rotate", "privacy accept-key", "privacy export", "db upgrade", "db stop",
    "db grant-analyst", "db revoke-analyst", "db grant-worker", "db revoke-worker", "tenant add",
    "tenant pause", "tenant unpause", "tenant remove", "tail",
}  # fmt: skip
_COUNTING = {
    "privacy show --tenant small",  # few enough to be counted, within a second
    "privacy show --tenant tiny",
    "privacy purge --tenant largest",  # goes on to work, as nothing is due
}
_LOOKS = [
    *(look for look in LOOKS if look not in _COUNTING),
    "dead-letters show --tenant largest --channel {channel}",
    "status --job-id {job} --all",
    "report --job-id {job} --json",
    "db url",
]
_COUNT = "SELECT count(*) FROM messages WHERE tenant_id = 1"

Statement = tuple[str, Any]


@pytest.fixture(scope="module")
def filled_url(postgres_url: str, template_url: str) -> Iterator[str]:
    """A database whose counters claim forty million messages, many of them quarantined."""
    with database_like(postgres_url, str(make_url(template_url).database)) as url:
        _fill(url)
        yield url


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, filled_url: str) -> str:
    """Commands use the filled database, which none of them changes."""
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", filled_url)
    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "a secret key of the tests alone")
    return filled_url


def _fill(url: str) -> None:
    fill(url, MESSAGES, jobs=2)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            "UPDATE sync_progress SET message_count = message_count * %s", (CLAIMED // MESSAGES,)
        )
        session.execute(
            "UPDATE messages SET quarantine = '{type}' WHERE (channel_id, platform_message_id) IN ("
            "SELECT channel_id, platform_message_id FROM messages WHERE tenant_id = 1 LIMIT %s)",
            (QUARANTINED,),
        )
        session.execute(
            "INSERT INTO dead_letters (tenant_id, channel_id, channel_sync_job_id, failure_class,"
            " error_class, message, attempts) SELECT DISTINCT ON (channel_id) tenant_id,"
            " channel_id, id, 'permanent', 'AccessDeniedError', 'no', 1"
            " FROM channel_sync_jobs WHERE tenant_id = 1"
        )
        session.execute("VACUUM (ANALYZE)")


@pytest.fixture
def statements() -> Iterator[list[Statement]]:
    """Statements that the test's commands send, with their values."""
    sent: list[Statement] = []

    def note(_c: object, _r: object, statement: str, values: Any, _x: object, _m: object) -> None:
        sent.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


def _read(plan: dict[str, Any], times: float = 1.0, most: float = float("inf")) -> float:
    """Return the rows of large tables that a plan reads. A sample of blocks counts as none.

    *most* is the limit of the nodes above. It holds only as far as rows pass one by one.
    """
    kind = plan["Node Type"]
    if kind == "Limit":
        most = min(most, plan["Plan Rows"])
    elif kind in {"Aggregate", "Sort", "Hash", "Materialize"} or "CTE Name" in plan:
        most = float("inf")
    read = 0.0
    if plan.get("Relation Name") in LARGE and kind != "Sample Scan":
        read += min(plan["Plan Rows"], most) * times
    inputs = plan.get("Plans", [])
    for place, below in enumerate(inputs):
        is_inner = kind == "Nested Loop" and place > 0
        repeated = max(inputs[0]["Plan Rows"], 1) if is_inner else 1
        read += _read(below, times * repeated, most)
    return read


def _rows_read(session: psycopg.Connection[Any], statement: str, values: Any) -> float:
    asked = f"EXPLAIN (FORMAT JSON) {statement}".encode()
    row = session.execute(asked, values).fetchone()
    assert row is not None
    return _read(row[0][0]["Plan"])


@pytest.mark.parametrize("look", _LOOKS)
def test_a_command_that_looks_reads_no_table_of_messages_whole(run, large, statements, look):
    with psycopg.connect(large) as session:
        (channel,) = session.execute("SELECT min(platform_channel_id) FROM channels").fetchone()
        (job,) = session.execute("SELECT min(id::text) FROM sync_jobs").fetchone()

    result = run(*look.format(channel=channel, job=job).split())

    asks = "--yes" in result.stderr
    is_doctor = look == "doctor"  # the tenants' token is not there
    assert result.exit_code == (2 if asks else 1 if is_doctor else 0), result.output
    with psycopg.connect(large) as session:
        for statement, values in statements:
            if statement.lstrip().upper().startswith(("SELECT", "WITH")):
                assert _rows_read(session, statement, values) <= MOST_ROWS, statement
    assert statements or look.startswith("db ")
    assert not [text for text, _ in statements if "statement_timeout = 0" in text]


def test_a_count_would_be_noticed(large):
    with psycopg.connect(large) as session:
        assert _rows_read(session, _COUNT, None) > MOST_ROWS
        bounded = f"SELECT count(*) FROM ({_COUNT.replace('count(*)', '')} LIMIT 100) some_of_them"
        assert _rows_read(session, bounded, None) <= MOST_ROWS


def test_each_command_is_known_to_look_or_to_work():
    assert set(_commands(typer.main.get_command(app))) == SHOWING | WORKING
    assert not SHOWING & WORKING
    measured = {command for command in SHOWING for look in _LOOKS if look.startswith(command)}
    assert measured == SHOWING


def _commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[str]:
    if not hasattr(group, "commands"):
        yield " ".join(before)
        return
    for name, command in group.commands.items():
        yield from _commands(command, (*before, name))


@pytest.mark.parametrize(
    "look",
    [
        look
        for look in _LOOKS
        if not look.startswith(("db ", "privacy rescrub")) and "{" not in look
    ],
)
def test_a_command_that_looks_ends_with_a_sentence_at_its_limit(run, takaro, monkeypatch, look):
    monkeypatch.setattr("raysync.database.LOOK_TIMEOUT_S", 1)
    with psycopg.connect(takaro) as session:
        session.execute("LOCK TABLE tenants, audit_log, sync_jobs")

        result = run(*look.split())

    assert result.exit_code == 1
    assert "took longer than its limit" in result.stderr
    assert "Traceback" not in result.output


def test_estimates_are_marked_and_exact_counts_are_true(run, large):
    show = ("privacy", "show", "--tenant", "largest")
    with psycopg.connect(large) as session:
        (authors, versions) = session.execute(
            "SELECT count(DISTINCT anonymized_author_id), (SELECT count(*) FROM message_versions v"
            " JOIN channels c ON c.id = v.channel_id WHERE c.tenant_id = 1)"
            " FROM messages WHERE tenant_id = 1"
        ).fetchone()

    lines = run(*show).stdout.splitlines()
    shown = json.loads(run(*show, "--json").stdout)
    exact = json.loads(run(*show, "--exact", "--json").stdout)

    assert shown["estimated"] == [
        "authors", "deleted_messages", "versions", "reactors", "attachments", "stored_files",
    ]  # fmt: skip
    assert all(type(shown["kept"][name]) is int for name in shown["estimated"])
    labelled = {line[:26].strip(): line[26:] for line in lines}
    assert labelled["authors"].startswith("at least ")
    assert labelled["versions"].startswith("about ")
    assert labelled["messages"] == f"{shown['kept']['messages']:,}"
    assert "--exact" in labelled["exact numbers"]
    assert exact["estimated"] == []
    assert (exact["kept"]["authors"], exact["kept"]["versions"]) == (authors, versions)
    assert exact["kept"]["messages"] == MESSAGES * 0.7 + 2


def test_many_quarantined_messages_are_more_than_counted(run, large):
    (job,) = json.loads(run("status", "--tenant", "largest", "--json").stdout)["jobs"]

    assert (job["quarantined"], job["estimated"]) == (1_000, ["quarantined"])
    assert "more than 1,000 messages" in run("status", "--tenant", "largest").stdout
    doctor = json.loads(run("doctor", "--tenant", "largest", "--json").stdout)
    (found,) = [check for check in doctor["checks"] if check["name"] == "quarantine"]
    assert found["says"].startswith("More than 1000 stored messages in ")
    (other,) = json.loads(run("status", "--tenant", "tiny", "--json").stdout)["jobs"]
    assert (other["quarantined"], other["estimated"]) == (0, [])
