"""Of the people of a pseudonymous tenant nothing is in the database: looked for by name and id."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.emulator import EmulatorThread
from raysync.models.extras import Extras
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from tests.archive import Archive
from tests.cluster.secrecy import Search
from tests.recognizable_people import PERSONAL_VALUE, values_of_people, world_of_recognizable_people

TOKEN = "a-token"


async def test_nobody_is_in_a_dump_of_the_database(engine: AsyncEngine, database_url: str) -> None:
    world = world_of_recognizable_people(TOKEN)
    (guild_id,) = world.guilds
    with EmulatorThread(world) as emulator:
        archive = Archive(engine, emulator.url, TOKEN, 100)
        await archive.add(guild_id)
        end = await archive.run(SyncWindow(SyncType.FULL, extras=Extras(reactors=True)))
        rows = await archive.rows()
    people = Search(values_of_people(world), PERSONAL_VALUE)
    people.database(database_url)

    assert end.status is JobStatus.COMPLETED
    assert len(rows) > 200
    assert people.looked_at > len(rows), "the dump holds them"
    assert people.found == []
