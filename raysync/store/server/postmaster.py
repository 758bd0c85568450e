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
    """What a server says of itself in ``postmaster.pid``."""

    pid: int
    socket_dir: Path
    ready: bool


def read_postmaster(data_dir: Path) -> Postmaster | None:
    try:
        lines = (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 8:  # still being written
        return None
    return Postmaster(int(lines[0]), Path(lines[4]), lines[7].strip() == "ready")


def accepts(socket_dir: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_in(socket_dir)))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def socket_in(directory: Path) -> Path:
    return directory / f".s.PGSQL.{PORT}"


def postmaster_lives(data_dir: Path) -> bool:
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


def clear_remains(data_dir: Path, socket_dir: Path) -> None:
    """Remove the pid files of a server that was killed: their number may be a stranger's by now.

    Its last processes are waited for. (Were one missed, the new server would refuse to start:
    PostgreSQL looks for whoever is attached to the directory's shared memory.)
    """
    deadline_s = time.monotonic() + DEADLINE_S
    while _orphans(data_dir) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)
    socket_file = socket_in(socket_dir)
    socket_file.with_name(f"{socket_file.name}.lock").unlink(missing_ok=True)


def _orphans(data_dir: Path) -> bool:
    """Whether processes of a killed server still run; without /proc nobody is seen."""
    if not (data_dir / "postmaster.pid").exists():
        return False
    return any(_works_in(int(each.name), data_dir) for each in Path("/proc").glob("[0-9]*"))
