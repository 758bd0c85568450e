"""Every command, and every place that its output may go to: a pipe, a full device, nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from raysync.models.status import FailureClass
from raysync.models.work import Failure
from raysync.store.archive.page_rows import failure_details
from raysync.store.jobs.rows import view_json
from tests.cli.samples import JOB_ID, channel_error, job_result, job_view

NAME = "Tä – 日本 🎮"
AUTHOR = "u_" + "a" * 26
NO_JOB = "6f1c1c1e-6a52-4f0e-9f55-0a8f7f0a9d12"
READER_GONE = 141
ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 100
_OF_OUTPUT = ("LANG", "LC_ALL", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")


class Kind(Enum):
    """What a command's stdout is to it."""

    SHOWS = auto()  #: all that it is for
    WORKS = auto()  #: tells what was done
    SILENT = auto()  #: not used


@dataclass(frozen=True)
class Command:
    """A command line with arguments that do no harm, and its exit code where all is well."""

    line: str
    kind: Kind
    code: int = 0

    @property
    def arguments(self) -> list[str]:
        return self.line.split()


SHOWN = [
    "--help",
    "--version",
    "start --help",
    "privacy --help",
    "emulator serve --help",
    "status",
    "status --json",
    "status --tenant a --all",
    f"status --watch --job-id {JOB_ID}",
    "report",
    "report --json",
    "report --html -",
    "audit",
    "audit --json",
    "tenant list",
    "tenant list --json",
    "tenant show a",
    "tenant show a --json",
    "dead-letters list --tenant a",
    "dead-letters show --tenant a --channel 300",
    "dead-letters show --tenant a --channel 300 --json",
    "privacy show --tenant a",
    "privacy show --tenant a --json",
    "privacy retention --tenant a",
    "privacy export --tenant a --user " + AUTHOR,
    "export --tenant a --format jsonl",
    "forget --tenant a --list",
    "forget --tenant a --list --json",
    "db url",
    "db current",
]
WORK = [
    ("doctor --tenant a", 1),
    ("doctor --tenant a --json", 1),
    ("privacy retention --tenant a --max-age 9000d", 0),
    ("privacy retention --tenant a --max-age none --json", 0),
    ("privacy purge --tenant a --json", 0),
    ("privacy rescrub --tenant a --yes --json", 0),
    ("forget --tenant a --user 77 --yes --json", 0),
]
SILENT = [
    ("", 2),
    ("nonsense", 2),
    ("status --nonsense", 2),
    ("start --tenant nobody", 2),
    ("start --full --incremental", 2),
    ("tail --tenant a", 2),
    ("submit --address http://127.0.0.1:1 -- start --tenant a", 2),
    ("schedule --every 0s", 2),
    (f"resume --job-id {NO_JOB}", 2),
    (f"cancel --job-id {NO_JOB}", 2),
    ("verify --tenant nobody", 2),
    ("reset --tenant a --yes", 0),
    ("reset --tenant a", 2),
    ("export --tenant a --format jsonl --output /dev/null", 0),
    ("export --tenant a --format jsonl --output /dev/full", 1),
    ("report --html /dev/full", 1),
    (f"privacy export --tenant a --user {AUTHOR} --output /dev/full", 1),
    ("forget --tenant a --undo --user 78", 2),
    ("forget --tenant a --user 77", 2),
    ("privacy rotate --tenant nobody", 2),
    ("privacy accept-key --tenant a --yes", 0),
    ("privacy purge --tenant a", 0),
    ("dead-letters retry --tenant b", 0),
    ("tenant add a --guild 5 --token-env T", 2),
    ("tenant add c --guild 5 --token-stdin", 2),
    ("tenant pause b", 0),
    ("tenant unpause b", 0),
    ("tenant remove nobody --yes", 2),
    ("db upgrade", 0),
    ("db stop", 2),
    ("db grant-analyst --tenant nobody --role role_nobody", 2),
    ("db revoke-analyst --tenant nobody --role role_nobody", 2),
    ("db grant-worker --role pg_nobody", 2),
    ("db revoke-worker --role role_nobody", 2),
    ("demo --messages 1", 2),
    ("emulator serve --channels 3", 2),
    ("emulator", 2),
]
COMMANDS = [
    *(Command(line, Kind.SHOWS) for line in SHOWN),
    *(Command(line, Kind.WORKS, code) for line, code in WORK),
    *(Command(line, Kind.SILENT, code) for line, code in SILENT),
]


