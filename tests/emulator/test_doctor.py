"""`raysync doctor`, for everything that can be wrong: each line says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

import psycopg
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from raysync import doctor
from raysync.cli.app import app
from raysync.doctor import machine, sentences, tenant
from raysync.emulator import (
    Action,
    Emulator,
    EmulatorThread,
    FaultRule,
    GuildSpec,
    Quirks,
    World,
    generate_guild,
)
from raysync.emulator.faults import FaultScript
from raysync.errors import ConfigurationError
from tests.forward_proxy import proxy_thread

TOKEN = "a-token"
READ_HISTORY = 1 << 16
KNOWN = "Those that raysync knows in advance"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path) -> Iterator[Emulator]:
    """A tenant, and nothing wrong."""
    monkeypatch.setattr(tenant, "PAUSE_S", 0.0)
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
        emulator.log.reset()  # adding it asked whether the bot is in the guild
        yield emulator


def raysync(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def checks(*options: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The exit code, and what was found by status."""
    result = raysync("doctor", "--json", *options)
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


def test_what_the_api_has_no_route_for_is_warned_of(emulator: Emulator) -> None:
    missing = (
        "GET /guilds/{guild_id}/threads/active",
        "GET /oauth2/applications/@me",
        "GET /applications/@me",
    )
    emulator.set_quirks(Quirks(missing_routes=missing))
    code, found = checks()

    assert (code, found["fail"]) == (0, [])
    assert [each["name"] for each in found["warn"]] == ["routes", "routes", "intents"]
    assert "active threads" in found["warn"][1]["says"]
    assert "guild" in {each["name"] for each in found["ok"]}


