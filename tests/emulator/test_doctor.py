"""`raysync doctor`, for everything that can be wrong: each line says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from raysync import doctor
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
READ_HISTORY = 1 << 16


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path) -> Iterator[Emulator]:
    """A tenant, and nothing wrong."""
    monkeypatch.setattr(doctor, "PAUSE_S", 0.0)
    world = World(generate_guild(GuildSpec(text_channels=3, text_messages=30)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    with EmulatorThread(world) as emulator:
        for name, value in {
            "RAYSYNC_HOME": str(tmp_path / "home"),
            "RAYSYNC_DATABASE_URL": database_url,
            "RAYSYNC_SECRET_KEY": "a secret key of the tests alone",
            "RAYSYNC_DISCORD_API_URL": emulator.url,
            "DISCORD_TOKEN": TOKEN,
            "COLUMNS": "100",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        added = raysync(
            "tenant", "add", "takaro", "--guild", str(guild_id), "--token-env", "DISCORD_TOKEN"
        )
        assert added.exit_code == 0, added.stderr
        yield emulator


def raysync(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def checks() -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The exit code, and what was found by status."""
    result = raysync("doctor", "--json")
    found: dict[str, list[dict[str, str]]] = {"ok": [], "warn": [], "fail": []}
    for each in json.loads(result.stdout)["checks"]:
        found[each["status"]].append(each)
    assert TOKEN not in result.stdout + result.stderr
    return result.exit_code, found


def test_where_nothing_is_wrong_nothing_is_warned_of(emulator: Emulator) -> None:
    code, found = checks()

    assert (code, found["warn"], found["fail"]) == (0, [], [])
    names = {each["name"] for each in found["ok"]}
    assert names >= {"database", "secret key", "disk", "ray", "clock", "token", "intents", "guild"}
    assert len(emulator.log.entries) == 6, "it is cheap"
    shown = raysync("doctor")
    assert shown.exit_code == 0
    assert "takaro" in shown.stdout
    assert "3 channels" in shown.stdout


def test_a_wrong_token_is_told(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "another")
    code, found = checks()

    assert code == 1
    assert [each["name"] for each in found["fail"]] == ["token"]
    assert "Reset Token" in found["fail"][0]["says"]


def test_a_token_that_is_not_there_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISCORD_TOKEN")
    code, found = checks()

    assert code == 1
    assert "DISCORD_TOKEN" in found["fail"][0]["says"]
    assert emulator.log.entries == []


def test_an_intent_that_is_off_is_told(emulator: Emulator) -> None:
    emulator.edits.set_content_intent(TOKEN, False)
    code, found = checks()

    assert code == 1
    assert [each["name"] for each in found["fail"]] == ["intents"]
    assert "Developer Portal" in found["fail"][0]["says"]


def test_a_channel_without_its_history_is_named_with_what_to_grant(emulator: Emulator) -> None:
    (guild,) = emulator.world.guilds.values()
    hidden, *_ = (each for each in guild.channels.values() if each.type == 0)
    emulator.edits.set_overwrite(hidden.id, guild.id, deny=READ_HISTORY)
    for role in guild.roles.values():
        if role.id != guild.id:
            emulator.edits.set_overwrite(hidden.id, role.id, deny=READ_HISTORY)
    code, found = checks()

    assert code == 0, "the others are synced"
    (warning,) = found["warn"]
    assert hidden.name in warning["says"]
    assert str(hidden.id) in warning["says"]
    assert "READ_MESSAGE_HISTORY" in warning["says"]
    assert "Read Message History: allow" in warning["advice"]


def test_a_guild_without_the_bot_is_told(emulator: Emulator) -> None:
    (guild_id,) = emulator.world.guilds
    emulator.edits.remove_bot(TOKEN, guild_id)
    code, found = checks()

    assert code == 1
    assert "Invite the bot" in found["fail"][0]["advice"]


def test_a_banned_address_is_told(emulator: Emulator) -> None:
    emulator.faults = FaultScript(FaultRule(Action.BAN))
    code, found = checks()

    assert code == 1
    assert "blocks this address" in found["fail"][0]["says"]
    assert len(emulator.log.entries) == 1, "nothing more is asked"


def test_a_database_out_of_reach_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", "postgresql://nobody:hunter2@127.0.0.1:1/raysync")
    code, found = checks()

    assert code == 1
    assert [each["name"] for each in found["fail"]] == ["database"]
    assert "hunter2" not in json.dumps(found)


def test_a_schema_that_is_behind_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, empty_database_url: str
) -> None:
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", empty_database_url)
    code, found = checks()

    assert code == 1
    assert "raysync db upgrade" in found["fail"][0]["says"]


def test_a_cluster_that_does_not_answer_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, found = checks()

    assert code == 1
    assert "RAY_ADDRESS" in found["fail"][0]["says"]


def test_an_abandoned_job_is_told_with_how_to_go_on(emulator: Emulator, database_url: str) -> None:
    import psycopg

    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s)"
            " SELECT gen_random_uuid(), id, 'full', 0 FROM tenants"
        )
    code, found = checks()

    assert code == 0
    (warning,) = found["warn"]
    assert "raysync resume --job-id " in warning["advice"]


def test_an_unknown_tenant_is_a_usage_error(emulator: Emulator) -> None:
    result = raysync("doctor", "--tenant", "nobody")

    assert result.exit_code == 2
    assert "no tenant nobody" in result.stderr
