"""What a wrong command line of `raysync schedule` or `raysync submit` gives."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

TOKEN = "MTA0NzE0OTk1NDM2NzE5MzA4OA.GQwW1x.R3yJ8vTn2kq0cZbXy7uWm4sLhPdEfAoIg9NtKj"
PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["schedule"], "Missing option '--every'"),
        (["schedule", "--every", "0"], "1s at least"),
        (["schedule", "--every", "1h", "--nonsense"], "No such option: --nonsense"),
        (["schedule", "--every", "1h", "--tenant", "a", "--lookback", "x"], "not a duration"),
        (["schedule", "--every", "1h", "takaro"], "unexpected extra argument"),
        (["schedule", "--every", "1h", "--tenant", TOKEN], "looks like a bot token"),
        (
            ["schedule", "--every", "1h", "--attachments", f"s3://me:{PASSWORD}@host/x"],
            "address with a password",
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_ends_a_schedule_as_sigterm_does(with_database, number):
    command = [sys.executable, "-m", "raysync", "schedule", "--every", "1h"]
    with subprocess.Popen(command, stderr=-1, text=True) as program:
        try:
            said = [program.stderr.readline(), program.stderr.readline()]
            program.send_signal(number)
            program.communicate(timeout=60)
        finally:
            program.kill()

    assert "no active tenant" in said[0]
    assert "ended with exit code 2; the next one is due" in said[1]
    assert program.returncode == 0
