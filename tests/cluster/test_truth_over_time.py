"""Changes between runs: edits, deletions, new messages, deleted channels."""

from __future__ import annotations

import random
import time

import pytest

from raysync.emulator import (
    Emulator,
    EmulatorThread,
    GuildSpec,
    Limits,
    Quirks,
    World,
    generate_guild,
)
from tests.cluster.guilds import MESSAGES, SPEED, ServeTenant
from tests.cluster.installation import TOKEN, Installation
from tests.truth import Row, assert_same_archive, expected_rows

FAST = "1000"
DAYS = 30
ALWAYS = ("--lookback", f"{DAYS + 10}d", "--archives-every", "0")


def recent_world(**changes: int) -> World:
    """A guild whose whole history is of the last month."""
    shape = {"text_channels": 6, "text_messages": 1_500, "threads": 4, "announcement_channels": 1}
    spec = GuildSpec(
        **{**shape, **changes},  # type: ignore[arg-type]
        announcement_messages=120,
        announcement_threads=3,
        archived=0.5,
        end_ms=int((time.time() - 7200) * 1000),
        span_days=float(DAYS),
    )
    world = World(generate_guild(spec))
    world.add_bot(TOKEN)
    return world


@pytest.fixture
def synced(installation: Installation, serve_tenant: ServeTenant) -> tuple[Installation, Emulator]:
    """A tenant whose first sync is done."""
    installation, emulator = serve_tenant(
        installation, recent_world(), SYNC_GLOBAL_REQUESTS_PER_SECOND=FAST
    )
    run = installation.start("--tenant", "takaro")
    assert run.code == 0, run.err
    return installation, emulator


def truth(emulator: Emulator) -> list[Row]:
    (guild_id,) = emulator.world.guilds
    return expected_rows(emulator.world.truth(guild_id, token=TOKEN))


def keys(rows: list[Row]) -> set[tuple[str, str]]:
    return {(row["channel_id"], row["id"]) for row in rows}


def assert_follows(installation: Installation, before: list[Row], after: list[Row]) -> None:
    """All that is there as it is, and all that was there and is gone marked, and as it was."""
    exported = installation.exported("takaro")
    gone = keys(before) - keys(after)
    alive = [row for row in exported if row["deleted_at"] is None]
    marked = [{**row, "deleted_at": None} for row in exported if row["deleted_at"] is not None]
    assert_same_archive(after, alive)
    assert keys(marked) == gone
    assert_same_archive([r for r in before if (r["channel_id"], r["id"]) in gone], marked)


def change(emulator: Emulator, edits: int, deletes: int, posts: int) -> None:
    """Edit, delete and post all over the guild."""
    dice = random.Random(7)
    world = emulator.world
    (guild_id,) = world.guilds
    channels = [each for each in world.readable_channels(TOKEN, guild_id) if each.log.ids]
    every = [(channel.id, message_id) for channel in channels for message_id in channel.log.ids]
    chosen = dice.sample(every, edits + deletes)
    for channel_id, message_id in chosen[:edits]:
        emulator.edits.edit_message(channel_id, message_id, f"edited: {message_id}")
    for channel_id, message_id in chosen[edits:]:
        emulator.edits.delete_message(channel_id, message_id)
    for number in range(posts):
        emulator.edits.post_message(dice.choice(channels).id, f"new: {number}")


@pytest.mark.slow  # tests/emulator/test_follows.py and tests/property find them, too
def test_every_edit_and_deletion_in_the_look_back_is_found(
    synced: tuple[Installation, Emulator],
) -> None:
    installation, emulator = synced
    before = truth(emulator)
    newest = [
        channel.log.ids[-1] for channel in emulator.world.channels.values() if channel.log.ids
    ]
    change(emulator, edits=100, deletes=100, posts=40)
    for channel in list(emulator.world.channels.values())[:2]:  # the newest ones too
        if channel.log.ids and channel.log.ids[-1] in newest:
            emulator.edits.delete_message(channel.id, channel.log.ids[-1])
    after = truth(emulator)

    run = installation.start("--tenant", "takaro", *ALWAYS)

    assert run.code == 0, run.err
    gone = len(keys(before) - keys(after))
    assert run.job["messages_deleted"] == gone
    assert run.job["messages_edited"] == 100
    assert run.job["messages_added"] == len(keys(after) - keys(before))
    assert_follows(installation, before, after)
    versions = installation.query(
        "SELECT count(*) AS kept, count(raw) AS whole FROM message_versions"
    )
    assert versions == [{"kept": 100, "whole": 100}]

    again = installation.start("--tenant", "takaro", *ALWAYS)

    assert (again.job["messages_deleted"], again.job["messages_edited"]) == (0, 0)
    assert_follows(installation, before, after)
    installation.read_minutes_later()
    emulator.log.reset()
    rest = installation.start("--tenant", "takaro", "--lookback", "0")
    assert rest.code == 0, rest.err
    assert emulator.counters.by_route[MESSAGES] == 0, "a deleted newest message is not news"


