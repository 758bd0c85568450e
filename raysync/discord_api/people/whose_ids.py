"""Whose the ids of one payload are: people's, unless they are known to be of something else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from raysync.discord_api.cdn import DISCORD, Places
from raysync.discord_api.people.id_texts import (
    A_DAY,
    LEAST_DIGITS,
    LEAST_ID,
    MOST_DIGITS,
    highest_id,
    plain_digits,
)
from raysync.models.privacy import is_ref

Pseudonym = Callable[[str], str]

_OWN: Final = (
    "id", "channel_id", "guild_id", "parent_id", "last_message_id", "application_id",
)  # fmt: skip
_REFERENCE: Final = ("message_id", "channel_id", "guild_id")
_LISTS: Final = ("mention_roles", "applied_tags")
_OBJECTS: Final = ("mention_channels", "attachments", "sticker_items", "available_tags")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of ids before any payload is seen."""

    pseudonym: Pseudonym
    places: Places = DISCORD
    things: frozenset[str] = frozenset()  #: ids of the guild's own that are no person's
    now_s: Callable[[], float] = time.time


class WhoseIds:
    """Decides for each id of one payload, and remembers who was met in it."""

    __slots__ = ("_highest", "_payload", "_pseudonym", "_said", "known", "met")

    def __init__(self, payload: Mapping[str, Any], known: Knowledge) -> None:
        self._payload = payload
        self._pseudonym = known.pseudonym
        self._highest = 0
        self._said: set[str] = set()
        self.known = known
        self.met: set[str] = set()  #: ids that are known to be people's, in plain digits

    def person(self, digits: str) -> str | None:
        """Return the pseudonym of a number that may be a person's id; None for any other."""
        if digits in self.met:
            return self._pseudonym(digits)
        if not LEAST_DIGITS <= len(digits) <= MOST_DIGITS or self.is_thing(digits):
            return None
        return self._pseudonym(digits) if int(digits) < self._bound() else None

    def person_of(self, value: float) -> str | None:
        """Return the pseudonym of a JSON number, which may be negative or rounded, or None."""
        size = abs(value)
        if not LEAST_ID <= size < 10**MOST_DIGITS:
            return None
        if isinstance(size, int):
            ref = self.person(str(size))
        else:
            near = (each for each in self.met if each.isdigit() and float(each) == size)
            ref = self.person(next(near, str(int(size))))
        return f"-{ref}" if ref is not None and value < 0 else ref

    def meet(self, digits: str) -> str:
        """Remember an id that stands where a person's does; return its pseudonym."""
        self.met.add(digits)
        return self._pseudonym(digits)

    def mentioned(self, digits: str) -> str:
        """Return the pseudonym of a mention's id. Anybody can type one, so it proves little."""
        self._said.add(digits)
        return self._pseudonym(digits)

    def somebody(self, who: str) -> str | None:
        """Return the pseudonym of an id, a pseudonym as it is, or None to leave it alone."""
        return who if is_ref(who) else self._pseudonym(plain_digits(who))

    def unless_met(self, digits: str) -> str:
        """Return a thing's id as it is; the pseudonym where a person is known to have that id."""
        return self._pseudonym(digits) if digits in self.met else digits

    def is_thing(self, digits: str) -> bool:
        """Return whether the payload shows that the id is no person's."""
        if digits in self.met:
            return False
        return digits in self.known.things or digits in set(_things_of(self._payload))

    def is_left(self, document: bytes) -> bool:
        """Return whether the id of a person is left in *document*, in the place of a thing's."""
        if self._said:
            found = {each for each in self._said if _is_in(each, document)}
            self.met |= {each for each in found if not self.is_thing(each)}
        for digits in self.met:  # noqa: SIM110 asked of every message, so quick
            if _is_in(digits, document):
                return True
        return False

    def _bound(self) -> int:
        """Return the upper bound of ids: those of tomorrow, or of the day after the payload."""
        if not self._highest:
            self._highest = highest_id(self.known.now_s())
            own = str(self._payload.get("id"))
            if own.isascii() and own.isdigit() and len(own) <= MOST_DIGITS:
                self._highest = max(self._highest, int(own) + A_DAY)
        return self._highest


def _is_in(digits: str, document: bytes) -> bool:
    return len(digits) >= LEAST_DIGITS and digits.encode() in document


def _things_of(payload: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the payload itself, its channel, its guild and its parts."""
    yield from _texts(payload, _OWN)
    reference = payload.get("message_reference")
    if isinstance(reference, dict):
        yield from _texts(reference, _REFERENCE)
    for key in _LISTS:
        listed = payload.get(key)
        if isinstance(listed, list):
            yield from (str(each) for each in listed)
    for key in _OBJECTS:
        listed = payload.get(key)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict):
                yield str(each.get("id"))


def _texts(part: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    return (str(part[key]) for key in keys if key in part)
