"""`raysync tenant add` asks Discord once whether the bot is in the guild, where it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysync.cli.app import app
from raysync.emulator import (
    Action,
    Emulator,
    EmulatorThread,
    FaultRule,
    GuildSpec,
    World,
    generate_guild,
)
from raysync.emulator.faults import FaultScript

TOKEN = "a-token"
NOBODYS_GUILD = "999999999999999999"


@pytest.fixture
def emulator(
    monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path
) -> Iterator[Emulator]:
    world = World(generate_guild(GuildSpec(text_channels=1, text_messages=5)))
    world.add_bot(TOKEN)
    with EmulatorThread(world) as emulator:
        for name, value in {
            "RAYSYNC_HOME": str(tmp_path / "home"),
            "RAYSYNC_DATABASE_URL": database_url,
            "RAYSYNC_SECRET_KEY": "a secret key of the tests alone",
            "RAYSYNC_DISCORD_API_URL": emulator.url,
            "DISCORD_TOKEN": TOKEN,
            "WRONG_TOKEN": "another-token",
        }.items():
            monkeypatch.setenv(name, value)
        yield emulator


def add(guild: object, *options: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(
        app, ["tenant", "add", "takaro", "--guild", str(guild), *options], input=stdin
    )


def shown(*arguments: str) -> list[dict[str, str]]:
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    return found["entries"] if arguments == ("audit",) else found


def guild_of(emulator: Emulator) -> int:
    (guild_id,) = emulator.world.guilds
    return guild_id


@pytest.mark.parametrize("kind", ["env", "file", "stdin"])
def test_the_bots_own_guild_is_added_after_one_look(
    emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    options = {
        "env": ("--token-env", "DISCORD_TOKEN"),
        "file": ("--token-file", str(tmp_path / "token")),
        "stdin": ("--token-stdin",),
    }[kind]

    result = add(guild_of(emulator), *options, stdin=TOKEN)

    assert result.exit_code == 0, result.stderr
    assert "not checked" not in result.stderr
    assert len(emulator.log.entries) <= 3
    assert [each["tenant"] for each in shown("tenant", "list")] == ["takaro"]


@pytest.mark.parametrize(
    ("is_own", "options", "said"),
    [
        (False, ("--token-env", "DISCORD_TOKEN"), f"The bot is not in the guild {NOBODYS_GUILD}"),
        (True, ("--token-env", "WRONG_TOKEN"), "Reset Token"),
        (False, ("--token-stdin",), f"The bot is not in the guild {NOBODYS_GUILD}"),
    ],
)
def test_a_guild_that_is_not_the_bots_is_refused_and_nothing_is_stored(
    emulator: Emulator, is_own: bool, options: tuple[str, ...], said: str
) -> None:
    result = add(guild_of(emulator) if is_own else NOBODYS_GUILD, *options, stdin=TOKEN)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "--no-check" in result.stderr
    assert TOKEN not in result.output
    assert shown("tenant", "list") == []
    assert shown("audit") == []


def test_a_guild_is_added_unchecked_on_demand_and_nothing_is_asked(emulator: Emulator) -> None:
    result = add(NOBODYS_GUILD, "--token-env", "DISCORD_TOKEN", "--no-check")

    assert result.exit_code == 0
    assert emulator.log.entries == []
    assert len(shown("tenant", "list")) == 1


@pytest.mark.parametrize("case", ["no token here", "no Discord", "a ban", "a failure"])
def test_where_nobody_can_tell_it_is_added_and_that_is_said(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    if case == "no token here":
        monkeypatch.delenv("DISCORD_TOKEN")
    elif case == "no Discord":
        monkeypatch.setenv("RAYSYNC_DISCORD_API_URL", "http://127.0.0.1:1/api/v10")
    else:
        action = Action.BAN if case == "a ban" else Action.RESET
        emulator.faults = FaultScript(FaultRule(action))

    result = add(guild_of(emulator), "--token-env", "DISCORD_TOKEN")

    assert result.exit_code == 0, result.stderr
    assert "it is not known whether the bot is in guild" in " ".join(result.stderr.split())
    assert "raysync doctor --tenant takaro" in " ".join(result.stderr.split())
    assert len(shown("tenant", "list")) == 1
