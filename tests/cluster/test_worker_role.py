"""Runs under the least privileged role, which suffices for them."""

from __future__ import annotations

import json
import uuid

import pytest
from sqlalchemy import make_url

from tests.cluster.guilds import served, wide_world
from tests.cluster.installation import Installation, ended
from tests.cluster.midrun import wait_for_pages


@pytest.mark.slow  # tests/emulator/test_worker_role.py does so without Ray
def test_a_worker_role_begins_a_run_ends_it_goes_on_and_verifies(
    installation: Installation,
) -> None:
    role = f"role_worker_{uuid.uuid4().hex[:12]}"
    granted = installation.raysync("db", "grant-worker", "--role", role)
    assert granted.code == 0, granted.err
    assert f"\\password {role}" in granted.err
    url = make_url(installation.database_url).set(username=role)
    world = wide_world(channels=6, pages=8)
    (guild_id,) = world.guilds
    with served(world) as emulator:
        owner = installation.for_emulator(emulator)
        of_guild = ("--guild", str(guild_id), "--token-env", "DISCORD_TOKEN")
        added = owner.raysync("tenant", "add", "takaro", *of_guild)
        assert added.code == 0, added.err  # names the key, too, which a worker may not do first
        worker = owner.with_environ(RAYSYNC_DATABASE_URL=url.render_as_string(hide_password=False))
        with worker.starting("--tenant", "takaro") as program:
            wait_for_pages(emulator, 12, program)
            program.terminate()
            assert ended(program).code == 130
        (job,) = json.loads(worker.raysync("status", "--json").out)["jobs"]
        for command in (
            ("resume", "--job-id", job["job_id"]),
            ("verify", "--tenant", "takaro", "--sample", "2"),
        ):
            done = worker.raysync(*command)
            assert done.code == 0, (command, done.err)
        worker.assert_complete("takaro", emulator)
