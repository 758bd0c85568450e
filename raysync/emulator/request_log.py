"""What was asked and answered: the emulator's own evidence."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

KEPT_ENTRIES: Final = 250_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request as it was answered. Times are Unix seconds; a token is told by its bot."""

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
        """Return it as plain values."""
        return asdict(self)


@dataclass(slots=True)
class Counters:
    """How many answers of each kind since the last reset."""

    requests: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_route: Counter[str] = field(default_factory=Counter)
    refused_by_scope: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    faults: int = 0
    sent_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return them as plain values."""
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
    """The latest requests since the last reset. Reading from another thread is safe."""

    def __init__(self) -> None:
        self._entries: list[LogEntry] = []
        self.counters = Counters()

    @property
    def entries(self) -> list[LogEntry]:
        """Return a copy of the entries, oldest first."""
        return self._entries[:]

    def add(self, entry: LogEntry) -> None:
        """Note an answer."""
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
        """Forget all."""
        self._entries = []
        self.counters = Counters()
