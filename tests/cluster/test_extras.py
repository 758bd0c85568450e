"""`raysync start --reactors --attachments`, through Ray, at the emulator's limits."""

from __future__ import annotations

import hashlib
from pathlib import Path

from raysync.emulator import GuildSpec, World, generate_guild
from raysync.emulator.generator.spec import Rates
from raysync.emulator.serving.request_log import CDN_ROUTE
from tests.cluster.guilds import MESSAGES, ServeTenant
from tests.cluster.installation import TOKEN, Installation

FAST = "1000"
REACTIONS = "GET /channels/{channel_id}/messages/{message_id}/reactions/{emoji}"


def test_reactors_and_files_come_after_the_messages(
    installation: Installation, tmp_path: Path, serve_tenant: ServeTenant
) -> None:
    spec = GuildSpec(
        text_channels=16, text_messages=4_000, users=40,
        rates=Rates(reactions=0.05, attachments=0.02),
    )  # fmt: skip
    world = World(generate_guild(spec))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    folder = tmp_path / "files"
    installation, emulator = serve_tenant(
        installation, world, SYNC_GLOBAL_REQUESTS_PER_SECOND=FAST, SYNC_CHANNEL_BATCH_SIZE="2"
    )

    run = installation.start(
        "--tenant", "takaro", "--workers", "2", "--reactors", "--attachments", str(folder)
    )

    assert run.code == 0, run.err
    job = run.job
    entries = emulator.log.entries
    reactions = [at for at, each in enumerate(entries) if each.route == REACTIONS]
    pages = [at for at, each in enumerate(entries) if each.route == MESSAGES]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert job["reactors_read"] > 100
    total = sum(len(message["attachments"]) for _, message in world.truth(guild_id))
    assert job["files_stored"] == total > 20
    assert sum(entry.route == CDN_ROUTE for entry in entries) == total
    assert job["files_failed"] == 0
    assert all(hashlib.sha256(file.read_bytes()).hexdigest() == file.name for file in files)
    assert sum(reaction < pages[-1] for reaction in reactions) < len(reactions) / 2, (
        "messages first"
    )
    assert not any(entry.status == 429 for entry in entries)

    emulator.log.reset()
    again = installation.start("--tenant", "takaro", "--reactors", "--attachments", str(folder))
    assert again.code == 0, again.err
    asked = {entry.route for entry in emulator.log.entries}
    assert asked & {REACTIONS, CDN_ROUTE, MESSAGES} == set()