def test_connections_are_reckoned_as_a_run_reckons_them(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNC_MAX_CHANNEL_WORKERS", "4")
    monkeypatch.setenv("SYNC_CHANNEL_BATCH_SIZE", "3")
    found = json.loads(raysync("doctor", "--json").stdout)["checks"]
    (says,) = [each["says"] for each in found if each["name"] == "connections"]

    assert says.endswith(f"A run takes up to {11 + 4 * 3}.")


def test_a_wrong_token_is_told(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "another")
    code, found = checks()

    assert code == 1
    assert [each["name"] for each in found["fail"]] == ["token"]
    assert "Reset Token" in found["fail"][0]["says"]


def test_a_discord_out_of_reach_is_told_with_what_to_look_at(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSYNC_DISCORD_API_URL", "http://127.0.0.1:1/api/v10")
    code, found = checks()

    assert code == 1
    (told,) = found["fail"]
    assert told["name"] == "discord"
    assert told["says"] == (
        "login: cannot reach 127.0.0.1:1 (connection refused). "
        "RAYSYNC_DISCORD_API_URL is http://127.0.0.1:1/api/v10."
    )
    assert "RAYSYNC_DISCORD_API_URL if it is set" in told["advice"]


def proxy_check() -> tuple[int, str, str]:
    """The exit code, and the status and the words of the check of the proxy."""
    result = raysync("doctor", "--json")
    found = json.loads(result.stdout)["checks"]
    ((status, says),) = [(c["status"], c["says"]) for c in found if c["name"] == "proxy"]
    assert "hunter2" not in result.stdout + result.stderr + raysync("doctor").stdout
    return result.exit_code, status, says


def test_the_way_out_is_told(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    address = emulator.origin.removeprefix("http://")
    here = ("127.0.0.1", int(address.rpartition(":")[2]))
    assert "proxy" not in {each["name"] for each in checks()[1]["ok"]}

    with proxy_thread({address: here}, wants_password=True) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url_with_password)
        told = f"Discord's API is asked through the proxy {proxy.url} (HTTP_PROXY)."
        assert proxy_check() == (0, "ok", told)
        assert len(proxy.asked) == 2 * 6, "and it is"

        monkeypatch.setenv("no_proxy", "elsewhere, 127.0.0.1")
        told = "Discord's API is asked directly: no_proxy exempts 127.0.0.1 from HTTP_PROXY."
        assert proxy_check() == (0, "ok", told)
        assert len(proxy.asked) == 2 * 6

        monkeypatch.delenv("no_proxy")
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        (refused,) = checks()[1]["fail"]
        assert refused["name"] == "discord"
        assert "(HTTP_PROXY) answers 407" in refused["says"]

    monkeypatch.setenv("HTTP_PROXY", "socks5://me:hunter2@127.0.0.1")
    code, status, says = proxy_check()
    assert (code, status) == (1, "fail")
    assert says.startswith("HTTP_PROXY names a socks5 proxy, which raysync cannot use.")


def test_a_token_that_is_not_there_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISCORD_TOKEN")
    code, found = checks()

    assert code == 1
    assert "DISCORD_TOKEN" in found["fail"][0]["says"]
    assert emulator.log.entries == []


def test_what_privacy_left_undone_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO key_checks (tenant_id, mark) SELECT id, 'another' FROM tenants"
        )
        session.execute(
            "INSERT INTO suppressions (tenant_id, kind, ref) SELECT id, 'user', 'u_x' FROM tenants"
        )
        session.execute(
            "INSERT INTO pseudonym_generations (tenant_id, generation, salt)"
            " SELECT id, 1, 'salt' FROM tenants"
        )
    code, found = checks()

    assert code == 1
    assert [each["name"] for each in found["fail"]] == ["erasure", "pseudonyms", "pseudonyms"]
    assert "forget --tenant takaro --list" in found["fail"][0]["advice"]
    assert "accept-key --tenant takaro" in found["fail"][1]["says"]
    assert "privacy rotate --tenant takaro" in found["fail"][2]["advice"]
    assert "u_x" not in raysync("doctor").stdout


@pytest.mark.parametrize("privacy", ["pseudonymous", "full"])
def test_rows_of_earlier_rules_are_told(
    emulator: Emulator, database_url: str, privacy: str
) -> None:
    assert [each["name"] for each in checks()[1]["warn"]].count("scrubbing") == 0
    with psycopg.connect(database_url) as session:
        session.execute("DELETE FROM scrubbings")
        session.execute("UPDATE tenants SET privacy = %s", (privacy,))
    code, found = checks()

    (told,) = [each for each in found["warn"] if each["name"] == "scrubbing"]
    assert code == 0
    assert ("ids of people" in told["says"]) is (privacy == "pseudonymous")
    assert "privacy rescrub --tenant takaro" in told["advice"]
    assert "start --tenant takaro --full" in told["advice"]


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


@pytest.mark.parametrize(
    ("free", "total", "code", "status"),
    [
        (400 * 10**6, 10**12, 1, "fail"),
        (4 * 10**9, 10**10, 0, "warn"),
        (60 * 10**9, 10**12, 0, "warn"),
        (200 * 10**9, 10**12, 0, "ok"),
    ],
)
def test_a_disk_that_fills_up_is_told(
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    total: int,
    code: int,
    status: str,
) -> None:
    usage = type("Usage", (), {"free": free, "total": total})()
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(doctor, "open_store", nowhere)
    _, found = checks()

    disks = [each["name"] for each in found[status] if each["name"] == "disk"]
    assert disks, found
    told = [each for each in found[status] if each["name"] == "disk"]
    assert all("TMPDIR" in (each["advice"] or "") for each in told) == (status != "ok")
    assert "temporary files" in " ".join(each["says"] for each in told)


def nowhere(*_: object, **_options: object) -> object:
    raise ConfigurationError("not asked here")


def test_a_clock_that_is_wrong_is_told_against_both(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(minutes=5)

    monkeypatch.setattr(sentences, "datetime", Late)
    code, found = checks()

    assert code == 0
    warned = [each for each in found["warn"] if each["name"] == "clock"]
    assert [("database" in each["says"], "Discord" in each["says"]) for each in warned] == [
        (True, False),
        (False, True),
    ]
    assert all("chrony" in each["advice"] for each in warned)


def test_many_refusals_are_told(
    emulator: Emulator, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNC_INVALID_REQUEST_LIMIT", "100")
    with psycopg.connect(database_url) as session:
        session.execute(
            "WITH job AS (INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status)"
            " SELECT gen_random_uuid(), id, 'full', 0, 'failed' FROM tenants RETURNING id)"
            " INSERT INTO job_api_calls (job_id, worker_id, route, calls, updated_at)"
            " SELECT id, w, r, n, now() - a FROM job, (VALUES"
            "  ('w1', 'GET /channels/{channel_id}/messages 403', 40, interval '1 minute'),"
            "  ('w1', 'GET /channels/{channel_id}/messages 429', 20, interval '1 minute'),"
            "  ('w1', 'GET /channels/{channel_id}/messages 200', 900, interval '1 minute'),"
            "  ('w1', '429 shared', 5, interval '1 minute'),"
            "  ('w2', 'GET /guilds/{guild_id} 401', 700, interval '11 minutes')) AS v (w, r, n, a)"
        )
    _, found = checks()
    (warning,) = found["warn"]
    assert warning["name"] == "invalid requests"
    assert warning["says"].startswith("55 of 100")
    assert "dead-letters" in warning["advice"]

    with psycopg.connect(database_url) as session:
        session.execute("UPDATE job_api_calls SET updated_at = now() - interval '11 minutes'")
    _, found = checks()
    assert found["warn"] == []


def test_a_key_that_others_can_read_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.delenv("RAYSYNC_SECRET_KEY")
    key = tmp_path / "home" / "secret.key"
    key.parent.mkdir(exist_ok=True)
    key.write_text("0" * 64)
    key.chmod(0o644)
    code, found = checks()

    assert code == 1
    (told,) = [each for each in found["fail"] if each["name"] == "files"]
    assert told["advice"] == f"Make it private: chmod 600 {key}"


def test_where_the_secret_key_is_is_told(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    def told() -> dict[str, str]:
        _, found = checks()
        every = [*found["ok"], *found["fail"]]
        return {
            each["name"]: each["says"] for each in every if each["name"] in ("secret key", "files")
        }

    key = tmp_path / "home" / "secret.key"
    of_environment = told()
    monkeypatch.delenv("RAYSYNC_SECRET_KEY")
    without = told()
    monkeypatch.delenv("RAYSYNC_DATABASE_URL")
    monkeypatch.setattr(doctor, "open_store", nowhere)
    kept = told()

    assert of_environment["secret key"] == "It is in RAYSYNC_SECRET_KEY. Keep a copy elsewhere."
    assert of_environment["files"] == without["files"] == "The secret key is not read from a file."
    assert without["secret key"].startswith("RAYSYNC_SECRET_KEY is not set")
    assert kept["secret key"] == f"It is in {key}. Keep a copy elsewhere."
    assert kept["files"] == f"Other users cannot read {key}."


def test_limits_that_were_learned_are_told(emulator: Emulator, database_url: str) -> None:
    def told() -> str:
        _, found = checks()
        (says,) = [each["says"] for each in found["ok"] if each["name"] == "rate limits"]
        return says

    before = told()
    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO rate_limits (route, bucket, \"limit\", window_s) VALUES ('r', '', 5, 1)"
        )

    assert before == f"{KNOWN}."
    assert told() == f"{KNOWN}, and 1 learned from Discord's answers."


def test_each_limit_that_was_learned_is_told_with_until_when_and_can_be_forgotten(
    emulator: Emulator, database_url: str
) -> None:
    rows = [
        (emulator.url, "GET /guilds/{guild_id}/x", 3, 5.0, "refusal"),
        (emulator.url, "GET /channels/{channel_id}/messages", 1, 60.0, "headers"),
        (emulator.url, "GET /channels/{channel_id}/y", 5, 1e9, "headers"),
        ("https://discord.com/api/v10", "GET /channels/{channel_id}/messages", 2, 5.0, "refusal"),
    ]
    with psycopg.connect(database_url) as session:
        session.cursor().executemany(
            'INSERT INTO rate_limits (api, route, bucket, "limit", window_s, source)'
            " VALUES (%s, %s, '', %s, %s, %s)",
            rows,
        )

    code, found = checks()
    (slow,) = [each for each in found["warn"] if each["name"] == "rate limit"]
    (fine,) = [each for each in found["ok"] if each["name"] == "rate limit"]
    (all_,) = [each for each in found["ok"] if each["name"] == "rate limits"]

    assert code == 0
    assert all_["says"] == f"{KNOWN}, and 2 learned from Discord's answers."
    assert slow["says"].startswith("GET /channels/{channel_id}/messages: 1 in 60 s, from Discord's")
    assert slow["advice"].endswith("raysync doctor --forget-limits")
    in_a_week = datetime.now(UTC) + timedelta(days=7, minutes=-5)
    assert fine["says"].startswith("GET /guilds/{guild_id}/x: 3 in 5 s, from a refusal. ")
    assert f"Used until {in_a_week:%Y-%m-%d}" in fine["says"]
    assert fine["advice"] is None

    _, after = checks("--forget-limits")
    (forgotten,) = [each["says"] for each in after["ok"] if each["name"] == "rate limit"]
    (left,) = [each["says"] for each in after["ok"] if each["name"] == "rate limits"]
    assert forgotten.startswith("3 learned limits were forgotten.")
    assert left == f"{KNOWN}."
    with psycopg.connect(database_url) as session:
        logged = session.execute(
            "SELECT details FROM audit_log WHERE action = 'limits forgotten'"
        ).fetchall()
        fresh = session.execute(
            "SELECT route FROM rate_limits WHERE updated_at > now() - interval '1 day'"
        ).fetchall()
    assert logged == [({"api": emulator.url, "limits": 3},)]
    assert fresh == [("GET /channels/{channel_id}/messages",)], "Discord's own are another API's"


def test_a_role_that_may_not_read_is_told_in_a_sentence(
    emulator: Emulator, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database_url, autocommit=True) as session:
        session.execute(
            "DO $$ BEGIN CREATE ROLE role_nobody LOGIN;"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    url = make_url(database_url).set(username="role_nobody")
    monkeypatch.setenv("RAYSYNC_DATABASE_URL", url.render_as_string(hide_password=False))
    code, found = checks()

    assert code == 1
    assert "grant-worker" in found["fail"][0]["says"]


def test_messages_that_could_not_be_read_whole_are_counted_named_and_told_what_to_do(
    emulator: Emulator, database_url: str
) -> None:
    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO channels (tenant_id, platform_channel_id, name, type)"
            " SELECT id, 5, 'general', 0 FROM tenants"
        )
        session.execute(
            "INSERT INTO messages (channel_id, platform_message_id, tenant_id, content, type,"
            " platform_created_at, metadata, raw, quarantine)"
            " SELECT c.id, given, c.tenant_id, '', 0, now(), '{}', '{}', '{content,flags}'"
            " FROM channels c, generate_series(101, 107) given"
        )
    code, found = checks()

    assert code == 0, "nothing is lost"
    (warning,) = found["warn"]
    assert (warning["name"], warning["tenant"]) == ("quarantine", "takaro")
    assert "7 stored messages in 1 channels" in warning["says"]
    assert "message 101 in general (5): content, flags" in warning["says"]
    assert "and 2 more" in warning["says"]
    assert "raysync start --tenant takaro --full" in warning["advice"]
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE messages SET quarantine = NULL")
    assert checks()[1]["warn"] == []


def test_a_guild_with_odd_records_is_examined_all_the_same(emulator: Emulator) -> None:
    (guild,) = emulator.world.guilds.values()
    one, other, *_ = (each.id for each in guild.channels.values() if each.type == 0)
    emulator.edits.damage_channel(one, text="null")
    emulator.edits.damage_channel(other, {"permission_overwrites": None})
    emulator.edits.damage_guild(guild.id, {"name": None, "owner_id": None})
    code, found = checks()

    assert code == 0
    says = {each["says"]: each["advice"] for each in found["warn"]}
    assert any("1 record has no readable id" in each for each in says)
    (skipped,) = (each for each in says if "its permission overwrites" in each)
    assert "newer version" in says[skipped]
