"""Everything beside Ray under the least privileged role: extras, edits, and the commands."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from raysync.cli.app import app
from raysync.doctor import tenant as doctor_of_tenant
from raysync.emulator import EmulatorThread, GuildSpec, World, generate_guild
from raysync.models.extras import Extras, FileRules
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.store.connection.engine import open_engine
from raysync.store.jobs.lifecycle import JobStore
from raysync.store.jobs.reset import reset_progress
from raysync.store.server.roles import RoleStore
from tests.archive import Archive

TOKEN = "a-token"


@pytest.fixture
async def worker(engine: AsyncEngine, database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine that connects as a worker."""
    role = f"role_worker_{uuid.uuid4().hex[:12]}"
    await RoleStore(engine).grant_worker(role)
    opened = open_engine(
        make_url(database_url).set(username=role).render_as_string(hide_password=False),
        pool_size=10,
        application_name="raysync tests",
    )
    yield opened
    await opened.dispose()


async def test_a_worker_reads_everything_and_follows_what_changes(
    engine: AsyncEngine, worker: AsyncEngine, tmp_path
) -> None:
    world = World(generate_guild(GuildSpec.tiny()))
    world.add_bot(TOKEN)
    (guild,) = world.guilds.values()
    extras = Extras(reactors=True, files=FileRules(str(tmp_path)))
    with EmulatorThread(world) as emulator:
        archive = Archive(worker, emulator.url, TOKEN, 100)
        owners = Archive(engine, emulator.url, TOKEN, 100)
        await owners.add(guild.id)
        archive.tenant = owners.tenant
        assert archive.tenant is not None
        first = await archive.run(SyncWindow(SyncType.FULL, extras=extras))
        edited = next(each for each in world.readable_channels(TOKEN, guild.id) if each.log.ids)
        newest = edited.log.ids[-1]
        emulator.edits.edit_message(edited.id, newest, "said anew")
        emulator.edits.add_reaction(edited.id, newest, "👍", guild.owner_id)
        emulator.edits.delete_message(edited.id, edited.log.ids[0])
        second = await archive.run(SyncWindow(SyncType.FULL, extras=extras))
        rows = await archive.rows()

        assert (first.status, second.status) == (JobStatus.COMPLETED, JobStatus.COMPLETED)
        assert rows[edited.id, newest] == ("said anew", True)
        assert len(await archive.reactions()) > 0
        assert await reset_progress(worker, archive.tenant.id) > 0
        jobs = JobStore(worker)
        job_id = await jobs.begin(archive.tenant.id, SyncWindow(SyncType.FULL))
        await jobs.finish(job_id, JobStatus.CANCELLED)
        assert (await jobs.resume(job_id)).status is JobStatus.RUNNING


def test_the_commands_work_for_a_worker_and_those_of_the_owner_are_refused_in_a_sentence(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(doctor_of_tenant, "PAUSE_S", 0.0)
    world = World(generate_guild(GuildSpec(text_channels=2, text_messages=30)))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    role = f"role_worker_{uuid.uuid4().hex[:12]}"
    as_worker = make_url(database_url).set(username=role).render_as_string(hide_password=False)
    with EmulatorThread(world) as emulator:
        for name, value in {
            "RAYSYNC_HOME": str(tmp_path / "home"),
            "RAYSYNC_DATABASE_URL": database_url,
            "RAYSYNC_SECRET_KEY": "a secret key of the tests alone",
            "RAYSYNC_DISCORD_API_URL": emulator.url,
            "DISCORD_TOKEN": TOKEN,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        tenant, add = ("--tenant", "takaro"), ("--guild", str(guild_id), "--token-env", "T")
        ok("tenant", "add", "takaro", "--guild", str(guild_id), "--token-env", "DISCORD_TOKEN")
        assert f"\\password {role}" in ok("db", "grant-worker", "--role", role)
        assert "password" not in ok("db", "grant-worker", "--role", role)
        analyst = f"{role}_analyst"
        ok("db", "grant-analyst", *tenant, "--role", analyst)
        ok("db", "revoke-analyst", *tenant, "--role", analyst)
        assert analyst in raysync("audit", "--json").stdout

        job_id = str(uuid.uuid4())
        with psycopg.connect(database_url) as session:
            session.execute(
                "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status)"
                " SELECT %s, id, 'full', 0, 'running' FROM tenants",
                (job_id,),
            )

        monkeypatch.setenv("RAYSYNC_DATABASE_URL", as_worker)
        ok("cancel", "--job-id", job_id)
        ok("status")
        ok("report", *tenant)
        ok("doctor")
        ok("audit")
        ok("dead-letters", "list", *tenant)
        ok("export", *tenant, "--format", "jsonl")
        ok("tenant", "list")
        ok("tenant", "show", "takaro")
        ok("privacy", "show", *tenant)
        ok("privacy", "export", *tenant, "--user", "1")
        ok("forget", *tenant, "--list")
        ok("db", "current")
        ok("db", "upgrade")
        ok("reset", *tenant, "--yes")
        for command in (
            ("tenant", "remove", "takaro", "--yes"),
            ("tenant", "pause", "takaro"),
            ("forget", *tenant, "--user", "1", "--yes"),
            ("forget", *tenant, "--channel", "1", "--yes"),
            ("forget", *tenant, "--all", "--yes"),
            ("privacy", "rotate", *tenant),
            ("privacy", "rescrub", *tenant, "--yes"),
            ("privacy", "retention", *tenant, "--max-age", "365d"),
            ("tenant", "add", "more", *add),
            ("db", "grant-worker", "--role", f"{role}2"),
            ("db", "revoke-worker", "--role", role),
        ):
            refused = raysync(*command)
            assert refused.exit_code == 2, (command, refused.stderr)
            assert "may not" in refused.stderr or "does not allow" in refused.stderr
            assert "grant-worker" not in refused.stderr, "it is one already"
        begun = [each for each in _audited() if each["action"].endswith("begun")]
        assert begun == [], "what was refused was not begun"


def _audited() -> list[dict[str, str]]:
    return json.loads(raysync("audit", "--json").stdout)["entries"]


def raysync(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def ok(*arguments: str) -> str:
    done = raysync(*arguments)
    assert done.exit_code == 0, (arguments, done.stderr)
    return done.stderr
