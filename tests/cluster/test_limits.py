"""A token's budget is held across workers, ahead of time."""

from __future__ import annotations

from collections.abc import Sequence

from raysync.emulator import EmulatorThread, GuildSpec, Limits, World, generate_guild
from raysync.emulator.limits import Form
from tests.cluster.installation import TOKEN, Installation

MOST_PER_SECOND = 50


def test_ten_workers_at_the_true_limit_draw_no_429(installation: Installation) -> None:
    world = World(generate_guild(GuildSpec.uniform(channels=100, messages_per_channel=340)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    limits = Limits(global_form=Form.SLIDING_LOG)
    with EmulatorThread(world, limits=limits) as emulator:
        here = installation.for_emulator(emulator)
        here.add_tenant("takaro", guild_id)

        run = here.start("--tenant", "takaro", "--workers", "10")

        assert run.code == 0, run.err
        assert emulator.counters.requests >= 400
        assert emulator.counters.by_status.keys() == {200}
        assert most_in_a_second([each.at_s for each in emulator.log.entries]) <= MOST_PER_SECOND
        stats = run.job["parallel_stats"]
        assert stats["rate_limit_encounters"] == 0
        assert stats["total_api_calls"] == emulator.counters.requests


def most_in_a_second(times_s: Sequence[float]) -> int:
    """The most of *times_s*, ascending, in any stretch of a second."""
    most = start = 0
    for end, at_s in enumerate(times_s):
        while times_s[start] <= at_s - 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most
