"""Warm local Ray: a head under RAYSYNC_HOME, which runs join and which ends when idle.

A head belongs to one *state file*. The head holds a lock on that file for as long as it lives, and
the kernel releases the lock with the process. So a file without a holder is stale, whatever has
happened: a crash, a reboot, another process with the same id. Commands that look for a head, and a
head that is about to end, exclude each other by a second file, the *door*.

Other runs may use a head that this run cannot use, so no run kills one. It asks the head to end,
which the head does once no run is connected, and starts a Ray of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import ray

from raysync import __version__
from raysync.actors.ray_token import source
from raysync.actors.warm_environment import environment, secrets_of_workers
from raysync.errors import ConfigurationError
from raysync.settings import LOCAL_RAYS

START_S: Final = 60.0
"""Maximum seconds for a head's start, also for one that another command starts."""
DASHBOARD_S: Final = 60.0
_PERIOD_S: Final = 0.02
_LOOK_S: Final = 1.0
"""Seconds for which a head tries to lock its file: a look at the file locks it briefly."""
_STATE_BYTES: Final = 10_000
_SESSION: Final = re.compile(r"session_[0-9_-]+")
"""Name of a folder that Ray makes for a session."""


class WarmRayUnavailableError(Exception):
    """A run cannot use a warm Ray, and starts its own. The message is the reason."""


@dataclass(frozen=True, slots=True)
class WarmHead:
    """Running head, as its state file describes it."""

    pid: int
    address: str
    session: str  #: Ray's folder with logs and sockets
    started_at: str  #: ISO 8601
    idle_s: float  #: time without a run after which it ends
    dashboard_url: str | None = None  #: empty if it did not start

    @property
    def since(self) -> datetime:
        """Time of its start."""
        return datetime.fromisoformat(self.started_at)


