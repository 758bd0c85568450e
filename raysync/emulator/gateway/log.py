"""Log of the gateway: what clients asked for, and how sessions went."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class GatewayEntry:
    """One happening: connect, identify, ready, resume, resumed, invalid_session or close."""

    at_s: float
    kind: str
    bot: str | None = None
    session_id: str | None = None
    seq: int | None = None
    code: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry for the control endpoint."""
        return asdict(self)


class GatewayLog:
    """The last happenings, and how many there were of each kind."""

    def __init__(self) -> None:
        self._entries: deque[GatewayEntry] = deque(maxlen=_KEPT)
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, **facts: Any) -> None:
        """Add a happening of now."""
        self._entries.append(GatewayEntry(time.time(), kind, **facts))
        self.counts[kind] += 1

    def of_kind(self, kind: str) -> list[GatewayEntry]:
        """Return the happenings of one kind."""
        return [entry for entry in list(self._entries) if entry.kind == kind]

    def __iter__(self) -> Iterator[GatewayEntry]:
        return iter(list(self._entries))