class Place(Enum):
    """Where a stream leads."""

    PIPE = ""
    FULL = "{}>/dev/full"
    CLOSED = "{}>&-"
    GONE = "gone"  #: a pipe that nobody reads


@dataclass(frozen=True)
class Setting:
    """What surrounds a command."""

    name: str
    stdout: Place = Place.PIPE
    stderr: Place = Place.PIPE
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ascii(self) -> bool:
        return "ascii" in self.name


NO_COERCION = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
ASCII, LATIN = {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}
SETTINGS = [
    Setting("pipe"),
    Setting("LANG=C", environment={"LANG": "C", "LC_ALL": "C"}),
    Setting("C, ascii", environment=NO_COERCION),
    Setting("ascii", environment=ASCII),
    Setting("latin-1", environment=LATIN),
    Setting("NO_COLOR", environment={"NO_COLOR": "1"}),
    Setting("colour", environment={"FORCE_COLOR": "1"}),
    Setting("60", environment={"COLUMNS": "60"}),
    Setting("80", environment={"COLUMNS": "80"}),
    Setting("200", environment={"COLUMNS": "200"}),
    Setting(">full", Place.FULL),
    Setting(">closed", Place.CLOSED),
    Setting(">gone", Place.GONE),
    Setting("2>full", stderr=Place.FULL),
    Setting("2>closed", stderr=Place.CLOSED),
    Setting("2>gone", stderr=Place.GONE),
    Setting("both full", Place.FULL, Place.FULL),
    Setting("both closed", Place.CLOSED, Place.CLOSED),
    Setting("both gone", Place.GONE, Place.GONE),
    Setting("ascii >full", Place.FULL, environment=ASCII),
    Setting("ascii 2>closed", stderr=Place.CLOSED, environment=ASCII),
]


def expected_code(command: Command, setting: Setting) -> int:
    """Return the exit code that docs/cli.md promises."""
    if command.kind is not Kind.SHOWS or setting.stdout is Place.PIPE:
        return command.code
    return READER_GONE if setting.stdout is Place.GONE else 1


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: bytes


def run_in(
    setting: Setting,
    arguments: list[str],
    program: tuple[str, ...] = ("-m", "raysync"),
    environ: Mapping[str, str] = os.environ,
) -> Ended:
    """Run a command as a process of its own."""
    closing = " ".join(
        place.value.format(number)
        for number, place in ((1, setting.stdout), (2, setting.stderr))
        if place in (Place.FULL, Place.CLOSED)
    )
    read, gone = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, *program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=gone if setting.stdout is Place.GONE else subprocess.PIPE,
            stderr=gone if setting.stderr is Place.GONE else subprocess.PIPE,
            env=environment_of(setting, environ),
            timeout=_TIMEOUT_S,
            check=False,
        )
    finally:
        os.close(gone)
    return Ended(done.returncode, done.stdout or b"", done.stderr or b"")