def test_old_changes_are_found_within_the_predicted_number_of_runs(
    synced: tuple[Installation, Emulator],
) -> None:
    installation, emulator = synced
    before = truth(emulator)
    change(emulator, edits=60, deletes=60, posts=0)
    after = truth(emulator)
    pages = sum(len(channel.log.ids) // 99 + 1 for channel in emulator.world.channels.values())
    requests = pages // 2 + 2
    for _ in range(2):
        arguments = ("--lookback", "0", "--reconcile-requests", str(requests))
        run = installation.start("--tenant", "takaro", *arguments)
        assert run.code == 0, run.err

    assert_follows(installation, before, after)


@pytest.mark.slow  # tests/emulator/test_membership.py and tests/unit/sync do so without Ray
def test_a_lost_permission_deletes_nothing_and_is_told(
    synced: tuple[Installation, Emulator],
) -> None:
    installation, emulator = synced
    before = truth(emulator)
    (guild_id,) = emulator.world.guilds
    channel = next(channel for channel in emulator.world.channels.values() if channel.log.ids)
    emulator.edits.set_overwrite(channel.id, guild_id, deny=1 << 16)  # READ_MESSAGE_HISTORY

    run = installation.start("--tenant", "takaro", "--full")

    assert run.code == 0, run.err
    assert str(channel.id) in {channel["channel_id"] for channel in run.job["skipped"]}
    assert run.job["messages_deleted"] == 0
    assert_same_archive(before, installation.exported("takaro"))


@pytest.mark.slow  # tests/unit/sync/test_job.py and tests/property do so without Ray
def test_a_channel_that_is_gone_is_marked_and_its_messages_are_kept(
    synced: tuple[Installation, Emulator],
) -> None:
    installation, emulator = synced
    before = truth(emulator)
    channel = next(channel for channel in emulator.world.channels.values() if channel.log.ids)
    emulator.edits.delete_channel(channel.id)

    run = installation.start("--tenant", "takaro")

    assert run.code == 0, run.err
    assert run.job["channels_deleted"] >= 1
    assert run.job["messages_deleted"] == 0
    marked = installation.query(
        "SELECT platform_channel_id AS id FROM channels WHERE deleted_at IS NOT NULL"
    )
    assert channel.id in {each["id"] for each in marked}
    assert_same_archive(before, installation.exported("takaro"))


def test_announcement_threads_that_the_list_lacks_are_found(installation: Installation) -> None:
    world = recent_world(text_channels=1, text_messages=50)
    (guild_id,) = world.guilds
    quirks = Quirks(announcement_archive_gap=True)
    with EmulatorThread(world, limits=Limits(speed=SPEED), quirks=quirks) as emulator:
        installation = installation.for_emulator(emulator)
        installation.add_tenant("takaro", guild_id)

        run = installation.start("--tenant", "takaro")

        assert run.code == 0, run.err
        installation.assert_complete("takaro", emulator)


def test_verify_proves_names_and_mends(synced: tuple[Installation, Emulator]) -> None:
    installation, emulator = synced
    whole = installation.raysync("verify", "--tenant", "takaro", "--sample", "5")

    assert whole.code == 0, whole.err
    assert "proven complete" in whole.out
    assert "0 were missing, 0 had been edited, 0 deleted" in whole.out

    channel = max(emulator.world.channels.values(), key=lambda each: len(each.log.ids))
    low, high = channel.log.ids[40], channel.log.ids[90]
    installation.query(
        "WITH lost AS (DELETE FROM messages m USING channels c WHERE m.channel_id = c.id"
        " AND c.platform_channel_id = %s AND platform_message_id BETWEEN %s AND %s RETURNING 1)"
        " UPDATE sync_progress p SET coverage = coverage - int8multirange(int8range(%s, %s))"
        " FROM channels c WHERE p.channel_id = c.id AND c.platform_channel_id = %s RETURNING 1",
        channel.id, low, high, low, high + 1, channel.id,
    )  # fmt: skip
    holed = installation.raysync("verify", "--tenant", "takaro")

    assert holed.code == 1
    assert str(channel.id) in holed.out

    mended = installation.raysync("verify", "--tenant", "takaro", "--repair")

    assert mended.code == 0, mended.out + mended.err
    installation.assert_complete("takaro", emulator)
