"""System user that runs the embedded server.

PostgreSQL refuses to run as root, so raysync, run by root, starts it as an unprivileged user. If
that user cannot reach the files (a home or a virtual environment below ``/root``, mode 0700),
``setpriv`` gives it the one capability that passes closed directories. No directory is ever opened
to other users.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from raysync.errors import DatabaseUnavailableError

_KNOWN_NAMES = ("postgres", "pgserver", "raysync")
_NEW_NAME = "raysync"
_ADVICE = "run raysync as an ordinary user, or set RAYSYNC_DATABASE_URL"
_PASSING_CAPABILITIES = (("dac_read_search", 2), ("dac_override", 1))
"""Capabilities to pass a closed directory, weakest first, with the kernel's bit numbers."""
_SETPCAP_BIT = 8


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """System user of the server, and the way to run a program as it."""

    name: str
    uid: int
    gid: int
    prefix: tuple[str, ...] = ()  #: put before a command line
    switches_user: bool = False


def client_name() -> str:
    """Return the name of this process's user, by which the server authenticates it.

    Raises:
        DatabaseUnavailableError: the user has no name, as in a container with an arbitrary uid.
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise DatabaseUnavailableError(
            f"The embedded PostgreSQL needs a user with a name, and uid {os.geteuid()} has none "
            "in /etc/passwd: add it there, or set RAYSYNC_DATABASE_URL."
        ) from None


def account_for(data_dir: Path, needed: Iterable[Path]) -> ServerAccount:
    """Return an account for the server of *data_dir* that can reach every path of *needed*.

    Raises:
        DatabaseUnavailableError: run by root, and there is no such account.
    """
    name = client_name()
    if os.geteuid() != 0:
        return ServerAccount(name, os.geteuid(), os.getegid())
    entry = _owner_of(data_dir) or _known_user() or _new_user()
    closed = [path for target in needed if (path := first_closed(target, entry)) is not None]
    return ServerAccount(
        entry.pw_name, entry.pw_uid, entry.pw_gid, _prefix(entry, closed), switches_user=True
    )


def _owner_of(data_dir: Path) -> pwd.struct_passwd | None:
    if not data_dir.exists():
        return None
    uid = data_dir.stat().st_uid
    try:
        if uid != 0:
            return pwd.getpwuid(uid)
    except KeyError:
        pass
    raise DatabaseUnavailableError(
        f"{data_dir} belongs to uid {uid}, as which PostgreSQL cannot run here: give it to an "
        f"unprivileged user (`chown -R postgres {data_dir}`), or set RAYSYNC_DATABASE_URL."
    )


def _known_user() -> pwd.struct_passwd | None:
    for name in _KNOWN_NAMES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _new_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd")
    if useradd is None:
        raise DatabaseUnavailableError(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor "
            f"`useradd` to make one: add such a user, {_ADVICE}."
        )
    command = [useradd, "--system", "--no-create-home", "--shell", "/bin/false", _NEW_NAME]
    made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 constant
    if made.returncode != 0:
        raise DatabaseUnavailableError(
            f"PostgreSQL does not run as root, and no user could be made for it "
            f"({made.stderr.strip()}): add a user `postgres`, {_ADVICE}."
        )
    return pwd.getpwnam(_NEW_NAME)


def first_closed(path: Path, entry: pwd.struct_passwd) -> Path | None:
    """Return the first directory above *path*, from the root, that *entry*'s user may not pass."""
    for parent in reversed(path.resolve().parents):
        status = parent.stat()
        if status.st_uid == entry.pw_uid:
            passes = status.st_mode & stat.S_IXUSR
        elif status.st_gid == entry.pw_gid:
            passes = status.st_mode & stat.S_IXGRP
        else:
            passes = status.st_mode & stat.S_IXOTH
        if not passes:
            return parent
    return None


def _prefix(entry: pwd.struct_passwd, closed: list[Path]) -> tuple[str, ...]:
    if not closed:
        return ()
    held = _effective_capabilities()
    capability = next((name for name, bit in _PASSING_CAPABILITIES if held >> bit & 1), None)
    setpriv = shutil.which("setpriv")
    if setpriv is None or capability is None:
        raise DatabaseUnavailableError(
            f"PostgreSQL does not run as root, and its user {entry.pw_name} may not pass "
            f"{closed[0]}: `chmod o+x {closed[0]}`, set RAYSYNC_HOME to a directory elsewhere, "
            f"{_ADVICE}."
        )
    # initdb checks its own binary by access(2), where the kernel ignores ambient capabilities
    # unless this bit is set. A virtual environment below /root needs it.
    bits = ["--securebits=+no_setuid_fixup"] if held >> _SETPCAP_BIT & 1 else []
    return (
        setpriv,
        f"--reuid={entry.pw_uid}",
        f"--regid={entry.pw_gid}",
        "--clear-groups",
        f"--inh-caps=+{capability}",
        f"--ambient-caps=+{capability}",
        *bits,
        "--no-new-privs",
    )


def _effective_capabilities() -> int:
    """Return the kernel's mask of this process; 0 without /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff")), 0)