def environment_of(setting: Setting, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command, in which nothing else is said of its output."""
    plain = {name: value for name, value in environ.items() if name not in _OF_OUTPUT}
    return plain | {"LANG": "C.UTF-8"} | setting.environment


class Forks:
    """A process that has imported all commands, and runs them in forks of itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            start_new_session=True,
        )

    def run_in(self, setting: Setting, arguments: list[str]) -> Ended:
        """Run a command like `run_in`."""
        files = [self._folder / "stdout", self._folder / "stderr"]
        for each in files:
            each.unlink(missing_ok=True)
        places = [
            {Place.PIPE: str(file), Place.FULL: "/dev/full"}.get(place, place.name.lower())
            for file, place in zip(files, (setting.stdout, setting.stderr), strict=True)
        ]
        encoding = "ascii" if setting.is_ascii else setting.environment.get("PYTHONIOENCODING")
        request = {
            "arguments": arguments,
            "environment": environment_of(setting, os.environ),
            "encoding": encoding or "utf-8",
            "stdout": places[0],
            "stderr": places[1],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ended(code, *(each.read_bytes() if each.exists() else b"" for each in files))

    def close(self) -> None:
        """End the process, and the command that it may still be at."""
        with self._process as process:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def faults_of(command: Command, setting: Setting, ended: Ended) -> list[str]:
    """Return what is wrong with how a command ended."""
    found = []
    said = ended.stderr.decode("utf-8", "replace")
    if ended.code != expected_code(command, setting):
        found.append(f"exit code {ended.code} instead of {expected_code(command, setting)}")
    found += [
        f"stderr has {sign!r}"
        for sign in ("Traceback", "Exception ignored", "Unexpected", "--- Logging error")
        if sign in said
    ]
    if setting.stderr is Place.PIPE:
        is_lost = setting.stdout in (Place.FULL, Place.CLOSED)
        if command.kind is Kind.SHOWS and is_lost and "Cannot write to stdout" not in said:
            found.append("not said that stdout takes nothing")
        if command.kind is Kind.SHOWS and setting.stdout is Place.GONE and said:
            found.append("not quiet, though the reader is gone")
        if (
            command.kind is Kind.WORKS
            and setting.stdout is not Place.PIPE
            and "The result is not shown completely" not in said
        ):
            found.append("not said that the result is not shown")
    if setting.stdout is Place.PIPE:
        if (command.kind is Kind.SILENT) is not (ended.stdout == b""):
            found.append(f"stdout is {ended.stdout[:60]!r}")
        lines = ended.stdout.decode("utf-8", "replace").split("\n")
        found += [f"ends with spaces: {each!r}" for each in lines if each != each.rstrip()][:1]
    is_data = "export" in command.line or "html" in command.line
    if setting.is_ascii and not (ended.stderr + (b"" if is_data else ended.stdout)).isascii():
        found.append("not ASCII")
    return [f"raysync {command.line} [{setting.name}]: {each}: {said}" for each in found]


def fill(database_url: str) -> None:
    """Make two tenants: *a* has one of everything, with a name that few encodings have."""
    with psycopg.connect(database_url) as session:
        session.execute(
            "INSERT INTO tenants (slug, platform_id, name, token_ref)"
            " VALUES ('a', 5, %s, 'env:NO_SUCH_TOKEN'), ('b', 6, 'b', 'env:NO_SUCH_TOKEN')",
            (NAME,),
        )
        (tenant,) = session.execute("SELECT id FROM tenants WHERE slug = 'a'").fetchone() or ()
        (channel,) = (
            session.execute(
                "INSERT INTO channels (tenant_id, platform_channel_id, name, type)"
                " VALUES (%s, 300, %s, 0) RETURNING id",
                (tenant, NAME),
            ).fetchone()
            or ()
        )
        session.execute(
            "INSERT INTO messages (channel_id, platform_message_id, tenant_id,"
            " anonymized_author_id, content, type, platform_created_at, metadata, raw)"
            " VALUES (%s, 1, %s, %s, %s, 0, now(), '{}', '{}')",
            (channel, tenant, AUTHOR, NAME),
        )
        result = job_result(status="partial", errors=[channel_error(1)])
        session.execute(
            "INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, completed_at,"
            " error, result, progress) VALUES (%s, %s, 'full', 0, 'partial', now(), %s, %s, %s)",
            (JOB_ID, tenant, NAME, Jsonb(result.model_dump(mode="json")), view_json(job_view())),
        )
        (of_job,) = (
            session.execute(
                "INSERT INTO channel_sync_jobs (parent_job_id, channel_id, tenant_id, worker_id,"
                " status, error_details) VALUES (%s, %s, %s, 'w', 'failed', %s) RETURNING id",
                (
                    JOB_ID,
                    channel,
                    tenant,
                    Jsonb(
                        failure_details(Failure(FailureClass.PERMANENT, "AccessDeniedError", NAME))
                    ),
                ),
            ).fetchone()
            or ()
        )
        session.execute(
            "INSERT INTO dead_letters (tenant_id, channel_id, channel_sync_job_id, failure_class,"
            " error_class, message, attempts) VALUES (%s, %s, %s, 'permanent', 'X', %s, 1)",
            (tenant, channel, of_job, NAME),
        )
        session.execute(
            "INSERT INTO suppressions (tenant_id, kind, ref) VALUES (%s, 'channel', '301')",
            (tenant,),
        )
        session.execute(
            "INSERT INTO audit_log (actor, action, tenant, details) VALUES (%s, 'x', 'a', '{}')",
            (NAME,),
        )
