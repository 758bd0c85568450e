"""Readers of single values of a payload, which raise where a value is out of bounds.

The bounds are those of the database's columns and indexes, so accepted values can be stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from raysync.models.ids import MAX_SNOWFLAKE

Payload = Mapping[str, Any]

UNREADABLE: Final = (
    KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError
)  # fmt: skip
"""Errors of code that reads an invalid payload."""
_INT4: Final = 1 << 31
_MAX_ID_DIGITS: Final = 20
_SURELY_DIGITS: Final = 19
"""Number of digits below which a number has less than 63 bits."""
_BITS: Final = re.compile("[0-9]{1,100}")
_MAX_EMOJI_CHARACTERS: Final = 200
"""Longest name of an emoji: an index row of PostgreSQL has 2,704 bytes, Discord's names 32."""
_MAX_TIME_CHARACTERS: Final = 64
_FIRST_YEAR, _LAST_YEAR = 2015, 9998


def snowflake(value: Any) -> int:
    """Return one of Discord's ids of 63 bits, given as ASCII digits or as a number."""
    if type(value) is str:
        if not (value.isascii() and value.isdigit() and len(value) <= _MAX_ID_DIGITS):
            raise ValueError("an id is digits")
        value = int(value)
    elif type(value) is not int:
        raise TypeError("an id is text or a number")
    if not 0 < value <= MAX_SNOWFLAKE:
        raise ValueError("an id has 63 bits")
    return value  # type: ignore[no-any-return]


def id_text(value: Any) -> str:
    """Return an id as Discord spells it."""
    if type(value) is str and len(value) < _SURELY_DIGITS and value.isascii() and value.isdigit():
        return value if value[0] != "0" else str(snowflake(value))
    return str(snowflake(value))


def permission_bits(value: Any) -> int:
    """Return permissions, given as ASCII digits or as a number."""
    if isinstance(value, str):
        if _BITS.fullmatch(value) is None:
            raise ValueError("permissions are digits")
        return int(value)
    if type(value) is not int or value < 0:
        raise TypeError("permissions are text or a number")
    return value


def small(value: Any) -> int:
    """Return a number that the database keeps in 32 bits, and that is not negative."""
    if type(value) is not int or not 0 <= value < _INT4:
        raise TypeError("it is a small number")
    return value


def count(value: Any) -> int:
    """Return a number that the database keeps in 64 bits, and that is not negative."""
    if type(value) is not int or not 0 <= value <= MAX_SNOWFLAKE:
        raise TypeError("it is a number")
    return value


def text(value: Any) -> str:
    """Return *value* if it is text."""
    if not isinstance(value, str):
        raise TypeError("it is text")
    return value


def flag(value: Any) -> bool:
    """Return a truth value; null is false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise TypeError("it is true or false")
    return value


def mapping(value: Any) -> Payload:
    """Return *value* if it is an object."""
    if not isinstance(value, dict):
        raise TypeError("it is an object")
    return value


def listed(value: Any) -> list[Any]:
    """Return *value* if it is a list."""
    if not isinstance(value, list):
        raise TypeError("it is a list")
    return value


def listed_or_none(value: Any) -> list[Any]:
    """Return a list; an empty one where Discord leaves it out."""
    return [] if value is None else listed(value)


def moment(value: Any) -> datetime:
    """Return a time in UTC, which is assumed where the offset is missing.

    Python accepts offsets of up to 24 hours, PostgreSQL of less than 16, so none is passed on. Sums
    fail near the ends of Python's range of time; Discord's times begin in 2015.
    """
    if not isinstance(value, str) or len(value) > _MAX_TIME_CHARACTERS:
        raise TypeError("a time is text")
    found = datetime.fromisoformat(value)
    if found.tzinfo is not UTC:
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError("a time is one of Discord's")
    return found


def emoji_name(value: Any) -> str:
    """Return an emoji as routes name it: the character, or ``name:id``; deleted ones have no name.

    A name of dots alone would lead to another route.
    """
    emoji = mapping(value)
    emoji_id, name = emoji.get("id"), emoji.get("name")
    if name is not None and len(text(name)) > _MAX_EMOJI_CHARACTERS:
        raise ValueError("an emoji's name is short")
    if emoji_id is not None:
        return f"{name or '_'}:{snowflake(emoji_id)}"
    if not name or not name.strip("."):
        raise ValueError("an emoji has an id or a name")
    return text(name)
