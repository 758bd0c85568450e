"""Progress of a run, seen from outside: by the emulator's log and the processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable

import psutil

from raysync.emulator import Emulator
from tests.cluster.guilds import MESSAGES
from tests.cluster.ray_head import RayHead
from tests.cluster.waiting import wait_until


def pages_read(emulator: Emulator) -> int:
    """Return the number of pages answered so far."""
    return emulator.counters.by_route[MESSAGES]


def wait_for_pages(emulator: Emulator, count: int, program: subprocess.Popen[str]) -> None:
    """Wait until *count* pages are read. Fail if the program ends before."""
    wait_until(lambda: program.poll() is not None or pages_read(emulator) >= count, 60)
    if program.poll() is not None:
        out, err = program.communicate()
        raise AssertionError(
            f"the program ended before page {count}: {program.returncode}\n{err}\n{out}"
        )


def actor_processes(
    head: RayHead, class_name: str, node_pid: int | None = None
) -> list[psutil.Process]:
    """Return the processes that host an actor of a class, by title, on *head* or another node."""
    title = f"ray::{class_name}"
    found = []
    for process in psutil.Process(node_pid or head.pid).children(recursive=True):
        try:
            if process.cmdline() and process.cmdline()[0].startswith(title):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def kill_all(processes: Iterable[psutil.Process]) -> int:
    """Send SIGKILL to all processes; return their number."""
    count = 0
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        count += 1
    return count
