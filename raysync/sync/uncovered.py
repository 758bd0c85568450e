"""What a run could not ask for, because the API lacks the route: told once, and no failure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from raysync.errors import RouteMissingError
from raysync.models.ids import ChannelId
from raysync.models.not_covered import MissingRoute, NotCovered


def missing_of(error: RouteMissingError) -> MissingRoute:
    """The route that the API lacks, as a value that travels."""
    return MissingRoute(error.route, error.what, str(error))


@dataclass(slots=True)
class Uncovered:
    """The missing routes of one run, with the channels concerned."""

    lists_active_threads: bool = True
    _found: dict[str, MissingRoute] = field(default_factory=dict)
    _channels: dict[str, set[ChannelId]] = field(default_factory=dict)

    def note(self, error: RouteMissingError, *channels: ChannelId) -> None:
        """Take note of a route that was asked for in vain, for *channels* or for the guild."""
        self.add([missing_of(error)], *channels)

    def add(self, missing: Iterable[MissingRoute], *channels: ChannelId) -> None:
        """Take note of routes; the first reason of each is kept."""
        for each in missing:
            self._found.setdefault(each.route, each)
            self._channels.setdefault(each.route, set()).update(channels)

    def all(self) -> tuple[NotCovered, ...]:
        """Every missing route, once."""
        return tuple(
            NotCovered(self._found[route], frozenset(self._channels[route]))
            for route in sorted(self._found)
        )

    def hint(self) -> str:
        """The rest of a sentence on something that is in no list; nothing where none is missing."""
        if not self._found:
            return ""
        return f" The API lacks {', '.join(sorted(self._found))}: what these list is not seen."
