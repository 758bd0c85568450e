"""What a wrong command line of `raysync schedule` or `raysync submit` gives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import psycopg
import pytest

from raysync.errors import TokenUnavailableError
from raysync.models.entities import Privacy, TenantStatus
from raysync.models.ids import GuildId
from raysync.run.schedule import require_runnable
from raysync.settings import Settings
from raysync.store.tenants import TenantStore

TOKEN = "MTA0NzE0OTk1NDM2NzE5MzA4OA.GQwW1x.R3yJ8vTn2kq0cZbXy7uWm4sLhPdEfAoIg9NtKj"
PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["schedule"], "Missing option '--every'"),
        (["schedule", "--every", "0"], "shorter than 1s"),
        (["schedule", "--every", "1h", "--nonsense"], "No such option: --nonsense"),
        (["schedule", "--every", "1h", "--tenant", "a", "--lookback", "x"], "not a duration"),
        (["schedule", "--every", "1h", "takaro"], "unexpected extra argument"),
        (["schedule", "--every", "1h", "--tenant", TOKEN], "looks like a bot token"),
        (
            ["schedule", "--every", "1h", "--attachments", f"s3://me:{PASSWORD}@host/x"],
            "URL with a password",
        ),
        (["submit"], "Missing argument"),
        (["submit", "--", "start", "--nonsense"], "No such option: --nonsense"),
        (["submit", "--", "demo"], "not run on a cluster"),
        (["submit", "--", "resume", "--job-id", "7"], "not a job's id"),
        (["submit", "--", "start", "--tenant", TOKEN], "looks like a bot token"),
        (["submit", "--address", "ftp//x", "--", "start"], "not the address of a Ray cluster"),
        (["submit", "--address", "http://127.0.0.1:1", "--", "start"], "Connection refused"),
        (
            ["submit", "--address", f"http://me:{PASSWORD}@127.0.0.1:1", "--", "start"],
            "cluster at http://127.0.0.1:1: Connection refused",
        ),
    ],
)
def test_a_wrong_command_line_is_told_and_exits_2(run, arguments, sentence):
    result = run(*arguments)

    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.stderr.split())
    assert TOKEN[:20] not in result.output
    assert PASSWORD not in result.output


def test_a_database_that_is_away_at_the_beginning_ends_the_schedule(run, monkeypatch):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", "postgresql://u@127.0.0.1:1/db")

    result = run("schedule", "--every", "1h")

    assert result.exit_code == 2
    assert "127.0.0.1, port 1" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tenant", "nobody"], "There is no tenant nobody"),
        (["--tenant", "takaro", "--tenant", "nobody"], "There is no tenant nobody"),
        (["--tenant", "takaro"], "The environment variable T, which should hold the bot token"),
        ([], "The environment variable T, which should hold the bot token"),
    ],
)
def test_a_schedule_that_could_never_run_is_refused_at_once(run, takaro, options, sentence):
    result = run("schedule", "--every", "1h", *options)

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not _entries(run, "schedule"), "a tick that nothing was done in is no entry"


def test_a_schedule_without_any_tenant_or_with_another_key_is_refused(
    run, monkeypatch, with_database
):
    empty = run("schedule", "--every", "1h")
    monkeypatch.setenv("T", "a token")
    run("tenant", "add", "takaro", "--guild", "5", "--token-env", "T", "--no-check")
    with psycopg.connect(with_database) as session:
        session.execute("INSERT INTO key_checks (tenant_id, mark) SELECT id, 'other' FROM tenants")
    other_key = run("schedule", "--every", "1h", "--tenant", "takaro")

    assert (empty.exit_code, other_key.exit_code) == (2, 2)
    assert "There is no tenant to sync yet" in empty.stderr
    assert "another RAYSYNC_SECRET_KEY" in other_key.stderr


async def test_a_schedule_of_paused_tenants_waits_and_says_so(engine, tmp_path):
    tenants = TenantStore(engine)
    await tenants.add("takaro", GuildId(5), "takaro", "env:NOT_SET", Privacy.FULL)
    await tenants.set_status("takaro", TenantStatus.MAINTENANCE)
    settings = Settings(RAYSYNC_HOME=tmp_path, RAYSYNC_SECRET_KEY="a key of the tests alone")

    assert "paused" in (await require_runnable(engine, settings, []))[0]
    with pytest.raises(TokenUnavailableError):  # a run that names it syncs it
        await require_runnable(engine, settings, ["takaro"])


def _entries(run, action):
    entries = json.loads(run("audit", "--json").stdout)["entries"]
    return [each for each in entries if each["action"] == action]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_ends_a_schedule_as_sigterm_does(run, takaro, number):
    assert run("tenant", "pause", "takaro").exit_code == 0
    command = [sys.executable, "-m", "raysync", "schedule", "--every", "1h"]
    with subprocess.Popen(command, stderr=-1, text=True) as program:
        try:
            for line in program.stderr:
                if "ended with exit code 2; the next one is due" in line:
                    break
            program.send_signal(number)
            program.communicate(timeout=60)
        finally:
            program.kill()

    assert program.returncode == 0
