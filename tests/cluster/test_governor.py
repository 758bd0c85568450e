"""Two clusters of one database on one token: they share its budget, and what one leaves."""

from __future__ import annotations

import pytest

from raysync.emulator import Emulator, EmulatorThread, GuildSpec, Limits, World, generate_guild
from raysync.emulator.limits import Form
from tests.cluster.guilds import MESSAGES
from tests.cluster.installation import TOKEN, Installation, ended
from tests.cluster.test_limits import MOST_PER_SECOND, most_in_a_second

CHANNELS, PAGES = 50, 4


# Known to fail on two cores, with a few answers of 429. Whether the sharing is at fault or requests
# that were sent in time arrive together is not established.
@pytest.mark.slow
def test_two_local_clusters_on_one_token_stay_within_its_limit(without_ray: Installation) -> None:
    world = World()
    for seed in (1, 2):
        world.add_guild(generate_guild(GuildSpec.uniform(CHANNELS, PAGES * 100 - 60), seed=seed))
    world.add_bot(TOKEN)
    guild_ids = list(world.guilds)
    with EmulatorThread(world, limits=Limits(global_form=Form.SLIDING_LOG)) as emulator:
        here = without_ray.for_emulator(emulator).with_environ(SYNC_MAX_CHANNEL_WORKERS="2")
        here = here.with_environ(SYNC_CHANNEL_BATCH_SIZE="25")
        for slug, guild_id in zip(("one", "two"), guild_ids, strict=True):
            here.add_tenant(slug, guild_id)

        with (
            here.starting("--tenant", "one") as first,
            here.starting("--tenant", "two") as second,
        ):
            ends = [ended(each) for each in (first, second)]

        assert [each.code for each in ends] == [0, 0], [each.err for each in ends]
        assert emulator.counters.by_status.keys() == {200}
        assert most_in_a_second([each.at_s for each in emulator.log.entries]) <= MOST_PER_SECOND
        assert all(pages_of(emulator, each) >= CHANNELS * PAGES for each in guild_ids)
        granted = here.query("SELECT count(DISTINCT governor) AS governors FROM token_shares")
        assert granted == [{"governors": 2}]


def pages_of(emulator: Emulator, guild_id: int) -> int:
    """How many pages of a guild's channels were read."""
    channels = {str(each) for each in emulator.world.guilds[guild_id].channels}
    pages = (each for each in emulator.log.entries if each.route == MESSAGES)
    return sum(1 for each in pages if each.major_id in channels)
