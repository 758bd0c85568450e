"""Classifier of the ids in one payload: a person's, unless it is known to be something else's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from raysync.discord_api.cdn import DISCORD, Places
from raysync.discord_api.people.id_texts import (
    DAY_OF_IDS,
    LEAST_ID,
    MAX_DIGITS,
    MIN_DIGITS,
    highest_id,
    plain_digits,
)
from raysync.models.privacy import is_ref

Pseudonym = Callable[[str], str]
"""Returns the pseudonym of an id."""

_OWN: Final = (
    "id", "channel_id", "guild_id", "parent_id", "last_message_id", "application_id",
)  # fmt: skip
_REFERENCE: Final = ("message_id", "channel_id", "guild_id")
_LISTS: Final = ("mention_roles", "applied_tags")
_OBJECTS: Final = ("mention_channels", "attachments", "sticker_items", "available_tags")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Facts about ids that are known before any payload."""

    pseudonym: Pseudonym
    places: Places = DISCORD
    things: frozenset[str] = frozenset()  #: ids of the guild's own things, such as channels
    now_s: Callable[[], float] = time.time


class IdClassifier:
    """Classifier of the ids of one payload. It collects the persons' ids that it has found."""

    __slots__ = ("_highest", "_mentioned_ids", "_payload", "_pseudonym", "known", "person_ids")

    def __init__(self, payload: Mapping[str, Any], known: Knowledge) -> None:
        self._payload = payload
        self._pseudonym = known.pseudonym
        self._highest = 0
        self._mentioned_ids: set[str] = set()
        self.known = known
        self.person_ids: set[str] = set()  #: ids known to be persons', in plain digits

    def person_ref(self, digits: str) -> str | None:
        """Return the pseudonym of a number that may be a person's id, or None."""
        if digits in self.person_ids:
            return self._pseudonym(digits)
        if not MIN_DIGITS <= len(digits) <= MAX_DIGITS or self.is_thing(digits):
            return None
        return self._pseudonym(digits) if int(digits) < self._id_bound() else None

    def number_ref(self, value: float) -> str | None:
        """Return the pseudonym of a JSON number, which may be negative or rounded, or None."""
        size = abs(value)
        if not LEAST_ID <= size < 10**MAX_DIGITS:
            return None
        if isinstance(size, int):
            ref = self.person_ref(str(size))
        else:
            rounded = (one for one in self.person_ids if one.isdigit() and float(one) == size)
            ref = self.person_ref(next(rounded, str(int(size))))
        return f"-{ref}" if ref is not None and value < 0 else ref

    def add_person(self, digits: str) -> str:
        """Record an id that stands in a person's place, and return its pseudonym."""
        self.person_ids.add(digits)
        return self._pseudonym(digits)

    def mention_ref(self, digits: str) -> str:
        """Return the pseudonym of a mentioned id. It is weak evidence: anybody can type one."""
        self._mentioned_ids.add(digits)
        return self._pseudonym(digits)

    def owner_ref(self, owner: str) -> str | None:
        """Return the pseudonym of an id, a pseudonym unchanged, or None to keep the text."""
        return owner if is_ref(owner) else self._pseudonym(plain_digits(owner))

    def thing_id(self, digits: str) -> str:
        """Return a thing's id unchanged, or the pseudonym if the id is known to be a person's."""
        return self._pseudonym(digits) if digits in self.person_ids else digits

    def is_thing(self, digits: str) -> bool:
        """Return whether the payload shows that the id is not a person's."""
        if digits in self.person_ids:
            return False
        return digits in self.known.things or digits in set(_things_of(self._payload))

    def has_person_id(self, document: bytes) -> bool:
        """Return whether *document* still has a person's id, in the place of a thing's."""
        if self._mentioned_ids:
            present = {digits for digits in self._mentioned_ids if _is_in(digits, document)}
            self.person_ids |= {digits for digits in present if not self.is_thing(digits)}
        for digits in self.person_ids:  # noqa: SIM110 a loop is faster, and every message needs it
            if _is_in(digits, document):
                return True
        return False

    def _id_bound(self) -> int:
        """Return the upper bound of ids: tomorrow's, or those of the day after the payload."""
        if not self._highest:
            self._highest = highest_id(self.known.now_s())
            own = str(self._payload.get("id"))
            if own.isascii() and own.isdigit() and len(own) <= MAX_DIGITS:
                self._highest = max(self._highest, int(own) + DAY_OF_IDS)
        return self._highest


def _is_in(digits: str, document: bytes) -> bool:
    return len(digits) >= MIN_DIGITS and digits.encode() in document


def _things_of(payload: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the payload itself, its channel, its guild and its parts."""
    yield from _texts(payload, _OWN)
    reference = payload.get("message_reference")
    if isinstance(reference, dict):
        yield from _texts(reference, _REFERENCE)
    for key in _LISTS:
        ids = payload.get(key)
        if isinstance(ids, list):
            yield from (str(one) for one in ids)
    for key in _OBJECTS:
        parts = payload.get(key)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                yield str(part.get("id"))


def _texts(part: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    return (str(part[key]) for key in keys if key in part)
