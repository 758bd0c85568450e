"""Several tenants in one run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from raysync.emulator import Emulator
from tests.cluster.guilds import EVERYWHERE, served, two_guilds
from tests.cluster.installation import Installation
from tests.truth import Row

FIRST, SECOND = "first.bot", "second.bot"  # tokens


@pytest.fixture
def two_tenants(installation: Installation) -> Iterator[tuple[Installation, Emulator]]:
    """Serve a guild for each of two tenants, whose tokens are environment variables."""
    world = two_guilds(FIRST, SECOND)
    with served(world) as emulator:
        prepared = installation.for_emulator(emulator).with_environ(FIRST=FIRST, SECOND=SECOND)
        for slug, token in (("first", FIRST), ("second", SECOND)):
            (guild_id,) = world.bots[token].guild_ids
            prepared.add_tenant(slug, guild_id, f"env:{slug.upper()}")
        yield prepared, emulator


def test_two_tenants_are_synced_side_by_side_under_pseudonyms_of_their_own(
    two_tenants: tuple[Installation, Emulator],
) -> None:
    installation, emulator = two_tenants

    run = installation.start()

    assert run.code == 0, run.err
    jobs = json.loads(run.out)["jobs"]
    assert {job["tenant"]: job["status"] for job in jobs} == {
        "first": "completed",
        "second": "completed",
    }
    installation.assert_complete("first", emulator, FIRST)
    installation.assert_complete("second", emulator, SECOND)
    names = [author_of(EVERYWHERE, installation.exported(slug)) for slug in ("first", "second")]
    assert names[0] != names[1]


def test_a_tenant_whose_token_is_refused_fails_alone(
    two_tenants: tuple[Installation, Emulator],
) -> None:
    installation, emulator = two_tenants
    installation = installation.with_environ(SECOND="wrong")

    run = installation.start()

    assert run.code == 1, run.err
    jobs = {job["tenant"]: job for job in json.loads(run.out)["jobs"]}
    assert jobs["first"]["status"] == "completed"
    assert jobs["second"]["status"] == "failed"
    assert "rejects the token" in jobs["second"]["errors"][0]["error"]
    installation.assert_complete("first", emulator, FIRST)


def test_a_tenant_whose_token_is_missing_fails_alone(
    two_tenants: tuple[Installation, Emulator],
) -> None:
    installation, emulator = two_tenants
    installation = installation.with_environ(SECOND=None)

    run = installation.start()

    assert run.code == 1, run.err
    jobs = {job["tenant"]: job for job in json.loads(run.out)["jobs"]}
    assert jobs["first"]["status"] == "completed"
    assert jobs["second"]["status"] == "failed"
    assert "SECOND" in jobs["second"]["errors"][0]["error"]
    installation.assert_complete("first", emulator, FIRST)


def author_of(content: str, rows: list[Row]) -> str:
    """Return the pseudonym of the author of the only message with *content*."""
    (row,) = (row for row in rows if row["content"] == content)
    return str(row["author"])
