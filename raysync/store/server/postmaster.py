"""Server process of a data directory, as its pid file, its socket and the kernel show it."""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PORT: Final = 5432
"""Part of the socket file's name. The server listens on no network."""
DEADLINE_S: Final = 120
"""Longest wait for a server to start, stop, or disappear."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """Contents of ``postmaster.pid``, which the server writes."""

    pid: int
    socket_dir: Path
    ready: bool


def read_postmaster(data_dir: Path) -> Postmaster | None:
    """Return the contents of the pid file; None if it is missing or incomplete."""
    try:
        lines = (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 8:  # still being written
        return None
    return Postmaster(int(lines[0]), Path(lines[4]), lines[7].strip() == "ready")


def accepts(socket_dir: Path) -> bool:
    """Return whether a server accepts connections on its socket in *socket_dir*."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_in(socket_dir)))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def socket_in(directory: Path) -> Path:
    """Return the path of the server's socket in *directory*."""
    return directory / f".s.PGSQL.{PORT}"


def postmaster_lives(data_dir: Path) -> bool:
    """Return whether the process in the pid file is this server, not one with a reused number."""
    try:
        pid = int((data_dir / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    return _works_in(abs(pid), data_dir)


def _works_in(pid: int, data_dir: Path) -> bool:
    """Return whether the process works in *data_dir*, as its server does.

    Without /proc, only the process's name is compared.
    """
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == data_dir.resolve()
        except OSError:  # no such process, or another user's
            return False
    ps = subprocess.run(  # noqa: S603 a number and constants
        ["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return "postgres" in ps.stdout


def clear_remains(data_dir: Path, socket_dir: Path) -> None:
    """Remove the pid files of a killed server, whose number another process may have by now.

    Wait for its last processes first. If one is missed, the new server refuses to start:
    PostgreSQL checks for processes attached to the directory's shared memory.
    """
    deadline_s = time.monotonic() + DEADLINE_S
    while _orphans(data_dir) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)
    socket_file = socket_in(socket_dir)
    socket_file.with_name(f"{socket_file.name}.lock").unlink(missing_ok=True)


def _orphans(data_dir: Path) -> bool:
    """Return whether processes of a killed server still run; False without /proc."""
    if not (data_dir / "postmaster.pid").exists():
        return False
    return any(_works_in(int(process.name), data_dir) for process in Path("/proc").glob("[0-9]*"))
