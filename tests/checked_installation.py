"""Separate raysync installation, used as people use it, with an emulated Discord."""

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
    """Unexpected end of a raysync command; the text is its output."""


@dataclass(frozen=True, slots=True)
class Run:
    """One `raysync start`: its job, its requests at Discord, and its workers' memory."""

    job: dict[str, Any]
    requests: list[dict[str, Any]]  #: the emulator's log, oldest first
    workers: WorkerMemory

    @property
    def took_s(self) -> float:
        """Seconds from the first request to the last, by the emulator's clock."""
        return float(self.requests[-1]["at_s"] - self.requests[0]["at_s"])

    @property
    def refused(self) -> int:
        """Number of requests that Discord answered with 429."""
        return sum(1 for request in self.requests if request["status"] == 429)


@dataclass(frozen=True, slots=True)
class Installation:
    """Home directory with one tenant, and the emulator that it syncs from."""

    home: Path
    environment: dict[str, str]

    def start(self, *options: str) -> Run:
        """Run `raysync start` to its end."""
        self._control("DELETE", "log")
        command = [*_PROGRAM, "start", "--tenant", TENANT, "--json", *options]
        result, log = self.home / "result.json", self.home / "start.log"
        with result.open("wb") as output, log.open("wb") as errors:
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=errors)
            with process, watching_workers(process.pid) as workers:
                code = process.wait()
        if code != 0:
            raise ProgramFailedError(f"start: exit code {code}\n{log.read_text()[-4000:]}")
        (job,) = json.loads(result.read_text())["jobs"]
        return Run(job, self._control("GET", "log"), workers())

    def export(self, output: Path) -> None:
        """Write the archive as JSON lines."""
        self.run("export", "--tenant", TENANT, "--format", "jsonl", "--output", str(output))

    def run(self, *command: str) -> str:
        """Return the output of a command. Raise ProgramFailedError unless it exits with 0."""
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
    """Serve a guild to a new installation, and delete both at the end.

    *emulator* are options of `raysync emulator serve`, *settings* environment variables.
    """
    with (
        tempfile.TemporaryDirectory(prefix="raysync-check-") as directory,
        _emulator(Path(directory), emulator) as ready,
        installed(ready["url"], ready["token"], int(ready["guilds"][0]), **settings) as made,
    ):
        yield made


@contextmanager
def installed(url: str, token: str, guild_id: int, **settings: str) -> Iterator[Installation]:
    """Create an installation with one tenant: a guild of the emulator at *url*."""
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
    """Return the caller's environment without variables of raysync and Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


@contextmanager
def _emulator(directory: Path, options: Sequence[str]) -> Iterator[dict[str, Any]]:
    ready_file, log = directory / "emulator.json", directory / "emulator.log"
    command = [*_PROGRAM, "emulator", "serve", "--port", "0", "--ready-file", str(ready_file)]
    with log.open("wb") as output:
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
                    raise ProgramFailedError(f"the emulator did not start\n{log.read_text()}")
                time.sleep(0.05)
            yield json.loads(ready_file.read_text())
        finally:
            process.terminate()
