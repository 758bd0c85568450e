"""Routes: a tree of path segments, in which `{name}` matches any segment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from raysync.emulator.api.replies import Reply
from raysync.emulator.api.requests import ApiRequest

ANY: Final = "{}"

Handler = Callable[[ApiRequest], Reply]


@dataclass(slots=True)
class Route:
    """A method, a path template, and the handler that answers it."""

    method: str
    template: str
    handler: Handler
    names: tuple[str, ...]
    major: str | None

    @property
    def name(self) -> str:
        """Method and template, such as ``GET /guilds/{guild_id}``."""
        return f"{self.method} {self.template}"


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """A route with the values of its path."""

    route: Route
    values: dict[str, str]

    @property
    def major_id(self) -> str | None:
        """The id by which Discord keys the route's bucket."""
        return self.values.get(self.route.major) if self.route.major else None


class Router:
    """All routes. A look-up costs one dictionary access per path segment."""

    def __init__(self) -> None:
        self._root = _Node()
        self._names: set[str] = set()

    def names(self) -> set[str]:
        """Return the names of all routes."""
        return set(self._names)

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Serve *template* (`/channels/{channel_id}/…`) with a handler."""
        node, names = self._root, []
        for segment in template.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                segment = ANY
            node = node.children.setdefault(segment, _Node())
        major = next((name for name in names if name in ("channel_id", "guild_id")), None)
        route = node.routes[method] = Route(method, template, handler, tuple(names), major)
        self._names.add(route.name)

    def find(self, method: str, path: str) -> Match | set[str]:
        """Return the match, or else the methods of the path; an empty set for an unknown path."""
        node, values = self._root, []
        for segment in path.strip("/").split("/"):
            child = node.children.get(segment)
            if child is None:
                child = node.children.get(ANY)
                values.append(unquote(segment) if "%" in segment else segment)
            if child is None:
                return set()
            node = child
        route = node.routes.get(method)
        if route is None:
            return set(node.routes)
        return Match(route, dict(zip(route.names, values, strict=True)))
