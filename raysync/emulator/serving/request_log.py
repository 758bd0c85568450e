"""Request log: every request with its answer, as evidence for tests."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

KEPT_ENTRIES: Final = 250_000
CDN_ROUTE: Final = "GET CDN"
"""Route of all requests to the CDN. Their paths hold channel, attachment and name."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A request and its answer. *at_s* is in Unix seconds; *bot* stands for the token."""

    at_s: float
    method: str
    path: str
    route: str | None
    major_id: str | None
    bot: str | None
    status: int
    sent_bytes: int
    scope: str | None = None
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as plain values."""
        return asdict(self)


@dataclass(slots=True)
class Counters:
    """Counts of answers since the last reset."""

    requests: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_route: Counter[str] = field(default_factory=Counter)
    refused_by_scope: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    faults: int = 0
    sent_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        return {
            "requests": self.requests,
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "by_route": dict(self.by_route),
            "refused_by_scope": dict(self.refused_by_scope),
            "invalid": self.invalid,
            "faults": self.faults,
            "sent_bytes": self.sent_bytes,
        }


class RequestLog:
    """The latest requests since the last reset. Other threads may read it."""

    def __init__(self) -> None:
        self._entries: list[LogEntry] = []
        self.counters = Counters()

    @property
    def entries(self) -> list[LogEntry]:
        """A copy of the entries, oldest first."""
        return self._entries[:]

    def add(self, entry: LogEntry) -> None:
        """Add an answer, and count it."""
        self._entries.append(entry)
        if len(self._entries) > 2 * KEPT_ENTRIES:
            self._entries = self._entries[-KEPT_ENTRIES:]
        counters = self.counters
        counters.requests += 1
        counters.by_status[entry.status] += 1
        counters.by_route[entry.route or "none"] += 1
        counters.sent_bytes += entry.sent_bytes
        if entry.scope:
            counters.refused_by_scope[entry.scope] += 1
        if entry.status in (401, 403, 429) and entry.scope != "shared":
            counters.invalid += 1
        if entry.fault:
            counters.faults += 1

    def reset(self) -> None:
        """Delete all entries and counts."""
        self._entries = []
        self.counters = Counters()
