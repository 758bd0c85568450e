"""Routes that the API lacks: each is reported once, and is no failure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from raysync.errors import RouteMissingError
from raysync.models.ids import ChannelId
from raysync.models.not_covered import MissingRoute, NotCovered


def missing_of(error: RouteMissingError) -> MissingRoute:
    """Return the missing route as a value that can cross actors."""
    return MissingRoute(error.route, error.what, str(error))


@dataclass(slots=True)
class Uncovered:
    """Missing routes of one run, with the channels concerned."""

    lists_active_threads: bool = True
    _found: dict[str, MissingRoute] = field(default_factory=dict)
    _channels: dict[str, set[ChannelId]] = field(default_factory=dict)

    def note(self, error: RouteMissingError, *channels: ChannelId) -> None:
        """Record a missing route, for *channels* or for the guild."""
        self.add([missing_of(error)], *channels)

    def add(self, missing: Iterable[MissingRoute], *channels: ChannelId) -> None:
        """Record missing routes; the first reason of each is kept."""
        for route in missing:
            self._found.setdefault(route.route, route)
            self._channels.setdefault(route.route, set()).update(channels)

    def all(self) -> tuple[NotCovered, ...]:
        """Return every missing route, once, in order."""
        return tuple(
            NotCovered(self._found[route], frozenset(self._channels[route]))
            for route in sorted(self._found)
        )

    def hint(self) -> str:
        """Return a sentence that explains an unlisted channel; empty if no route is missing."""
        if not self._found:
            return ""
        routes = ", ".join(sorted(self._found))
        return f" The API lacks {routes}, so channels that only these routes list are not seen."
