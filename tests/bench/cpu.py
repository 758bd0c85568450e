"""CPU seconds of a benchmark's processes by kind, read from /proc (Linux)."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_PERIOD_S = 0.1
_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_ACTORS = {
    b"ray::ChannelSync": "workers",
    b"ray::ProgressTracker": "tracker",
    b"ray::RateLimitGovernor": "governor",
}


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Samples of CPU seconds by group."""

    at_s: list[float]  #: Unix seconds, ascending
    by_group: list[Mapping[str, float]]  #: from the start of each process on

    def between(self, from_s: float, to_s: float) -> dict[str, float]:
        """Return the CPU seconds of each group between two moments."""
        before, after = self._at(from_s), self._at(to_s)
        return {group: spent - before.get(group, 0.0) for group, spent in after.items()}

    def _at(self, moment_s: float) -> Mapping[str, float]:
        place = bisect_right(self.at_s, moment_s)
        return self.by_group[place - 1] if place else {}


@contextmanager
def watching_cpu(roots: Mapping[int, str]) -> Iterator[Callable[[], CpuTimes]]:
    """Sample the processes below each root (its id, its group) until the block ends.

    Ray's actors are groups of their own. A process that ends keeps what it was last seen with.
    """
    at_s: list[float] = []
    by_group: list[Mapping[str, float]] = []
    spent_s: dict[tuple[int, str], float] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_PERIOD_S):
            _sample(roots, spent_s)
            at_s.append(time.time())
            by_group.append(_by_group(spent_s))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: CpuTimes(at_s[:], by_group[:])
    finally:
        ended.set()
        watcher.join()


def _by_group(spent_s: Mapping[tuple[int, str], float]) -> dict[str, float]:
    groups: dict[str, float] = {}
    for (_, group), seconds in spent_s.items():
        groups[group] = groups.get(group, 0.0) + seconds
    return groups


def _sample(roots: Mapping[int, str], spent_s: dict[tuple[int, str], float]) -> None:
    stats = dict(_stats())
    for pid, (_, seconds) in stats.items():
        root = _root_of(pid, stats, roots)
        if root is not None:
            spent_s[pid, _group_of(pid, root, roots)] = seconds


def _stats() -> Iterable[tuple[int, tuple[int, float]]]:
    """Return the parent and the CPU seconds of every process."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            yield int(entry.name), (int(fields[1]), sum(map(int, fields[11:13])) / _TICKS_PER_S)


def _root_of(
    pid: int, stats: Mapping[int, tuple[int, float]], roots: Mapping[int, str]
) -> int | None:
    while pid not in roots:
        if pid not in stats:
            return None
        pid = stats[pid][0]
    return pid


def _group_of(pid: int, root: int, roots: Mapping[int, str]) -> str:
    if pid == root or roots[root] != "driver":
        return roots[root]
    try:
        title = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return "ray"
    return next((group for start, group in _ACTORS.items() if title.startswith(start)), "ray")
