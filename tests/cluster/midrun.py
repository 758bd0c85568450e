"""Where a run stands, seen from outside: in the emulator's log, and among the processes."""

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
    """How many pages have been answered so far."""
    return emulator.counters.by_route[MESSAGES]


def wait_for_pages(emulator: Emulator, count: int, program: subprocess.Popen[str]) -> None:
    """Wait until so many pages were read; the program must still be running then."""
    wait_until(lambda: program.poll() is not None or pages_read(emulator) >= count, 60)
    if program.poll() is not None:
        out, err = program.communicate()
        raise AssertionError(f"it ended before page {count}: {program.returncode}\n{err}\n{out}")


def actor_processes(
    head: RayHead, class_name: str, node_pid: int | None = None
) -> list[psutil.Process]:
    """The processes that host an actor of a class, on *head* or another node, as titles say."""
    title = f"ray::{class_name}"
    found = []
    for each in psutil.Process(node_pid or head.pid).children(recursive=True):
        try:
            if each.cmdline() and each.cmdline()[0].startswith(title):
                found.append(each)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def kill_all(processes: Iterable[psutil.Process]) -> int:
    """kill -9 each; say how many there were."""
    count = 0
    for each in processes:
        os.kill(each.pid, signal.SIGKILL)
        count += 1
    return count
