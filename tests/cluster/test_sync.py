"""The archive equals Discord: after the first run, after changes, and without changes."""

from __future__ import annotations

import json
from typing import Any

from raysync.emulator import Emulator
from tests.cluster.guilds import MESSAGES, ServeTenant, lively_world
from tests.cluster.installation import TOKEN, Installation

FAST = "400"
"""Requests a second. The emulator's limits are sped up, to 50 in 50 ms, and a machine's jitter is
not: all 1,000 that it gives could not be used without a refusal."""


def test_the_archive_follows_the_guild_and_a_run_with_nothing_new_reads_no_page(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    world = lively_world()
    (guild_id,) = world.guilds
    installation, emulator = serve_tenant(installation, world, SYNC_GLOBAL_REQUESTS_PER_SECOND=FAST)

    first = installation.start("--tenant", "takaro")

    assert first.code == 0, first.err
    assert first.job["status"] == "completed"
    assert first.job["messages_processed"] == len(installation.exported("takaro"))
    installation.assert_complete("takaro", emulator)
    assert_reported(installation, first.job)

    change_everything(emulator, guild_id)
    second = installation.start("--tenant", "takaro")

    assert second.code == 0, second.err
    installation.assert_complete("takaro", emulator)

    installation.read_minutes_later()
    emulator.log.reset()
    third = installation.start("--tenant", "takaro", "--lookback", "0")

    assert third.code == 0, third.err
    assert emulator.counters.by_route[MESSAGES] == 0
    others = [(entry.route, entry.scope) for entry in emulator.log.entries if entry.status != 200]
    assert others == []
    assert third.job["messages_processed"] == 0
    installation.assert_complete("takaro", emulator)


def assert_reported(installation: Installation, job: dict[str, Any]) -> None:
    """The report knows what the job's result says, when samples were taken and who read what."""
    told = json.loads(installation.raysync("report", "--tenant", "takaro", "--json").out)
    page = installation.raysync("report", "--job-id", job["job_id"], "--html", "-").out

    assert told["messages"] == job["messages_processed"]
    assert told["requests"] == job["parallel_stats"]["total_api_calls"]
    assert told["samples"] > 0
    assert "drawn individually" in page
    assert "stored no visits" not in page


def change_everything(emulator: Emulator, guild_id: int) -> None:
    """Edit, react, post and open threads, all within the look-back."""
    edits, world = emulator.edits, emulator.world
    for channel in world.readable_channels(TOKEN, guild_id):
        if not channel.log.ids:
            continue
        newest = channel.log.ids[-1]
        edits.edit_message(channel.id, newest, f"edited in {channel.name}")
        edits.add_reaction(channel.id, newest, "👍", world.guilds[guild_id].owner_id)
        edits.post_message(channel.id, "a new one", reply_to_id=newest)
    text = next(c for c in world.readable_channels(TOKEN, guild_id) if c.type == 0)
    thread_id = edits.create_thread(text.id, "aftermath", message_id=text.log.ids[-1])
    edits.post_message(thread_id, "what was said in it")
    edits.archive_thread(thread_id)