class StateFile:
    """State file of one head, and its door."""

    def __init__(self, path: Path) -> None:
        """Name a state file. Nothing is created yet."""
        self.path = path
        self._held: int | None = None

    @contextmanager
    def door(self, within_s: float) -> Iterator[None]:
        """Exclude all other commands, and the head's end, until the end of the block.

        Raises:
            WarmRayUnavailableError: another process holds the door for *within_s*.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self.path.with_suffix(".door"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise WarmRayUnavailableError(f"{self.path.parent}: {error.strerror}") from None
        try:
            if not until(lambda: _lock(file), within_s):
                raise WarmRayUnavailableError("another command is still starting the warm Ray")
            yield
        finally:
            os.close(file)

    def hold(self) -> bool:
        """Hold the file for the life of this process; return False if another process does."""
        return until(self._try_to_hold, _LOOK_S)

    def _try_to_hold(self) -> bool:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        # a command may have removed the file between the two calls
        if not (_lock(file) and self._is_open_as(file)):
            os.close(file)
            return False
        os.ftruncate(file, 0)
        self._held = file
        return True

    def _is_open_as(self, file: int) -> bool:
        """Return whether the path still names this open file."""
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False

    def write(self, head: WarmHead) -> None:
        """Describe the head that this process is."""
        if self._held is None:
            raise RuntimeError("only the holder of a state file writes it")
        text = json.dumps(asdict(head)).encode()
        os.pwrite(self._held, text, 0)
        os.ftruncate(self._held, len(text))

    def remove(self) -> bool:
        """Remove the file; return False, and keep it, if another process holds it.

        A holder whose file was removed leaves the file that another head has made since.
        """
        if self._held is not None:
            if not self._is_open_as(self._held):
                return False
            self._unlink()
            return True
        try:
            file = os.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            if not (until(lambda: _lock(file), _LOOK_S) and self._is_open_as(file)):
                return False
            self._unlink()  # under the lock, so that no head takes the file meanwhile
            return True
        finally:
            os.close(file)

    def _unlink(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".log").unlink(missing_ok=True)

    def is_held(self) -> bool:
        """Return whether a running head holds the file."""
        try:
            file = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return not _lock(file, fcntl.LOCK_SH)
        finally:
            os.close(file)

    def read(self) -> WarmHead | None:
        """Return the head that the file describes; None if there is none, or it is invalid."""
        try:
            with self.path.open("rb") as file:
                found = json.loads(file.read(_STATE_BYTES))
            head = WarmHead(**found)
            is_valid = head.pid > 1 and head.idle_s > 0 and ":" in head.address
            is_valid &= _SESSION.fullmatch(Path(head.session).name) is not None
            head.since  # noqa: B018 raises ValueError
        except (OSError, ValueError, TypeError):
            return None
        return head if is_valid else None

    def running(self) -> WarmHead | None:
        """Return the running head, or None."""
        head = self.read()
        return head if head is not None and self.is_held() else None


def heads(home: Path) -> list[WarmHead]:
    """Return the heads that run under *home*, also those of other versions."""
    files = sorted((home / LOCAL_RAYS).glob("*.json"))
    return [head for path in files if (head := StateFile(path).running()) is not None]


def end_heads(home: Path) -> None:
    """Ask all heads under *home* to end: at once, or with the last run that uses them."""
    for head in heads(home):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(head.pid, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class WarmRay:
    """Head for runs of the same versions and environment, under one RAYSYNC_HOME."""

    file: StateFile
    idle_s: float
    environ: Mapping[str, str]

    @classmethod
    def of(cls, home: Path, idle_s: float, hidden: Collection[str]) -> WarmRay:
        """Name the head for a run whose variables *hidden* hold secrets.

        Raises:
            WarmRayUnavailableError: workers may need a secret of the environment, which a head
                that outlives the run must not get.
        """
        secrets = secrets_of_workers(os.environ.keys())
        if secrets:
            raise WarmRayUnavailableError(
                f"a warm Ray gets no secret, and workers may need {secrets[0]}"
            )
        environ = environment(os.environ, hidden)
        return cls(StateFile(home / LOCAL_RAYS / f"{_key(environ, idle_s)}.json"), idle_s, environ)

    def use(self, join: Callable[[WarmHead], None]) -> WarmHead:
        """Join the head by *join*, after its start if none runs. Return the head.

        A head that cannot be joined is asked to end, and the next run starts another one.

        Raises:
            WarmRayUnavailableError: no head can be started or joined.
        """
        with self.file.door(START_S):
            head = self._answering() or self._start()
            try:
                join(head)
            except ConfigurationError as error:
                self._retire(head)
                raise WarmRayUnavailableError(str(error)) from error
            return head

    def open_dashboard(self, head: WarmHead) -> str | None:
        """Return the dashboard's URL once it answers; None if it does not start."""
        if head.dashboard_url is not None:
            return head.dashboard_url or None
        with suppress(ProcessLookupError):
            if self.file.is_held():
                os.kill(head.pid, signal.SIGUSR1)
        found: list[str | None] = []

        def is_open() -> bool:
            present = self.file.running()
            if present is not None and present.dashboard_url is None:
                return False
            found.append(None if present is None else present.dashboard_url or None)
            return True

        until(is_open, DASHBOARD_S)
        return found[0] if found else None

    def _answering(self) -> WarmHead | None:
        """Return the running head, which answers as the head of a Ray with this token.

        Return None, and remove what a former head left, if none runs.

        Raises:
            WarmRayUnavailableError: a head runs, but this run cannot use it.
        """
        from raysync.actors.joining import require_joinable  # here, because gRPC takes 0.1 s

        until(lambda: self.file.read() is not None or not self.file.is_held(), START_S)
        head = self.file.read()
        if not self.file.is_held():
            self._remove_stale(head)
            return None
        if head is None:
            raise WarmRayUnavailableError("the warm Ray does not start in time")
        try:
            answer = require_joinable(head.address)
        except ConfigurationError as error:
            self._retire(head)
            raise WarmRayUnavailableError(
                f"the warm Ray (process {head.pid}) is asked to end: {error}"
            ) from error
        if answer.ray_version is None:  # other runs keep it busy
            raise WarmRayUnavailableError(
                f"the warm Ray (process {head.pid}) does not answer in time"
            )
        return head

    def _retire(self, head: WarmHead) -> None:
        """Ask the head to end as soon as no run is connected."""
        if self.file.is_held():  # so the process id is still its own
            with suppress(ProcessLookupError):
                os.kill(head.pid, signal.SIGTERM)

    def _remove_stale(self, head: WarmHead | None) -> None:
        """Remove what a head has left that ended without doing so."""
        if not self.file.remove():
            raise WarmRayUnavailableError("another warm Ray is just starting")
        if head is not None:
            remove_session(head.session)

    def _start(self) -> WarmHead:
        """Start a head that outlives this process, its terminal and its process group."""
        log = self.file.path.with_suffix(".log")
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        command = [sys.executable, "-m", "raysync.actors.warm_head"]
        with os.fdopen(descriptor, "wb") as output:
            process = subprocess.Popen(  # noqa: S603 our own program, no shell
                [*command, str(self.file.path), str(self.idle_s)],
                env=dict(self.environ),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        has_started = until(
            lambda: process.poll() is not None or self.file.running() is not None, START_S
        )
        head = self.file.running()
        if head is None:
            process.kill()
            process.wait()
            lines = log.read_text(errors="replace").strip().splitlines()
            reason = lines[-1] if lines and has_started else "the warm Ray did not start in time"
            raise WarmRayUnavailableError(reason)
        return head


def remove_session(session: str) -> None:
    """Remove a session's folder, if it is one."""
    if _SESSION.fullmatch(Path(session).name):
        shutil.rmtree(session, ignore_errors=True)


def _key(environ: Mapping[str, str], idle_s: float) -> str:
    """Return a fingerprint of what a head and the runs that join it must have in common."""
    same = [__version__, _code_hash(), ray.__version__, platform.python_version(), sys.executable]
    same += [socket.gethostname(), str(os.getuid()), str(idle_s), source()]
    text = json.dumps([same, dict(environ)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _code_hash() -> str:
    """Return a hash of raysync's code, which differs after an update without a new version."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def now() -> str:
    """Return the present time, as a state file has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _lock(file: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file until it is closed; return False if another process holds it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def until(holds: Callable[[], bool], within_s: float) -> bool:
    """Wait until *holds* returns true; return False after *within_s*."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_PERIOD_S)
    return True
