"""Requests as they come in, and their ids and numbers, checked as Discord checks them."""

from dataclasses import dataclass

from raysync.emulator.api.quirks import Quirks
from raysync.emulator.api.replies import invalid_form
from raysync.emulator.world.cdn import parse_query
from raysync.emulator.world.entities import Bot
from raysync.emulator.world.snowflakes import MAX_SNOWFLAKE, iso_to_ms
from raysync.emulator.world.world import World


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request before routing. *path* is without /api/v10, and complete for the CDN."""

    method: str
    path: str
    query: str
    address: str
    authorization: str | None
    user_agent: str
    body: bytes = b""
    cdn: bool = False


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request whose route and bot are known."""

    world: World
    bot: Bot
    path_values: dict[str, str]
    query_string: str
    body: bytes
    quirks: Quirks

    def snowflake(self, name: str) -> int:
        """Return an id of the path. Raise Discord's form error where it is not a snowflake."""
        return parse_snowflake(name, self.path_values[name])

    def query(self) -> dict[str, str]:
        """Return the last value of each query parameter, without the ignored ones."""
        return {
            name: values[-1]
            for name, values in parse_query(self.query_string).items()
            if name not in self.quirks.ignored_cursors
        }


def parse_snowflake(name: str, text: str) -> int:
    """Parse an id. Raise Discord's form error where it is not a snowflake."""
    if text.isascii() and text.isdigit() and int(text) <= MAX_SNOWFLAKE:
        return int(text)
    raise invalid_form(name, "NUMBER_TYPE_COERCE", f'Value "{text}" is not snowflake.')


def parse_limit(query: dict[str, str], default: int, maximum: int, minimum: int = 1) -> int:
    """Parse `limit`. Raise Discord's form error outside its bounds."""
    text = query.get("limit")
    if text is None:
        return default
    try:
        limit = int(text)
    except ValueError:
        message = f'Value "{text}" is not int.'
        raise invalid_form("limit", "NUMBER_TYPE_COERCE", message) from None
    if limit > maximum:
        message = f"int value should be less than or equal to {maximum}."
        raise invalid_form("limit", "NUMBER_TYPE_MAX", message)
    if limit < minimum:
        message = f"int value should be greater than or equal to {minimum}."
        raise invalid_form("limit", "NUMBER_TYPE_MIN", message)
    return limit


def parse_time(name: str, text: str) -> int:
    """Parse an ISO time into Unix milliseconds. Raise Discord's form error where it is invalid."""
    try:
        return iso_to_ms(text)
    except ValueError:
        message = f"Could not parse {text}. Should be ISO8601."
        raise invalid_form(name, "DATETIME_TYPE_PARSE", message) from None
