"""raysync as a user has it: a database, an environment, and the program."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from raysync.emulator import Emulator
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId
from raysync.store.archive.export import export_lines
from raysync.store.connection.engine import open_engine
from raysync.store.tenants import TenantStore
from tests.truth import Row, assert_same_archive, expected_rows, exported_rows

TOKEN = "a-bot-token.that-nobody.may-see"
SECRET_KEY = "a-secret-key-of-the-cluster-tests"
RUN_LIMIT_S = 90
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "USER")


@dataclass(frozen=True, slots=True)
class Ended:
    """Result of a finished program."""

    code: int
    out: str
    err: str

    @property
    def job(self) -> dict[str, Any]:
        """The only job in the run's `--json` output."""
        (job,) = json.loads(self.out)["jobs"]
        return dict(job)


@dataclass(frozen=True, slots=True)
class Installation:
    """Database and the complete environment of the programs that use it."""

    database_url: str
    environ: Mapping[str, str] = field(repr=False)

    def with_environ(self, **changes: str | None) -> Installation:
        """Return a copy with some variables set, and others (None) unset."""
        changed = {**self.environ, **changes}
        kept = {name: value for name, value in changed.items() if value is not None}
        return Installation(self.database_url, kept)

    def for_emulator(self, emulator: Emulator) -> Installation:
        """Return a copy that uses *emulator* instead of Discord."""
        return self.with_environ(RAYSYNC_DISCORD_API_URL=emulator.url)

    def add_tenant(
        self,
        slug: str,
        guild_id: int,
        token_ref: str = "env:DISCORD_TOKEN",
        privacy: Privacy = Privacy.PSEUDONYMOUS,
    ) -> None:
        """Add a tenant, as `raysync tenant add` does."""

        async def add() -> None:
            engine = open_engine(self.database_url, pool_size=1, application_name="tests")
            store = TenantStore(engine)
            await store.add(slug, GuildId(guild_id), slug, token_ref, privacy)
            await engine.dispose()

        asyncio.run(add())

    def raysync(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "raysync", *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> Ended:
        """Run `raysync start --json`."""
        return self.raysync("start", "--json", *arguments)

    @contextmanager
    def starting(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run `raysync start --json` in the background; kill it at the end of the block."""
        program = subprocess.Popen(
            [sys.executable, "-m", "raysync", "start", "--json", *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with program:
            try:
                yield program
            finally:
                program.kill()

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run a query and return its rows."""
        with psycopg.connect(self.database_url, row_factory=dict_row) as session:
            return session.execute(statement.encode(), values).fetchall()

    def read_minutes_later(self) -> None:
        """Date the last sync six minutes later, when no earlier message can still appear."""
        self.query(
            "UPDATE sync_progress SET last_synced_at = last_synced_at + interval '6 minutes'"
            " RETURNING channel_id"
        )

    def exported(self, slug: str) -> list[Row]:
        """Export a tenant and return the rows."""

        async def lines() -> str:
            engine = open_engine(self.database_url, pool_size=1, application_name="tests")
            tenant = await TenantStore(engine).get(slug)
            async with aclosing(export_lines(engine, tenant.id)) as blocks:
                text = b"".join([block async for block in blocks]).decode()
            await engine.dispose()
            return text

        return list(exported_rows(asyncio.run(lines()).splitlines()))

    def assert_complete(self, slug: str, emulator: Emulator, token: str = TOKEN) -> None:
        """Assert that the archive is exactly what the tenant's bot can read."""
        (guild_id,) = emulator.world.bots[token].guild_ids
        expected = expected_rows(emulator.world.truth(guild_id, token=token))
        assert_same_archive(expected, self.exported(slug))


def ended(program: subprocess.Popen[str], within_s: float = RUN_LIMIT_S) -> Ended:
    """Wait until a started program ends, and return its result."""
    out, err = program.communicate(timeout=within_s)
    return Ended(program.returncode, out, err)


def ray_environ() -> dict[str, str]:
    """Return an environment for Ray, without the machine's own settings."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return kept | {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }


def environ_of(database_url: str, home: str) -> dict[str, str]:
    """Return the environment that every program of the tests needs."""
    return ray_environ() | {
        "RAYSYNC_HOME": home,
        "RAYSYNC_DATABASE_URL": database_url,
        "RAYSYNC_SECRET_KEY": SECRET_KEY,
        "DISCORD_TOKEN": TOKEN,
        "COLUMNS": "100",
    }
