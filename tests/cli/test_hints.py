"""Commands in hints: named as this user starts raysync, on lines that can be copied."""

from __future__ import annotations

import shutil

import pytest
import typer

from raysync.cli.app import app
from raysync.cli.output.console import say
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.invocation import COMMANDS, as_invoked
from tests.cli.samples import JOB_ID

RESUME = ("resume", "--job-id", JOB_ID)


@pytest.fixture(params=["uv run raysync", "raysync", "/venv/bin/python -m raysync"])
def invocation(request, monkeypatch) -> str:
    """Each of the ways to start raysync."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    monkeypatch.setattr("sys.executable", "/venv/bin/python")
    installed = {"raysync": "/usr/bin/raysync"} if request.param == "raysync" else {}
    monkeypatch.setattr(shutil, "which", installed.get)
    if request.param.startswith("uv"):
        monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    return request.param


def test_every_command_is_named_as_it_was_started(invocation):
    sentence = "Run `raysync db upgrade`, then raysync start --tenant a; see raysync --debug x."

    assert command_line("start", "--tenant", "a b") == f"{invocation} start --tenant 'a b'"
    assert as_invoked(sentence) == sentence.replace("raysync ", f"{invocation} ")
    assert as_invoked(command_line("status")) == command_line("status"), "named once only"


def test_every_registered_command_is_recognized():
    registered = typer.main.get_command(app).commands

    assert sorted(COMMANDS.split("|")) == sorted(registered)


@pytest.mark.parametrize(
    "sentence",
    [
        "this raysync needs PostgreSQL 14",
        "/srv/raysync start",
        "raysync starts its own Ray",
        "raysync status-page",
        "GUILD.raysync start",
    ],
)
def test_other_words_stay_as_they_are(invocation, sentence):
    assert as_invoked(sentence) == sentence


def test_a_suggested_command_is_never_wrapped(invocation, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    suggest("What was stored of takaro stays. Continue this run:", command_line(*RESUME))

    *_, last = capsys.readouterr().err.splitlines()
    assert last == f"  {invocation} resume --job-id {JOB_ID}"


def test_every_sentence_names_commands_as_they_were_started(invocation, capsys):
    say("The schema is older. Run `raysync db upgrade`.")

    assert capsys.readouterr().err == f"The schema is older. Run `{invocation} db upgrade`.\n"


def test_an_error_of_a_lower_layer_names_the_command_as_it_was_started(
    invocation, run, monkeypatch, empty_database_url
):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", empty_database_url)

    result = run("tenant", "list")

    assert result.exit_code == 2
    assert f"`{invocation} db upgrade`" in result.stderr
