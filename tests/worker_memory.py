"""Memory of a run's worker processes, read from /proc during the run (Linux)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_PERIOD_S = 0.2
_PROC = Path("/proc")
_WORKER = b"ray::ChannelSyncActor"
_PARENT = re.compile(r"^\d+ \(.*\) \S (\d+) ", re.DOTALL)
_KILOBYTES = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """Peaks of the largest worker, in bytes; 0 if no worker was seen."""

    workers: int
    peak_rss_bytes: int  #: the kernel's VmHWM
    peak_uss_bytes: int  #: largest sample of memory that no other process shares


@contextmanager
def watching_workers(root: int) -> Iterator[Callable[[], WorkerMemory]]:
    """Sample the workers below the process *root*; yield a function that returns the peaks."""
    peaks: dict[int, tuple[int, int]] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_PERIOD_S):
            for pid in _workers_below(root):
                rss, uss = _memory_of(pid)
                known_rss, known_uss = peaks.get(pid, (0, 0))
                peaks[pid] = max(rss, known_rss), max(uss, known_uss)

    def peak_memory() -> WorkerMemory:
        rss = max((rss for rss, _ in peaks.values()), default=0)
        uss = max((uss for _, uss in peaks.values()), default=0)
        return WorkerMemory(len(peaks), rss, uss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak_memory
    finally:
        ended.set()
        watcher.join()


def _workers_below(root: int) -> list[int]:
    """Return the workers among all descendants: Ray starts some by a forkserver."""
    parents = {pid: parent for pid in _pids() if (parent := _parent_of(pid)) is not None}
    return [pid for pid in parents if _is_below(pid, root, parents) and _is_worker(pid)]


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _parent_of(pid: int) -> int | None:
    found = _PARENT.match(_text(pid, "stat"))
    return int(found.group(1)) if found else None


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == root:
            return True
    return False


def _is_worker(pid: int) -> bool:
    return _text(pid, "cmdline").encode().startswith(_WORKER)


def _memory_of(pid: int) -> tuple[int, int]:
    status = dict(_KILOBYTES.findall(_text(pid, "status")))
    parts = dict(_KILOBYTES.findall(_text(pid, "smaps_rollup")))
    private = int(parts.get("Private_Clean", 0)) + int(parts.get("Private_Dirty", 0))
    return int(status.get("VmHWM", 0)) * 1024, private * 1024


def _text(pid: int, name: str) -> str:
    """Read a /proc file of a process; empty if the process has ended."""
    try:
        return (_PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""
