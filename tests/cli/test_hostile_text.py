"""Every command, with names and errors that strangers have written to do harm."""

from __future__ import annotations

import json
import logging

import psycopg
import pytest
from psycopg.types.json import Jsonb

from raysync.cli.output.console import (
    err,
    out,
    plain_table,
    print_json,
    print_line,
    print_output,
    say,
)
from raysync.cli.progress.plain import PlainObserver
from raysync.cli.runs.start import show as show_run
from raysync.cli.runs.verify import _show as show_verification
from raysync.logs import LogFormat, configure_logs
from raysync.models.results import CoverageGap, RunResult, SkippedChannel, Verification
from raysync.models.status import FailureClass
from raysync.models.work import Failure
from raysync.store.archive.page_rows import failure_details
from raysync.store.jobs.rows import view_json
from raysync.visible import visible
from tests.cli.samples import (
    JOB_ID,
    NO_SEARCH,
    STARTED,
    channel_error,
    channel_view,
    failed_channel,
    failed_result,
    job_result,
    job_view,
)

FORGED = "FORGED: all is well"
COMMANDS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\u200b\ufeff\U000e0041\u2028\x85\r\x7f"
HOSTILE = f"evil{COMMANDS}\n{FORGED}"
AUTHOR = "u_" + "a" * 26
WRITTEN = f"hi {COMMANDS.replace(chr(0), '')}\n{FORGED}"


def hostile_result():
    error = channel_error(1).model_copy(update={"error": HOSTILE})
    return job_result(
        status="partial",
        errors=[error, error.model_copy(update={"channel_id": None})],
        skipped=[SkippedChannel(channel_id="7", name=HOSTILE, reason=HOSTILE)],
        channel_results=[failed_result(1).model_copy(update={"error": HOSTILE})],
        not_covered=[NO_SEARCH.model_copy(update={"what": HOSTILE, "reason": HOSTILE})],
        verification=Verification(
            channels=1,
            proven=0,
            gaps=[
                CoverageGap(
                    channel_id="1", name=HOSTILE, after=STARTED, before=STARTED, is_news=False
                )
            ],
        ),
    )


@pytest.fixture
def evil(run, with_database):
    """A tenant of whom everything that strangers may write is hostile."""
    named = HOSTILE.replace("\0", "")
    added = run(
        "tenant", "add", "evil", "--guild", "5", "--token-file", "/x", "--name", "placeholder"
    )
    assert added.exit_code in (0, 2), added.stderr
    with psycopg.connect(with_database) as session:
        session.execute(
            "INSERT INTO tenants (slug, platform_id, name, token_ref) VALUES ('evil', 5, %s, %s)"
            " ON CONFLICT (slug) DO UPDATE"
            " SET name = excluded.name, token_ref = excluded.token_ref",
            (named, f"env:{named}"),
        )
        (tenant,) = session.execute("SELECT id FROM tenants").fetchone()
        (channel,) = session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type)"
            " VALUES (%s, 300, %s, 0) RETURNING id",
            (tenant, named),
        ).fetchone()
        session.execute(
            "INSERT INTO messages (channel_id, platform_message_id, tenant_id,"
            " anonymized_author_id, content, type, platform_created_at, metadata, raw)"
            " VALUES (%s, 1, %s, %s, %s, 0, now(), '{}', %s)",
            (channel, tenant, AUTHOR, WRITTEN, Jsonb({"content": WRITTEN})),
        )
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, completed_at,"
            " error, ray_job_id, result, progress) VALUES (%s, %s, 'verify', 0, 'partial', now(),"
            " %s, %s, %s, %s)",
            (
                JOB_ID,
                tenant,
                named,
                named,
                Jsonb(hostile_result().model_dump(mode="json")),
                view_json(job_view()),
            ),
        )
        (of_job,) = session.execute(
            "INSERT INTO channel_sync_jobs (parent_job_id, channel_id, tenant_id, worker_id,"
            " status, error_details) VALUES (%s, %s, %s, %s, 'failed', %s) RETURNING id",
            (
                JOB_ID,
                channel,
                tenant,
                named,
                Jsonb(failure_details(Failure(FailureClass.PERMANENT, named, named))),
            ),
        ).fetchone()
        session.execute(
            "INSERT INTO dead_letters (tenant_id, channel_id, channel_sync_job_id, failure_class,"
            " error_class, message, attempts) VALUES (%s, %s, %s, 'permanent', %s, %s, 1)",
            (tenant, channel, of_job, named, named),
        )
        session.execute(
            "INSERT INTO audit_log (actor, action, tenant, details) VALUES (%s, %s, 'evil', %s)",
            (named, named, Jsonb({named: named})),
        )
    return with_database


def assert_harmless(*printed: str) -> None:
    for text in printed:
        for line in text.split("\n"):
            assert visible(line) == line, repr(line)
            assert not line.lstrip().startswith(FORGED), "a name has begun a line"
        unended = bool(text) and not text.endswith("\n")
        assert len(text.splitlines()) == text.count("\n") + unended, "something else ends lines"


