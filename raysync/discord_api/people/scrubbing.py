"""Scrubbing of payloads: every user in them becomes a pseudonym, at any depth.

An id counts as a person's unless it is known to be something else's: under an unknown key, in a
text, or as a number. `docs/privacy.md` says what stays, and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from raysync.discord_api.people.id_classifier import Knowledge, Pseudonym
from raysync.discord_api.people.id_texts import LEAST_ID, MIN_DIGITS, plain_digits
from raysync.discord_api.people.key_kinds import (
    MAPS_OF_THINGS,
    PERSONS,
    ROOT,
    Kind,
    is_of_things,
    kind_of,
)
from raysync.discord_api.people.objects import (
    REWRITERS,
    rewrite_author,
    rewrite_member,
    rewrite_things,
    rewrite_user,
)
from raysync.discord_api.people.values import NUMBER_ALONE, Values
from raysync.models.privacy import is_ref

_PERSON_DETAILS: Final = ("name", "tag")
"""Keys of names beside the id of a person. Things have them, too."""
_GUILDS: Final = frozenset({"guild", "guilds", "source_guild"})
_NAMED_PERSONS: Final = PERSONS - {"author"}  # an embed's author needs a closer look
_MEMBERS: Final = frozenset({"member", "members"})
_PLAIN, _ODD, _ID, _THING, _AUTHOR, _LINK = (
    Kind.PLAIN, Kind.ODD, Kind.ID, Kind.THING, Kind.AUTHOR, Kind.LINK,
)  # fmt: skip
_KINDS: Final[dict[str, Kind]] = {}
_PLACES: Final[dict[str, bool]] = {}
_MAX_CACHED: Final = 4_096


def without_people(payload: Mapping[str, Any], known: Knowledge) -> tuple[dict[str, Any], bytes]:
    """Copy a message or channel without people. Return the copy, and its JSON.

    An id that the payload shows to be a person's is replaced everywhere else, even in the place
    of a thing's. This takes a second pass, which few payloads need.
    """
    scrubber = _Scrubber(payload, known)
    if "application_id" in payload:  # it is also the author's id if a program wrote the message
        rewrite_author(scrubber, payload.get("author"), "author")
    kept = scrubber.mapping(payload, ROOT)
    document = orjson.dumps(kept)
    if scrubber.has_person_id(document):
        kept = scrubber.mapping(payload, ROOT)
        document = orjson.dumps(kept)
    return kept, document


def text_without_people(text: str, payload: Mapping[str, Any], known: Knowledge) -> str:
    """Rewrite a text of *payload* as `without_people` does."""
    return _Scrubber(payload, known).text(text)


def without_mentions(text: str, pseudonym: Pseudonym) -> str:
    """Rewrite a text that belongs to no payload."""
    return text_without_people(text, {}, Knowledge(pseudonym))


class _Scrubber(Values):
    """Walk over the objects and lists of one payload."""

    __slots__ = ()

    def mapping(self, payload: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Copy an object under the key *where*, as it may be stored.

        Most values stay as they are: empty values, short texts and small numbers hold no id.
        """
        kept, person_ids, kinds = dict(payload), self.person_ids, _KINDS.get
        is_person = False
        for key, value in payload.items():
            kind = kinds(key) or _cached_kind(key)
            if not value and kind is not _ODD:
                continue
            type_ = value.__class__
            if kind is _PLAIN:
                if type_ is str:
                    if len(value) >= MIN_DIGITS or "<@" in value:
                        kept[key] = self.text(value)
                elif type_ is dict or type_ is list:
                    kept[key] = self.value(value, key)
                elif (type_ is int or type_ is float) and not -LEAST_ID < value < LEAST_ID:
                    kept[key] = self.number(value)
            elif kind is _THING or (kind is _ID and _is_place_of_things(where)):
                is_id = type_ is str and value.isascii() and value.isdigit()
                if not is_id or value in person_ids:
                    kept[key] = kept_id = self.thing(value, key)
                    is_person = is_person or (kind is _ID and kept_id != value)
            elif kind is _AUTHOR:
                kept[key] = rewrite_author(self, value, key)
            elif kind is _LINK:
                kept[key] = self.link(value, key, payload)
            elif kind is _ID:
                is_person, kept[key] = self._object_id(payload, value, where)
            elif kind in REWRITERS:
                kept[key] = REWRITERS[kind](self, value, key)
            else:
                self._drop_or_rename(kind, kept, key, value, where)
        if is_person or where in _NAMED_PERSONS or ("user_id" in payload and "id" not in payload):
            for detail in _PERSON_DETAILS:
                kept.pop(detail, None)
        return kept

    def value(self, value: Any, where: str) -> Any:
        type_ = value.__class__
        if type_ is dict:
            if "username" in value or "global_name" in value or "discriminator" in value:
                return rewrite_user(self, value)
            if "nick" in value:
                return rewrite_member(self, value)
            if where in MAPS_OF_THINGS and next(iter(value), "").isdigit():
                return rewrite_things(self, value, where)
            return self.mapping(value, where)
        if type_ is str:
            return self.text(value)
        if type_ is list:
            return [self.value(item, where) for item in value]
        return self.number(value) if type_ is int or type_ is float else value

    def _object_id(self, parent: Mapping[str, Any], value: Any, where: str) -> tuple[bool, Any]:
        """Return whether the ``id`` of the object *parent* is a person's, and what to keep."""
        if where in PERSONS:
            if where in _MEMBERS and "user_id" in parent:  # the id is the thread's
                return False, self.thing(value, where)
            return True, self.user_id(value, where)
        if isinstance(value, str):
            number = NUMBER_ALONE(value)
            ref = None if number is None else self.person_ref(plain_digits(number[1]))
            kept = self.text(value) if ref is None else ref
            return ref is not None or is_ref(value), kept
        kept = self.value(value, where)
        return isinstance(kept, str), kept

    def _drop_or_rename(
        self, kind: Kind, kept: dict[str, Any], key: str, value: Any, where: str
    ) -> None:
        """Drop a person's name or picture from *kept*, or rename a key that holds an id."""
        if kind is Kind.NAME or (kind is Kind.PICTURE and where not in _GUILDS):
            del kept[key]
            if kind is Kind.PICTURE and isinstance(value, str) and "/" in value:  # a URL
                kept[key] = self.text(value)
        elif kind is Kind.ODD:
            del kept[key]
            kept[self.text(key)] = self.value(value, key)


def _cached_kind(key: str) -> Kind:
    """Classify *key*, and cache the result: Discord has few keys."""
    kind = kind_of(key)
    if len(_KINDS) < _MAX_CACHED:
        _KINDS[key] = kind
    return kind


def _is_place_of_things(where: str) -> bool:
    """Call `is_of_things`, and cache the result."""
    cached = _PLACES.get(where)
    if cached is None:
        cached = is_of_things(where)
        if len(_PLACES) < _MAX_CACHED:
            _PLACES[where] = cached
    return cached
