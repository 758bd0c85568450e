"""Time of the commands that only look, in archives of several sizes.

    uv run python tests/bench/bench_large.py [--messages 1000000,10000000] [--repeat 3]
        [--home DIR] [--counts]

Cold: the server has just started, and its files are not in the system's cache. Warm: the median of
the next calls. *database* is the time that the server spent on the command's statements, *CPU* the
processor time of the command itself. With --home, databases stay in that folder for later calls.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.store.server import migrate
from raysync.store.server.embedded import start_embedded, stop_embedded
from tests.bench.figures import aligned, machine
from tests.bench.harness import BenchError
from tests.bench.large_archive import CORPUS, fill, plain

REPEAT: Final = 3
WITHIN_S: Final = 900.0
LOOKS: Final[Mapping[str, str]] = {
    "status": "tenants x channels of their last jobs",
    "status --json": "tenants x channels of their last jobs",
    "status --tenant largest": "channels",
    "report --tenant largest": "channels of the job, jobs",
    "report --tenant largest --html -": "channels of the job, jobs",
    "report --tenant largest --json": "channels of the job, jobs",
    "doctor": "tenants, dead letters, jobs",
    "audit": "1",
    "audit --tenant tiny": "entries of the log",
    "tenant list": "tenants",
    "tenant show largest": "1",
    "dead-letters list --tenant largest": "dead letters",
    "forget --tenant largest --list": "entries",
    "privacy retention --tenant largest": "1",
    "privacy show --tenant largest": "channels",
    "privacy show --tenant middle": "channels",
    "privacy show --tenant small": "messages, up to 200,000",
    "privacy show --tenant tiny": "messages, up to 200,000",
    "privacy rescrub --tenant largest": "channels",
    "privacy purge --tenant largest": "channels, stored files, messages that are due",
    "db current": "1",
}
"""Commands that only look, or show first what they would do, and what their cost grows with.

Nothing is due in the archive, so `privacy purge` goes on without a question.
"""
COUNTS: Final[Mapping[str, str]] = {
    "privacy show --tenant largest --exact": "messages of the tenant",
    "forget --tenant largest --channel 1": "messages of the tenant",
}
"""Commands that count. The second one searches for mentions."""
_KEY: Final = "the secret key of the bench"
_ACTIVE = "SELECT active_time FROM pg_stat_database WHERE datname = current_database()"
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Time of one command, in seconds."""

    database: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Archive:
    """A filled database on the embedded server of *home*."""

    home: Path
    name: str

    def url(self) -> str:
        """Start the server unless it runs. Return the database's URL."""
        found = make_url(start_embedded(self.home)).set(database=self.name)
        return plain(found.render_as_string(hide_password=False))

    def forget_caches(self) -> None:
        """Stop the server, and take its files out of the system's cache."""
        stop_embedded(self.home)
        for path in (self.home / "postgres").rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)

    def run(self, command: str) -> Spent:
        """Run a command of raysync. Raises BenchError if it failed."""
        with psycopg.connect(self.url(), autocommit=True) as session:
            before_ms = _active_ms(session)
            environ = {**os.environ, "RAYSYNC_DATABASE_URL": self.url(), "T": ""}
            began_s = _cpu_s()
            done = subprocess.run(
                [sys.executable, "-m", "raysync", *command.split()],
                env=environ | {"RAYSYNC_SECRET_KEY": _KEY, "RAYSYNC_HOME": str(self.home)},
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=WITHIN_S,
                check=False,
            )
            took_s = _cpu_s() - began_s
            is_asked = done.returncode == 2 and b"--yes" in done.stderr
            is_judged = done.returncode == 1 and command == "doctor"
            if done.returncode and not is_asked and not is_judged:
                raise BenchError(f"{command}: {done.returncode}\n{done.stderr.decode()[-2000:]}")
            return Spent((_active_ms(session) - before_ms) / 1000, took_s)


def _active_ms(session: psycopg.Connection) -> float:
    """Return the server's time for statements, once all other sessions have reported theirs."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        (others,) = session.execute(_OTHERS).fetchone() or (0,)
        if not others:
            break
    session.execute("SELECT pg_stat_clear_snapshot()")
    (active,) = session.execute(_ACTIVE).fetchone() or (0.0,)
    return float(active)


def _cpu_s() -> float:
    """Return the processor time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def archive_of(home: Path, messages: int) -> Archive:
    """Return an archive of that many messages, filled now unless *home* has it."""
    name = f"large_{messages}"
    with psycopg.connect(plain(start_embedded(home)), autocommit=True) as session:
        found = session.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    archive = Archive(home, name)
    if found is None:
        migrate.upgrade(archive.url())
        filled = fill(archive.url(), messages, corpus=CORPUS)
        print(f"{messages:,} messages: {filled.seconds:,.0f} s, {filled.bytes / 1e9:.1f} GB")
    return archive


def measure(
    home: Path, sizes: Sequence[int], commands: Mapping[str, str], repeat: int = REPEAT
) -> None:
    """Measure each command in each archive, and print the table."""
    print(machine(), flush=True)
    archives = [archive_of(home, size) for size in sizes]
    rows = []
    for command, growth in commands.items():
        row = [command, growth]
        for archive in archives:
            archive.forget_caches()
            cold = archive.run(command)
            warm = [archive.run(command) for _ in range(repeat)]
            row += [f"{cold.database:.2f}", f"{statistics.median(w.database for w in warm):.2f}"]
        row.append(f"{statistics.median(w.cpu for w in warm):.1f}")
        rows.append(row)
        print(" | ".join(row), flush=True)
    heads = ["command", "grows with"]
    for size in sizes:
        heads += [f"{size:,}, cold", "warm"]
    heads.append("CPU")
    print(aligned(heads, rows))


@pytest.mark.timeout(900)
def test_commands_that_look() -> None:
    with tempfile.TemporaryDirectory(prefix="raysync-bench-") as directory:
        try:
            measure(Path(directory), [100_000], LOOKS, 1)
        finally:
            stop_embedded(Path(directory))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", default="1000000", metavar="N,…")
    parser.add_argument("--repeat", type=int, default=REPEAT, metavar="N")
    parser.add_argument("--home", type=Path, metavar="DIR", help="keep the databases here")
    parser.add_argument("--counts", action="store_true", help="measure commands that count, too")
    given = parser.parse_args()
    wanted = [int(number) for number in given.messages.split(",")]
    looks = {**LOOKS, **COUNTS} if given.counts else LOOKS
    if given.home is not None:
        measure(given.home, wanted, looks, given.repeat)
    else:
        with tempfile.TemporaryDirectory(prefix="raysync-bench-") as folder:
            try:
                measure(Path(folder), wanted, looks, given.repeat)
            finally:
                stop_embedded(Path(folder))
