"""What Discord's headers hide is learned once, by one refusal, and kept for later runs."""

from __future__ import annotations

import pytest

from raysync.emulator import EmulatorThread, GuildSpec, Limits, RouteLimit, World, generate_guild
from raysync.emulator.limits import OBSERVED_ROUTES, Headers
from tests.cluster.guilds import MESSAGES
from tests.cluster.installation import TOKEN, Installation

CHANNELS, PAGES = 6, 5
STRICTER = RouteLimit(3, 5.0)
WORKERS = 3


@pytest.mark.parametrize("headers", [Headers.MASKED, Headers.NONE])
def test_a_stricter_limit_is_learned_once_and_the_next_run_is_never_refused(
    installation: Installation, headers: Headers
) -> None:
    world = World(generate_guild(GuildSpec.uniform(CHANNELS, PAGES * 100 - 60)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    limits = Limits(headers=headers, routes={**OBSERVED_ROUTES, MESSAGES: STRICTER})
    with EmulatorThread(world, limits=limits) as emulator:
        here = installation.for_emulator(emulator)
        here.add_tenant("takaro", guild_id)

        first = here.start("--tenant", "takaro", "--workers", str(WORKERS))

        assert first.code == 0, first.err
        here.assert_complete("takaro", emulator)
        refused = emulator.counters.by_status[429]
        print(f"{headers}: {refused} x 429 in the first run")
        assert 1 <= refused <= CHANNELS, "each channel's bucket refuses once at most"
        (known,) = here.query(
            'SELECT "limit", window_s FROM rate_limits WHERE route = %s', MESSAGES
        )
        assert known["limit"] / known["window_s"] <= STRICTER.limit / STRICTER.window_s * 1.01

        second = here.start("--tenant", "takaro", "--full", "--workers", str(WORKERS))

        assert second.code == 0, second.err
        assert emulator.counters.by_status[429] == refused
        here.assert_complete("takaro", emulator)
