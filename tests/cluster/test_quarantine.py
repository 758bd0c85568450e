"""A malformed message is stored, counted and named, and does not fail the run."""

from __future__ import annotations

import json

from tests.cluster.guilds import ServeTenant, tiny_world
from tests.cluster.installation import Installation


def test_a_malformed_message_is_counted_and_named_until_it_is_read_whole(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    world = tiny_world()
    channel = next(
        channel for channel in world.channels.values() if channel.type == 0 and channel.log.ids
    )
    message_id = channel.log.ids[0]
    installation, emulator = serve_tenant(installation, world)
    emulator.edits.damage_message(channel.id, message_id, {"content": None, "flags": "x"})
    named = {
        "channel_id": str(channel.id),
        "message_id": str(message_id),
        "fields": ["content", "flags"],
    }

    run = installation.start("--tenant", "takaro")

    assert run.code == 0, run.err
    assert run.job["status"] == "completed"
    assert (run.job["quarantined"], run.job["quarantined_messages"]) == (1, [named])
    (told,) = json.loads(installation.raysync("status", "--json").out)["jobs"]
    assert (told["quarantined"], told["quarantined_messages"]) == (1, [named])

    emulator.edits.mend_message(channel.id, message_id)
    mended = installation.start("--tenant", "takaro", "--full")

    assert mended.code == 0, mended.err
    assert (mended.job["quarantined"], mended.job["quarantined_messages"]) == (0, [])
    installation.assert_complete("takaro", emulator)
