"""Figures of a measured run, and tables of them."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from raysync.emulator.serving.request_log import LogEntry
from tests.bench.cpu import CpuTimes
from tests.bench.discord_process import PAGES

CHANNEL_BURST_S = 5.0
REFUSED = 429
_HERE = str(Path(__file__).parent)
EMPTY_BYTES = len(b"[]")


@dataclass(frozen=True)
class Run:
    """Run of one program against the emulator: raysync or the baseline.

    Times are the emulator's: from the first request to the last.
    """

    requests: list[LogEntry]  #: never empty, oldest first
    cpu: CpuTimes
    began_s: float  #: start of the command, in Unix seconds
    wall_s: float  #: the whole command, from its start to its end
    messages: int  #: rows in the database, all of them compared with the emulator's
    jobs: list[dict[str, Any]]  #: as raysync told them; none of the baseline

    @property
    def took_s(self) -> float:
        """Seconds from the first request to the last."""
        return self.requests[-1].at_s - self.requests[0].at_s

    @property
    def refused(self) -> int:
        """Number of requests answered with 429."""
        return sum(request.status == REFUSED for request in self.requests)

    @property
    def messages_per_s(self) -> float:
        return self.messages / self.took_s

    @property
    def told_efficiency(self) -> float:
        """Efficiency that raysync reports, the lowest of all jobs."""
        return min(job["parallel_stats"]["efficiency"] or 0.0 for job in self.jobs)

    @cached_property
    def most_in_a_second(self) -> int:
        """Largest number of requests of one token within one second."""
        by_token: dict[str | None, list[float]] = {}
        for request in self.requests:
            by_token.setdefault(request.bot, []).append(request.at_s)
        return max(_densest(times_s) for times_s in by_token.values())

    def by_second(self) -> list[int]:
        """Count the requests in each second, to show where a run idles."""
        begun_s = self.requests[0].at_s
        seconds = Counter(int(request.at_s - begun_s) for request in self.requests)
        return [seconds[second] for second in range(max(seconds) + 1)]

    def efficiency(self, budget: float, channel_pages_per_s: float = 1.0) -> float:
        """Return the busiest token's minimum time at the limits, divided by the actual time."""
        tokens = Counter(request.bot for request in self.requests)
        channels = Counter(request.major_id for request in self.requests if request.route == PAGES)
        by_token = (max(tokens.values()) - 1) / budget
        by_channel = max(channels.values()) / channel_pages_per_s - CHANNEL_BURST_S
        return max(by_token, by_channel) / self.took_s

    def cores(self, *groups: str) -> float:
        """Return the number of cores that these groups (default: all) kept busy."""
        spent_s = self.cpu.between(self.requests[0].at_s, self.requests[-1].at_s)
        return sum(spent_s[each] for each in groups or spent_s if each in spent_s) / self.took_s

    def steady(self) -> tuple[float, float]:
        """Return the period in which all workers are busy, in Unix seconds.

        It starts when the last worker has its first channel, and ends with the last request.
        """
        began: dict[str, float] = {}
        for channel in (channel for job in self.jobs for channel in job["channel_results"]):
            at_s = datetime.fromisoformat(channel["started_at"]).timestamp()
            worker = channel["worker_id"]
            began[worker] = min(at_s, began.get(worker, at_s))
        return max(began.values(), default=self.requests[0].at_s), self.requests[-1].at_s

    def pages_between(self, from_s: float, to_s: float) -> int:
        """Count the non-empty pages in a period."""
        pages = (
            request for request in self.requests if request.route == PAGES and request.status == 200
        )
        return sum(from_s <= page.at_s <= to_s for page in pages if page.sent_bytes > EMPTY_BYTES)


def _densest(times_s: Sequence[float]) -> int:
    ordered = sorted(times_s)
    return max(bisect_left(ordered, at_s + 1.0) - place for place, at_s in enumerate(ordered))


@dataclass(frozen=True, slots=True)
class Column:
    """Figure of a run: its name, how to compute it, how to format it."""

    name: str
    of: Callable[[Run], float]
    form: str = "{:,.0f}"

    def median(self, runs: Iterable[Run]) -> str:
        """Return the median of several runs of one case."""
        return self.form.format(statistics.median(self.of(run) for run in runs))


SECONDS = Column("seconds", lambda run: run.took_s, "{:.2f}")
REQUESTS = Column("requests", lambda run: len(run.requests))
REFUSALS = Column("429s", lambda run: run.refused)
DENSEST = Column("most in 1 s", lambda run: run.most_in_a_second)
MESSAGES = Column("messages", lambda run: run.messages)
RATE = Column("messages/s", lambda run: run.messages_per_s)
TOLD = Column("told", lambda run: run.told_efficiency, "{:.3f}")
CORES = Column("cores", lambda run: run.cores(), "{:.2f}")
WORKER_CORES = Column("of workers", lambda run: run.cores("workers"), "{:.2f}")
OWN_CORES = Column(
    "of driver, tracker, governor",
    lambda run: run.cores("driver", "tracker", "governor"),
    "{:.2f}",
)
WALL = Column("command s", lambda run: run.wall_s, "{:.1f}")


def efficiency_at(budget: float, channel_pages_per_s: float = 1.0) -> Column:
    """Return the figure of efficiency at a budget of requests per second."""
    return Column("efficiency", lambda run: run.efficiency(budget, channel_pages_per_s), "{:.3f}")


def table(title: str, cases: Mapping[str, Sequence[Run]], *columns: Column) -> str:
    """Format a Markdown table with the medians of each case."""
    rows = [[name, *(column.median(runs) for column in columns)] for name, runs in cases.items()]
    return aligned([title, *(column.name for column in columns)], rows)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table that is also readable as text."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (head, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return f"| {' | '.join((first, *rest))} |"


def machine() -> str:
    """Describe the machine."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")]
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    commit = subprocess.run(
        ["git", "-C", _HERE, "describe", "--always", "--dirty"], capture_output=True, text=True
    ).stdout.strip()
    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, "
        f"{memory_gb:.0f} GB, Linux {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}, load {load} at the start, "
        f"commit {commit or 'unknown'}"
    )