COMMANDS_OF_ALL = [
    ("tenant", "list"),
    ("tenant", "show", "evil"),
    ("status",),
    ("status", "--tenant", "evil", "--all"),
    ("status", "--job-id", JOB_ID, "--watch"),
    ("report", "--tenant", "evil"),
    ("report", "--tenant", "evil", "--html", "-"),
    ("dead-letters", "list", "--tenant", "evil"),
    ("dead-letters", "show", "--tenant", "evil", "--channel", "300"),
    ("audit",),
    ("privacy", "show", "--tenant", "evil"),
    ("privacy", "retention", "--tenant", "evil"),
    ("forget", "--tenant", "evil", "--list"),
    ("export", "--tenant", "evil", "--format", "jsonl"),
    ("privacy", "export", "--tenant", "evil", "--user", AUTHOR),
    ("doctor", "--tenant", "evil"),
]
WITHOUT_JSON = {"--watch", "--html", "--format", "--user"}


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize("command", COMMANDS_OF_ALL, ids=" ".join)
def test_no_command_prints_what_commands_a_terminal(run, command):
    plain = run(*command)

    assert plain.exit_code in (0, 1), plain.stderr
    assert plain.stdout + plain.stderr
    assert "Unexpected" not in plain.stderr
    assert_harmless(plain.stdout, plain.stderr)


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize(
    "command", [each for each in COMMANDS_OF_ALL if not WITHOUT_JSON & set(each)], ids=" ".join
)
def test_json_is_harmless_and_means_the_same(run, command):
    printed = run(*command, "--json")

    assert_harmless(printed.stdout, printed.stderr)
    json.loads(printed.stdout)


@pytest.mark.usefixtures("evil")
def test_json_has_the_names_as_they_are(run):
    (tenant,) = json.loads(run("tenant", "list", "--json").stdout)
    (letter,) = json.loads(
        run("dead-letters", "list", "--tenant", "evil", "--json").stdout
    ).values()
    (line,) = run("export", "--tenant", "evil", "--format", "jsonl").stdout.splitlines()

    assert tenant["name"] == letter[0]["name"] == HOSTILE
    assert json.loads(line)["content"] == WRITTEN


@pytest.mark.usefixtures("with_database")
def test_errors_quote_nothing_that_commands_a_terminal(run):
    for arguments in (
        ("status", "--tenant", HOSTILE),
        ("status", f"--{COMMANDS}"),
        (f"sta{COMMANDS}tus",),
        ("status", "--job-id", HOSTILE),
        ("export", "--tenant", "evil", "--format", HOSTILE),
        ("export", "--tenant", "x", "--format", "jsonl", "--output", f"/nowhere/{COMMANDS}/x"),
        ("start", "--since", HOSTILE),
        ("submit", "--", HOSTILE),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert_harmless(result.stderr, result.stdout)


@pytest.mark.parametrize("is_debug", [False, True])
def test_an_unexpected_error_of_a_server_is_harmless(run, monkeypatch, is_debug):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", f"postgresql://x@/x?options={COMMANDS}")
    monkeypatch.setenv("RAYSYNC_SECRET_KEY", "x" * 40)

    result = run(*(["--debug"] if is_debug else []), "status")

    assert result.exit_code in (1, 2)
    assert_harmless(result.stderr)


def test_every_way_out_is_harmless(capsys):
    table = plain_table("channel")
    table.add_row(HOSTILE)
    for console in (out(), err()):
        console.print(HOSTILE)
        console.print(table)
        console.out(HOSTILE)
        with console.capture() as capture:
            console.print(HOSTILE)
        assert visible(capture.get()) == capture.get()
    say(HOSTILE)
    print_line(HOSTILE)
    print_line(HOSTILE, err=True)
    print_json(json.dumps(HOSTILE, ensure_ascii=False))
    print_output(HOSTILE)

    for printed in capsys.readouterr():
        assert visible(printed) == printed


def test_what_a_run_and_a_verification_say_is_harmless(capsys):
    job = hostile_result()
    view = job_view(
        channels=(failed_channel(1, HOSTILE), channel_view(2, name=HOSTILE, worker_id=HOSTILE))
    )
    observer = PlainObserver(err(), lambda: 1_000.0)

    observer.progress([view])
    observer.finished(job)
    show_verification(job, 1)
    show_run(RunResult(jobs=[job]), as_json=False)
    show_run(RunResult(jobs=[job]), as_json=True)

    assert_harmless(*capsys.readouterr())


def test_a_warning_that_no_handler_takes_is_one_harmless_line(capsys):
    configure_logs(LogFormat.TEXT)
    root, before = logging.getLogger(), logging.getLogger().handlers
    root.handlers = []
    try:
        logging.getLogger("raysync.anything").warning("a server says %s", HOSTILE)
    finally:
        root.handlers = before

    printed = capsys.readouterr().err
    assert printed.startswith("a server says evil")
    assert len(printed.splitlines()) == 1
    assert_harmless(printed)
