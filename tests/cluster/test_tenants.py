"""Several tenants in one run."""

from __future__ import annotations

import json

from tests.cluster.guilds import EVERYWHERE, served, two_guilds
from tests.cluster.installation import Installation
from tests.truth import Row


def test_two_tenants_are_synced_side_by_side_under_pseudonyms_of_their_own(
    installation: Installation,
) -> None:
    first, second = "first.bot", "second.bot"
    world = two_guilds(first, second)
    with served(world) as emulator:
        installation = installation.for_emulator(emulator).with_environ(FIRST=first, SECOND=second)
        for slug, token in (("first", first), ("second", second)):
            (guild_id,) = world.bots[token].guild_ids
            installation.add_tenant(slug, guild_id, f"env:{slug.upper()}")

        run = installation.start()

        assert run.code == 0, run.err
        jobs = json.loads(run.out)["jobs"]
        assert {job["tenant"]: job["status"] for job in jobs} == {
            "first": "completed",
            "second": "completed",
        }
        installation.assert_complete("first", emulator, first)
        installation.assert_complete("second", emulator, second)
        names = [author_of(EVERYWHERE, installation.exported(slug)) for slug in ("first", "second")]
        assert names[0] != names[1]


def test_a_tenant_whose_token_is_refused_fails_alone(installation: Installation) -> None:
    first, second = "first.bot", "second.bot"
    world = two_guilds(first, second)
    with served(world) as emulator:
        installation = installation.for_emulator(emulator).with_environ(FIRST=first, SECOND="wrong")
        for slug, token in (("first", first), ("second", second)):
            (guild_id,) = world.bots[token].guild_ids
            installation.add_tenant(slug, guild_id, f"env:{slug.upper()}")

        run = installation.start()

        assert run.code == 1, run.err
        jobs = {job["tenant"]: job for job in json.loads(run.out)["jobs"]}
        assert jobs["first"]["status"] == "completed"
        assert jobs["second"]["status"] == "failed"
        assert "rejects the token" in jobs["second"]["errors"][0]["error"]
        installation.assert_complete("first", emulator, first)


def test_a_tenant_whose_token_is_missing_fails_alone(installation: Installation) -> None:
    first, second = "first.bot", "second.bot"
    world = two_guilds(first, second)
    with served(world) as emulator:
        installation = installation.for_emulator(emulator).with_environ(FIRST=first)
        for slug, token in (("first", first), ("second", second)):
            (guild_id,) = world.bots[token].guild_ids
            installation.add_tenant(slug, guild_id, f"env:{slug.upper()}")

        run = installation.start()

        assert run.code == 1, run.err
        jobs = {job["tenant"]: job for job in json.loads(run.out)["jobs"]}
        assert jobs["first"]["status"] == "completed"
        assert jobs["second"]["status"] == "failed"
        assert "SECOND" in jobs["second"]["errors"][0]["error"]
        installation.assert_complete("first", emulator, first)


def author_of(content: str, rows: list[Row]) -> str:
    """Who wrote the one message with that content, as the archive names them."""
    (row,) = (each for each in rows if each["content"] == content)
    return str(row["author"])
