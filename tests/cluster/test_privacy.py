"""Erasure, retention and rotation of pseudonyms, through Ray and the program."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from raysync.emulator import GuildSpec, World, generate_guild
from raysync.emulator.generator.spec import Rates
from raysync.models.ids import snowflake_at
from tests.cluster.guilds import ServeTenant
from tests.cluster.installation import TOKEN, Installation
from tests.dump import tables_with

PSEUDONYMS = "SELECT DISTINCT anonymized_author_id AS ref FROM messages"
DAYS = 20
KEPT_DAYS = 9


def test_a_run_holds_to_what_was_forgotten_limited_and_renamed(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    spec = GuildSpec(
        text_channels=4, text_messages=600, users=6, rates=Rates(replies=0.2, mentions=0.2),
        end_ms=int(time.time() * 1000) - 3_600_000, span_days=DAYS,
    )  # fmt: skip
    world = World(generate_guild(spec))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    written = Counter(message["author"]["id"] for _, message in world.truth(guild_id))
    ((user_id, _),) = written.most_common(1)
    installation, _ = serve_tenant(installation, world)
    assert installation.start("--tenant", "takaro").code == 0
    before = {row["ref"] for row in installation.query(PSEUDONYMS)}

    for arguments in (
        ("forget", "--tenant", "takaro", "--user", user_id, "--yes"),
        ("privacy", "retention", "--tenant", "takaro", "--max-age", f"{KEPT_DAYS}d"),
        ("privacy", "rotate", "--tenant", "takaro"),
    ):
        done = installation.raysync(*arguments)
        assert done.code == 0, done.err
    earlier = young(world, guild_id, user_id)
    run = installation.start("--tenant", "takaro", "--full")

    assert run.code == 0, run.err
    rows = {
        row["id"] for row in installation.query("SELECT platform_message_id AS id FROM messages")
    }
    assert 50 < len(earlier) < 550
    assert young(world, guild_id, user_id) <= rows <= earlier, "the run's own purge did it"
    after = {row["ref"] for row in installation.query(PSEUDONYMS)}
    assert (len(after), after & before) == (len(written) - 1, set())
    assert not tables_with(installation.database_url, user_id)
    assert not any(tables_with(installation.database_url, each) for each in before)
    (purged,) = installation.query("SELECT details FROM audit_log WHERE action = 'privacy purge'")
    assert purged["details"]["erased"] > 50
    verified = installation.raysync("verify", "--tenant", "takaro", "--json")
    assert (verified.code, json.loads(verified.out)["verification"]["gaps"]) == (0, [])


def young(world: World, guild_id: int, without: str) -> set[int]:
    """What is not past retention now, but for what one of them wrote."""
    horizon = snowflake_at(datetime.now(UTC) - timedelta(days=KEPT_DAYS))
    return {
        int(message["id"])
        for _, message in world.truth(guild_id)
        if message["author"]["id"] != without and int(message["id"]) >= horizon
    }
