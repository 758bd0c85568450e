"""`raysync tenant`."""

from __future__ import annotations

import json

import psycopg
import pytest
from rich.console import Console

from raysync.cli.output.console import plain_table

GUILD = "123456789012345678"
TOKEN = "MTA0NzE0OTk1NDM2NzE5MzA4OA.GQwW1x.R3yJ8vTn2kq0cZbXy7uWm4sLhPdEfAoIg9NtKj"

pytestmark = pytest.mark.usefixtures("with_database")


@pytest.fixture
def takaro(run, monkeypatch):
    monkeypatch.setenv("TAKARO_TOKEN", TOKEN)
    added = run("tenant", "add", "takaro", "--guild", GUILD, "--token-env", "TAKARO_TOKEN")
    assert added.exit_code == 0, added.stderr
    return added


def test_an_added_tenant_is_listed_and_shown(run, takaro):
    assert "raysync start --tenant takaro" in takaro.stderr
    listed = run("tenant", "list").stdout
    assert "takaro" in listed
    assert GUILD in listed
    shown = json.loads(run("tenant", "show", "takaro", "--json").stdout)
    assert shown["guild_id"] == GUILD
    assert shown["token"] == "env:TAKARO_TOKEN"
    assert shown["privacy"] == "pseudonymous"
    assert "env:TAKARO_TOKEN" in run("tenant", "show", "takaro").stdout


def test_a_list_into_a_pipe_cuts_and_breaks_nothing(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    reference = ("--token-env", "DISCORD_TOKEN_OF_THE_LARGE_SERVER")
    assert run("tenant", "add", "takaro", "--guild", GUILD, *reference).exit_code == 0

    cells = run("tenant", "list").stdout.split()

    assert GUILD in cells
    assert f"env:{reference[1]}" in cells
    assert cells.count("takaro") == 1, "a name that is the slug tells nothing"


def test_a_narrow_table_breaks_ids_and_cuts_names_of_channels_alone():
    table = plain_table("channel", "guild")
    table.add_row("#a-channel-with-a-long-name", GUILD)
    console = Console(width=20, color_system=None)
    with console.capture() as capture:
        console.print(table)

    lines = capture.get().splitlines()[2:]

    assert "…" in lines[0]
    assert "".join(line.split()[-1] for line in lines) == GUILD


def test_no_tenant_is_a_hint_and_an_empty_list(run):
    assert "raysync tenant add" in run("tenant", "list").stderr
    assert json.loads(run("tenant", "list", "--json").stdout) == []


def test_a_variable_that_is_not_set_is_a_note(run):
    result = run("tenant", "add", "a", "--guild", GUILD, "--token-env", "NOT_SET_ANYWHERE")

    assert result.exit_code == 0
    assert "NOT_SET_ANYWHERE is not set here" in result.stderr


def test_a_token_from_stdin_is_kept_sealed(run, with_database):
    result = run("tenant", "add", "a", "--guild", GUILD, "--token-stdin", stdin=f"{TOKEN}\n")

    assert result.exit_code == 0
    with psycopg.connect(with_database) as session:
        row = session.execute("SELECT token_ref, token_sealed FROM tenants").fetchone()
    assert row[0] == "stored"
    assert TOKEN.encode() not in bytes(row[1])
    assert TOKEN not in result.output


def test_a_token_file_open_to_others_is_a_note(run, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)

    result = run("tenant", "add", "a", "--guild", GUILD, "--token-file", str(file))

    assert result.exit_code == 0
    assert f"chmod 600 {file}" in result.stderr
    assert TOKEN not in result.output


@pytest.mark.parametrize(
    ("slug", "guild"), [("takaro", "5"), ("other", GUILD), ("No Slug", "6"), ("-x", "7")]
)
def test_a_slug_or_guild_that_cannot_be_had_exits_2(run, takaro, slug, guild):
    result = run("tenant", "add", "--guild", guild, "--token-env", "T", "--", slug)

    assert result.exit_code == 2
    assert result.stderr.strip()
    assert "is not set here" not in result.stderr, "what was not added needs no token"
    assert "Traceback" not in result.output


def test_a_paused_tenant_is_passed_over_until_it_is_unpaused(run, takaro):
    def status():
        return json.loads(run("tenant", "show", "takaro", "--json").stdout)["status"]

    paused = run("tenant", "pause", "takaro")
    assert (paused.exit_code, status()) == (0, "maintenance")
    assert "raysync tenant unpause takaro" in paused.stderr
    passed_over = run("start")
    assert passed_over.exit_code == 2
    assert "no active tenant" in passed_over.stderr

    assert run("tenant", "unpause", "takaro").exit_code == 0
    assert status() == "active"
    entries = json.loads(run("audit", "--json").stdout)["entries"]
    assert [each["action"] for each in entries] == ["tenant unpause", "tenant pause", "tenant add"]


@pytest.mark.parametrize("command", [["show"], ["remove", "--yes"], ["pause"], ["unpause"]])
def test_an_unknown_tenant_exits_2(run, command):
    result = run("tenant", *command, "nobody")

    assert result.exit_code == 2
    assert "nobody" in result.stderr


def test_removing_needs_a_yes_where_nobody_can_be_asked(run, takaro):
    assert run("tenant", "remove", "takaro").exit_code == 2
    assert run("tenant", "show", "takaro").exit_code == 0

    assert run("tenant", "remove", "takaro", "--yes").exit_code == 0
    assert run("tenant", "show", "takaro").exit_code == 2
