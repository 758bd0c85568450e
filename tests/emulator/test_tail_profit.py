"""Runs rely on a tail that has listened without a gap, and on nothing less."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from raysync.emulator import GuildSpec, Limits, World, generate_guild, serve
from raysync.emulator.gateway.faults import DeliveryFault, GatewayRule
from raysync.models.ids import ChannelId
from raysync.models.live import ListenedTenant
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.run.driver import run_sync
from raysync.run.relying import NEVER_S, relied, settles
from raysync.run.requests import SyncRequest
from raysync.run.settling import _Silent
from tests.tailing import TOKEN, tailed, until_true

pytestmark = pytest.mark.emulator

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
LISTENED = ListenedTenant(
    listened_since=NOW - timedelta(hours=5),
    alive_at=NOW,
    settled_at=NOW - timedelta(hours=4),
    looked_back_at=NOW - timedelta(hours=4),
    is_alive=True,
)
WINDOW = SyncWindow(SyncType.INCREMENTAL, lookback_s=7 * 86400.0, archives_every_s=21600.0)


def test_a_run_leaves_out_what_a_tail_has_heard() -> None:
    found = relied(WINDOW, LISTENED, NOW)

    assert found.listened_since == LISTENED.listened_since
    assert (found.lookback_s, found.archives_every_s) == (0.0, NEVER_S)
    assert not settles(found)
    assert settles(WINDOW)


@pytest.mark.parametrize(
    ("window", "state"),
    [
        pytest.param(WINDOW, None, id="no-tail"),
        pytest.param(WINDOW, replace(LISTENED, is_alive=False), id="stands-still"),
        pytest.param(WINDOW, replace(LISTENED, interrupted_at=NOW), id="interrupted"),
        pytest.param(WINDOW, replace(LISTENED, listened_since=None), id="a-gap"),
        pytest.param(WINDOW, replace(LISTENED, settled_at=None), id="not-settled"),
        pytest.param(
            WINDOW,
            replace(LISTENED, settled_at=NOW - timedelta(hours=6)),
            id="settled-before-the-gap",
        ),
        pytest.param(
            WINDOW, replace(LISTENED, looked_back_at=NOW - timedelta(hours=25)), id="once-a-day"
        ),
        pytest.param(replace(WINDOW, sync_type=SyncType.FULL), LISTENED, id="full"),
        pytest.param(replace(WINDOW, since=NOW), LISTENED, id="since"),
        pytest.param(
            replace(WINDOW, channels=frozenset({ChannelId(1)})), LISTENED, id="one-channel"
        ),
    ],
)
def test_a_run_relies_on_nothing_less(window, state) -> None:
    assert relied(window, state, NOW) == window


async def start(tail, *, relies: bool = True):
    request = SyncRequest(tenants=(tail.tenant.slug,))
    if not relies:
        request = replace(request, lookback_s=7 * 86400.0, archives_every_s=0.0)
    result = await run_sync(request, tail.settings, _Silent(), asyncio.Event())
    return result.jobs[0]


@pytest.fixture
async def large(engine, database_url, tmp_path):
    """A guild of a thousand channels with five thousand archived threads."""
    spec = GuildSpec.tiny()
    world = World(generate_guild(spec))
    (guild,) = world.guilds.values()
    world.add_bot(TOKEN)
    async with serve(world, limits=Limits.off()) as emulator:
        emulator.gateway.change(identify_window_s=0.0)
        edits = emulator.edits
        for number in range(1000 - len(guild.channels)):
            channel = edits.create_channel(guild.id, f"channel-{number}")
            for _ in range(5):
                edits.archive_thread(edits.create_thread(channel, "old"))
        async with tailed(engine, database_url, emulator, tmp_path) as tail:
            yield tail


@pytest.mark.timeout(300)
async def test_an_unbroken_session_saves_a_run_two_thousand_requests(large) -> None:
    large.start()
    await large.has_said("settled", timeout_s=200)
    log = large.emulator.log
    log.reset()
    whole = await start(large, relies=False)
    without_tail = len(log.entries)
    log.reset()

    relying = await start(large)

    assert without_tail > 1_900
    assert len(log.entries) <= 10, [entry.path for entry in log.entries]
    assert relying.listened_since is not None
    assert relying.status == whole.status == "completed"


@pytest.fixture
async def tail(engine, database_url, tmp_path):
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    async with serve(world, limits=Limits.off()) as emulator:
        emulator.gateway.change(identify_window_s=0.0)
        async with tailed(engine, database_url, emulator, tmp_path) as tail:
            yield tail


def text_channel(world: World):
    (guild,) = world.guilds.values()
    return next(one for one in guild.channels.values() if one.type == 0 and one.log.ids)


async def test_what_was_heard_is_proven_by_the_next_run(tail) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    tail.start()
    await tail.has_said("settled")
    message_id = edits.post_message(channel.id, "heard")
    await tail.becomes_true()

    job = await start(tail)

    assert job.listened_since is not None
    assert job.messages_added == 0, "the tail had stored it"
    (row,) = await tail.query(
        "SELECT upper(p.coverage) > :id AS is_covered FROM sync_progress p JOIN channels c"
        " ON c.id = p.channel_id WHERE c.platform_channel_id = :channel",
        id=message_id,
        channel=channel.id,
    )
    assert row.is_covered


async def test_what_discord_never_sent_is_found_once_a_day_and_counted(tail) -> None:
    channel, edits = text_channel(tail.world), tail.emulator.edits
    old_ms = tail.world.clock.now_ms() - 3_600_000  # every run reads the last five minutes again
    edited, deleted = (
        edits.post_message(channel.id, text, at_ms=old_ms) for text in ("one", "two")
    )
    tail.start()
    await tail.has_said("settled")
    tail.emulator.gateway.faults.add(GatewayRule(DeliveryFault.LOSE, times=2))
    tail.world.clock.offset_ms = -120_000  # two minutes ago, so its event is not late
    edits.edit_message(channel.id, edited, "nobody was told")
    tail.world.clock.offset_ms = 0
    edits.delete_message(channel.id, deleted)
    since = "UPDATE tenant_listening SET listened_since = now() - interval '3 hours'"
    async with tail.engine.begin() as connection:
        await connection.exec_driver_sql(since + ", settled_at = now() - interval '2 hours'")

    relying = await start(tail)
    assert not await tail.is_true(), "the run relied on the tail"
    assert relying.listened_since is not None
    async with tail.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE tenant_listening SET looked_back_at = now() - interval '25 hours'"
        )
    looking = await start(tail)

    assert looking.listened_since is None
    await tail.becomes_true()
    (row,) = await tail.query("SELECT missed FROM tenant_listening")
    assert row.missed == 2


async def test_forgetting_takes_effect_while_a_tail_runs(tail) -> None:
    from raysync.store.privacy.suppressions import SuppressionStore
    from raysync.store.schema.privacy_tables import SuppressedKind

    channel, edits = text_channel(tail.world), tail.emulator.edits
    tail.start()
    await tail.has_said("settled")
    edits.post_message(channel.id, "before")
    await tail.becomes_true()
    (row,) = await tail.query(
        "SELECT anonymized_author_id AS ref FROM messages WHERE content = 'before'"
    )

    await SuppressionStore(tail.engine, tail.tenant.id).add(SuppressedKind.USER, row.ref)
    edits.post_message(channel.id, "after, by the same person")
    guild = tail.world.guilds[channel.guild_id]
    other = next(user for user in guild.users if user != guild.owner_id)
    edits.post_message(channel.id, "after, by another", author_id=other)

    async def has_come() -> bool:
        return bool(await tail.query("SELECT 1 FROM messages WHERE content = 'after, by another'"))

    await until_true(has_come)
    assert not await tail.query("SELECT 1 FROM messages WHERE content LIKE '%same person%'")
