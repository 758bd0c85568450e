"""Harness that runs raysync and the baseline against an emulator, each with a new database.

What is copied is compared with what is served after every run: a figure of a wrong copy is worth
nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from raysync.models.entities import Privacy
from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded
from tests.bench.cpu import watching_cpu
from tests.bench.discord_process import DiscordProcess, ServedGuild
from tests.bench.figures import Run
from tests.cluster.installation import Installation, environ_of

RUN_WITHIN_S = 900.0
COPIED = """
SELECT platform_channel_id, platform_message_id
FROM messages JOIN channels ON channels.id = messages.channel_id
JOIN tenants ON tenants.id = messages.tenant_id
WHERE platform_id = %s AND messages.deleted_at IS NULL"""
WALKED = "SELECT channel_id, message_id FROM baseline_messages"
_ROOT = Path(__file__).resolve().parent.parent.parent


class BenchError(AssertionError):
    """Failure of a program, or an incomplete copy."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Output of a program, and its cost."""

    out: str
    wall_s: float
    run: Callable[[int, list[dict[str, Any]]], Run]


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Database server, and programs that are measured on it."""

    server_url: str
    server_pid: int
    home: Path

    def sync(
        self,
        discord: DiscordProcess,
        workers: int,
        settings: Mapping[str, str] | None = None,
        privacy: Privacy = Privacy.PSEUDONYMOUS,
    ) -> Run:
        """Copy the served guilds with raysync. Raise BenchError unless the copy is complete."""
        with self.archive(discord, settings, privacy) as start:
            return start("--full", "--workers", str(workers))

    @contextmanager
    def archive(
        self,
        discord: DiscordProcess,
        settings: Mapping[str, str] | None = None,
        privacy: Privacy = Privacy.PSEUDONYMOUS,
    ) -> Iterator[Callable[..., Run]]:
        """An archive of its own: to be called with arguments of `raysync start`, run after run.

        BenchError where what is stored and not marked as deleted is not what is served, unless
        *check* is False: in the middle of a sweep it is not yet.
        """
        with self.database() as url:
            installed = self._installed(discord, url, settings or {}, privacy)

            def start(*arguments: str, check: bool = True) -> Run:
                command = [sys.executable, "-m", "raysync", "start", "--json", *arguments]
                ended = self._measured(discord, command, installed.environ, "driver")
                guilds = discord.guilds if check else ()
                copied = sum(_compared(discord, guild, url) for guild in guilds)
                return ended.run(copied, json.loads(ended.out)["jobs"])

            yield start

    def walk(self, discord: DiscordProcess, channels: int) -> Run:
        """Copy the first channels of the first guild with the baseline."""
        guild = discord.guilds[0]
        with self.database() as url:
            command = [sys.executable, "-m", "tests.bench.baseline", "--url", discord.url]
            command += ["--token", guild.token, "--guild", str(guild.guild_id)]
            command += ["--channels", str(channels), "--database-url", _plain(url)]
            ended = self._measured(discord, command, environ_of(url, str(self.home)), "baseline")
            copied = _rows(url, WALKED)
        read = {channel_id for channel_id, _ in copied}
        served = {each for each in discord.message_ids(guild) if each[0] in read}
        if len(read) != channels or set(copied) != served:
            raise BenchError(f"the baseline copied {len(copied)} of {len(served)} messages")
        return ended.run(len(copied), [])

    def _installed(
        self, discord: DiscordProcess, url: str, settings: Mapping[str, str], privacy: Privacy
    ) -> Installation:
        """Yield raysync with a tenant for each served guild."""
        tokens = {f"TOKEN_{n}": each.token for n, each in enumerate(discord.guilds, start=1)}
        installed = Installation(url, environ_of(url, str(self.home))).with_environ(
            RAYSYNC_DISCORD_API_URL=discord.url, **tokens, **settings
        )
        for name, guild in zip(tokens, discord.guilds, strict=True):
            installed.add_tenant(guild.bot, guild.guild_id, f"env:{name}", privacy)
        return installed

    def _measured(
        self,
        discord: DiscordProcess,
        command: Sequence[str],
        environ: Mapping[str, str],
        group: str,
    ) -> Ended:
        discord.reset()
        started_s, began_s = time.monotonic(), time.time()
        said = self.home / f"{group}.log"
        with (
            said.open("w") as errors,
            subprocess.Popen(
                command, env=environ, cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
            ) as program,
        ):
            roots = {program.pid: group, self.server_pid: "postgres", discord.pid: "emulator"}
            try:
                with watching_cpu(roots) as cpu:
                    out, _ = program.communicate(timeout=RUN_WITHIN_S)
            finally:
                program.kill()
        wall_s, requests = time.monotonic() - started_s, discord.log()
        if program.returncode != 0:
            raise BenchError(f"{group}: exit code {program.returncode}\n{said.read_text()[-4000:]}")
        return Ended(
            out, wall_s, lambda copied, jobs: Run(requests, cpu(), began_s, wall_s, copied, jobs)
        )

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create a migrated database for one run."""
        name = f"bench_{uuid.uuid4().hex}"
        with psycopg.connect(self.server_url, autocommit=True) as session:
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            url = make_url(self.server_url).set(database=name)
            text = url.render_as_string(hide_password=False)
            migrate.upgrade(text)
            try:
                yield text
            finally:
                drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                session.execute(drop)


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """Start the embedded database server, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="raysync-bench-") as directory:
        home = Path(directory)
        try:
            url = start_embedded(home)
            (pid_file,) = home.rglob("postmaster.pid")
            yield Laboratory(url, int(pid_file.read_text().split()[0]), home)
        finally:
            stop_embedded(home)


def _compared(discord: DiscordProcess, guild: ServedGuild, url: str) -> int:
    """Count the copied messages. Raise BenchError unless they are the served ones."""
    copied, served = _rows(url, COPIED, guild.guild_id), discord.message_ids(guild)
    if len(copied) != len(served) or set(copied) != served:
        raise BenchError(f"{len(copied)} rows, {len(set(copied) & served)} of {len(served)} served")
    return len(copied)


def _rows(url: str, statement: str, *values: object) -> list[tuple[int, int]]:
    with psycopg.connect(_plain(url)) as session:
        return [(int(a), int(b)) for a, b in session.execute(statement.encode(), values)]


def _plain(url: str) -> str:
    """Return the URL in psycopg's own form."""
    plain = make_url(url).set(drivername="postgresql")
    return plain.render_as_string(hide_password=False)
