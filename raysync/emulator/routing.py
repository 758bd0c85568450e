"""Which handler a path belongs to: a tree of segments, `{name}` matching any one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from raysync.emulator.cdn import parse_query
from raysync.emulator.entities import Bot
from raysync.emulator.replies import Reply, invalid_form
from raysync.emulator.snowflakes import MAX_SNOWFLAKE
from raysync.emulator.world import World

ANY: Final = "{}"


@dataclass(slots=True)
class ApiRequest:
    """A request that has found its route and its bot."""

    world: World
    bot: Bot
    path_values: dict[str, str]
    query_string: str
    body: bytes = b""
    quirks: Any = None

    def snowflake(self, name: str) -> int:
        """Return an id of the path; Discord's form error where it is none."""
        return parse_snowflake(name, self.path_values[name])

    def query(self) -> dict[str, str]:
        """Return the query's last value of each name that is not ignored."""
        ignored = self.quirks.ignored_cursors if self.quirks is not None else ()
        return {
            name: values[-1]
            for name, values in parse_query(self.query_string).items()
            if name not in ignored
        }


Handler = Callable[[ApiRequest], Reply]


@dataclass(slots=True)
class Route:
    """A method and path template, and what answers it."""

    method: str
    template: str
    handler: Handler
    names: tuple[str, ...]
    major: str | None

    @property
    def name(self) -> str:
        """Return method and template, as the tables name a route."""
        return f"{self.method} {self.template}"


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """A found route with the path's values."""

    route: Route
    values: dict[str, str]

    @property
    def major_id(self) -> str | None:
        """Return the id that Discord keys the route's bucket by."""
        return self.values.get(self.route.major) if self.route.major else None


class Router:
    """All routes; `find` costs one dictionary look-up a segment."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Serve *template* (`/channels/{channel_id}/…`) with a handler."""
        node, names = self._root, []
        for segment in template.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                segment = ANY
            node = node.children.setdefault(segment, _Node())
        major = next((name for name in names if name in ("channel_id", "guild_id")), None)
        node.routes[method] = Route(method, template, handler, tuple(names), major)

    def find(self, method: str, path: str) -> Match | set[str]:
        """Return the match, or the methods the path does have (none: no such path)."""
        node, values = self._root, []
        for segment in path.strip("/").split("/"):
            following = node.children.get(segment)
            if following is None:
                following = node.children.get(ANY)
                values.append(unquote(segment) if "%" in segment else segment)
            if following is None:
                return set()
            node = following
        route = node.routes.get(method)
        if route is None:
            return set(node.routes)
        return Match(route, dict(zip(route.names, values, strict=True)))


def parse_snowflake(name: str, text: str) -> int:
    """Read an id; Discord's form error where it is none."""
    if text.isascii() and text.isdigit() and int(text) <= MAX_SNOWFLAKE:
        return int(text)
    raise invalid_form(name, "NUMBER_TYPE_COERCE", f'Value "{text}" is not snowflake.')


def parse_limit(query: dict[str, str], default: int, most: int, least: int = 1) -> int:
    """Read `limit`; Discord's form error outside its bounds."""
    text = query.get("limit")
    if text is None:
        return default
    try:
        limit = int(text)
    except ValueError:
        message = f'Value "{text}" is not int.'
        raise invalid_form("limit", "NUMBER_TYPE_COERCE", message) from None
    if limit > most:
        message = f"int value should be less than or equal to {most}."
        raise invalid_form("limit", "NUMBER_TYPE_MAX", message)
    if limit < least:
        message = f"int value should be greater than or equal to {least}."
        raise invalid_form("limit", "NUMBER_TYPE_MIN", message)
    return limit
