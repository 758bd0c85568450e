"""A raysync of its own, used as people use it: programs, an emulated Discord, a home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.worker_memory import WorkerMemory, watching_workers

TENANT = "checked"
READY_WITHIN_S = 120.0
_PROGRAM = [sys.executable, "-m", "raysync"]
_OURS = ("RAYSYNC_", "SYNC_", "RAY_")


class ProgramFailedError(AssertionError):
    """A raysync command ended otherwise than it should; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Run:
    """One `raysync start`: its job, what Discord saw of it, and what its workers took."""

    job: dict[str, Any]
    requests: list[dict[str, Any]]  #: the emulator's log, oldest first
    workers: WorkerMemory

    @property
    def took_s(self) -> float:
        """From the first request to the last, by the emulator's clock."""
        return float(self.requests[-1]["at_s"] - self.requests[0]["at_s"])

    @property
    def refused(self) -> int:
        """How many requests Discord answered with 429."""
        return sum(1 for each in self.requests if each["status"] == 429)


@dataclass(frozen=True, slots=True)
class Installation:
    """A home with one tenant, and the emulator it is synced from."""

    home: Path
    environment: dict[str, str]

    def start(self, *options: str) -> Run:
        """Sync, and wait for the end."""
        self._control("DELETE", "log")
        command = [*_PROGRAM, "start", "--tenant", TENANT, "--json", *options]
        result, said = self.home / "result.json", self.home / "start.log"
        with result.open("wb") as output, said.open("wb") as errors:
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=errors)
            with process, watching_workers(process.pid) as workers:
                code = process.wait()
        if code != 0:
            raise ProgramFailedError(f"start: exit code {code}\n{said.read_text()[-4000:]}")
        (job,) = json.loads(result.read_text())["jobs"]
        return Run(job, self._control("GET", "log"), workers())

    def export(self, output: Path) -> None:
        """Write the archive as JSON lines."""
        self.run("export", "--tenant", TENANT, "--format", "jsonl", "--output", str(output))

    def run(self, *command: str) -> str:
        """What a command prints; ProgramFailedError unless it ends with 0."""
        done = subprocess.run(
            [*_PROGRAM, *command], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ProgramFailedError(f"{command[0]}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def _control(self, method: str, what: str) -> Any:
        base = self.environment["RAYSYNC_DISCORD_API_URL"].removesuffix("/api/v10")
        request = urllib.request.Request(f"{base}/_emulator/{what}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def installation(emulator: Sequence[str], **settings: str) -> Iterator[Installation]:
    """Serve a guild (*emulator*: options of `raysync emulator serve`) to a raysync of its own.

    *settings* are variables of its environment. All of it is gone at the end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="raysync-check-") as directory,
        _emulator(Path(directory), emulator) as ready,
        installed(ready["url"], ready["token"], int(ready["guilds"][0]), **settings) as made,
    ):
        yield made


@contextmanager
def installed(url: str, token: str, guild_id: int, **settings: str) -> Iterator[Installation]:
    """A raysync of its own, with one tenant: a guild of the emulator at *url*."""
    with tempfile.TemporaryDirectory(prefix="raysync-check-") as directory:
        environment = _clean_environment() | settings
        environment["RAYSYNC_HOME"] = directory
        environment["RAYSYNC_DISCORD_API_URL"] = url
        environment["DISCORD_TOKEN"] = token
        made = Installation(Path(directory), environment)
        made.run("tenant", "add", TENANT, "--guild", str(guild_id), "--token-env", "DISCORD_TOKEN")
        try:
            yield made
        finally:
            made.run("db", "stop")


def _clean_environment() -> dict[str, str]:
    """The caller's, but nothing of another raysync or Ray in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


@contextmanager
def _emulator(directory: Path, options: Sequence[str]) -> Iterator[dict[str, Any]]:
    ready_file, said = directory / "emulator.json", directory / "emulator.log"
    command = [*_PROGRAM, "emulator", "serve", "--port", "0", "--ready-file", str(ready_file)]
    with said.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options],
            env=_clean_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with process:
        try:
            deadline_s = time.monotonic() + READY_WITHIN_S
            while not ready_file.exists():
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise ProgramFailedError(f"the emulator did not start\n{said.read_text()}")
                time.sleep(0.05)
            yield json.loads(ready_file.read_text())
        finally:
            process.terminate()
