"""What a wrong command line gives: a sentence, and exit code 2."""

from __future__ import annotations

import errno

import pytest

from raysync.cli.error_handling import RaysyncGroup
from raysync.store.archive.dead_letters import COOL_DOWN_DAYS

GUILD = "123456789012345678"
TOKEN = "MTA0NzE0OTk1NDM2NzE5MzA4OA.GQwW1x.R3yJ8vTn2kq0cZbXy7uWm4sLhPdEfAoIg9NtKj"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["start", "--full", "--incremental"], "exclude each other"),
        (["start", "--full", "--lookback", "3d"], "--lookback does not go with --full"),
        (["start", "--full", "--archives-every", "6h"], "--archives-every does not go with --full"),
        (["start", "--channel", "1", "--archives-every", "0"], "--archives-every does not go"),
        (["start", "--since", "2026-02-01", "--until", "2026-01-01"], "must be before --until"),
        (["start", "--since", "yesterday"], "not an ISO date"),
        (["start", "--lookback", "7"], "not a duration"),
        (["start", "--channel", "general"], "not a Discord id"),
        (["start", "--workers", "0"], "--workers"),
        (["tenant", "add", "a", "--guild", GUILD], "exactly one of --token-env"),
        (["tenant", "add", "a", "--guild", GUILD, "--token-env", "X", "--token-stdin"], "exactly"),
        (["tenant", "add", "a", "--guild", GUILD, "--token-env", TOKEN], "NAME of an environment"),
        (["tenant", "add", "a", "--guild", TOKEN, "--token-env", "X"], "not a Discord id"),
        (["tenant", "add", "a", "--guild", GUILD, "--token-stdin"], "no token on stdin"),
        (["export", "--tenant", "a", "--format", "csv"], "'--format': 'csv' is not one of 'jsonl'"),
        (["emulator", "serve", "--messages", "x"], "'--messages': must be a whole number."),
        (["emulator", "serve", "--speed", "x"], "'--speed': must be a number."),
        (["verify", "--tenant", "a", "--sample", "-1"], "'--sample': must be at least 0."),
        (["nonsense"], "No such command"),
    ],
)
def test_a_wrong_command_line_is_told_and_exits_2(run, arguments, sentence):
    result = run(*arguments)

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert TOKEN[:20] not in result.output


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SYNC_MAX_CHANNEL_WORKERS", "many", "it must be a whole number."),
        ("SYNC_LOG_FORMAT", "loud", "it must be 'text' or 'json'."),
        ("RAYSYNC_SECRET_KEY", "short-secret", "it must have at least 16 characters"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_not_shown(run, monkeypatch, name, value, why):
    monkeypatch.setenv(name, value)

    result = run("tenant", "list")

    assert result.exit_code == 2
    assert f"{name} cannot be used: {why}" in " ".join(result.stderr.split())
    assert value not in result.output


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://u:hush@localhost/db", "must begin with postgresql://"),
        ("postgresql://u:hush@127.0.0.1:1/db", "db at 127.0.0.1, port 1"),
    ],
)
def test_a_database_that_cannot_be_used_exits_2_without_its_password(
    run, monkeypatch, url, sentence
):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", url)

    result = run("tenant", "list")

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert "hush" not in result.output


def test_a_database_without_tables_says_how_to_make_them(run, monkeypatch, empty_database_url):
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", empty_database_url)

    result = run("tenant", "list")

    assert result.exit_code == 2
    assert "raysync db upgrade" in result.stderr


def test_what_nobody_foresaw_is_a_sentence_and_debug_shows_where(run, monkeypatch):
    def explode(*_args: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("raysync.settings.read_settings", explode)

    plain, debug = run("tenant", "list"), run("--debug", "tenant", "list")

    assert (plain.exit_code, debug.exit_code) == (1, 1)
    assert "Unexpected ZeroDivisionError: of all things" in plain.stderr
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr


def test_too_few_open_files_are_told_with_what_to_do(run, monkeypatch):
    def fail(*_args: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("raysync.settings.read_settings", fail)

    result = run("tenant", "list")

    assert result.exit_code == 1
    assert "Too many open files. Raise the limit in this shell (ulimit -n" in result.stderr


def test_ctrl_c_exits_130(run, monkeypatch):
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("raysync.settings.read_settings", interrupt)

    result = run("tenant", "list")

    assert (result.exit_code, result.stderr.strip()) == (130, "Interrupted.")


@pytest.mark.parametrize("group", ["tenant", "privacy", "dead-letters", "db", "emulator"])
def test_a_group_without_a_command_shows_which_it_has(run, group):
    told = run(group).output

    assert "Commands:" in told
    assert "Missing command" not in told


def test_the_root_names_its_version(run):
    from raysync import __version__

    assert run("--version").stdout == f"raysync {__version__}\n"


def test_the_help_of_retry_names_the_cooldown(run):
    told = " ".join(run("dead-letters", "retry", "--help").stdout.split())

    assert f"cooldown ({COOL_DOWN_DAYS} days after" in told


def test_every_command_explains_itself(run):
    from typer.main import get_command

    from raysync.cli.app import app

    root = get_command(app)
    assert isinstance(root, RaysyncGroup)
    for name, command in root.commands.items():
        assert run(name, "--help").exit_code == 0
        for sub in getattr(command, "commands", {}):
            assert run(name, sub, "--help").exit_code == 0
