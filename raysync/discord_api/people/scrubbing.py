"""Payloads without people: every user in them becomes a pseudonym, wherever they are nested.

What is not known to be anything else is taken for a person's: an id under a key that nobody knows,
in a text, in a number. See `docs/privacy.md` for what stays, and why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from raysync.discord_api.cdn import is_link_button, unsigned_url
from raysync.discord_api.people.id_texts import (
    LEAST_DIGITS,
    LEAST_ID,
    LONG_NUMBER,
    may_hold_id,
    plain_digits,
)
from raysync.discord_api.people.key_kinds import (
    MAPS_OF_THINGS,
    PERSONS,
    ROOT,
    USER_MARKS,
    Kind,
    is_of_things,
    kind_of,
)
from raysync.discord_api.people.texts import Texts, leads_to_somebody
from raysync.discord_api.people.whose_ids import Knowledge, Pseudonym
from raysync.models.privacy import is_ref

_NUMBER: Final = re.compile(rf"\s*\+?({LONG_NUMBER})\s*").fullmatch
_OF_USER: Final = (1, "1", "member", "user")
_OF_THING: Final = (0, "0", "role", "channel")
_USER_INSTALL, _GUILD_INSTALL = "1", "0"
"""The keys under which an integration's owner is a user, or a guild."""
_SAID_OF_PERSON: Final = ("name", "tag")
"""What an object says beside the id of a person, and of a thing as well."""
_LINKS_OF_AUTHOR: Final = ("icon_url", "proxy_icon_url", "url")
_GUILDS: Final = frozenset({"guild", "guilds", "source_guild"})
_NAMED: Final = PERSONS - {"author"}  # of an embed, too, which is looked at by itself
_MEMBERS: Final = frozenset({"member", "members"})
_PLAIN, _ODD, _ID, _THING, _AUTHOR, _LINK = (
    Kind.PLAIN, Kind.ODD, Kind.ID, Kind.THING, Kind.AUTHOR, Kind.LINK,
)  # fmt: skip
_KINDS: Final[dict[str, Kind]] = {}
_PLACES: Final[dict[str, bool]] = {}
_MOST_KINDS: Final = 4_096


def without_people(payload: Mapping[str, Any], known: Knowledge) -> tuple[dict[str, Any], bytes]:
    """Copy a message or channel without people; return it, and the same as JSON.

    An id that the payload shows to be a person's is replaced wherever else it stands, even in the
    place of a thing's. That takes a second pass, which few payloads need.
    """
    scrubber = _Scrubber(payload, known)
    if "application_id" in payload:  # which is the author's, where a program wrote it
        scrubber.author(payload.get("author"), "author")
    kept = scrubber.values(payload, ROOT)
    document = orjson.dumps(kept)
    if scrubber.is_left(document):
        kept = scrubber.values(payload, ROOT)
        document = orjson.dumps(kept)
    return kept, document


def text_without_people(text: str, payload: Mapping[str, Any], known: Knowledge) -> str:
    """Rewrite a text of *payload* as `without_people` does."""
    return _Scrubber(payload, known).text(text)


def without_mentions(text: str, pseudonym: Pseudonym) -> str:
    """Rewrite a text that belongs to no payload."""
    return text_without_people(text, {}, Knowledge(pseudonym))


class _Scrubber(Texts):
    """A walk over one payload."""

    __slots__ = ()

    def values(self, payload: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Copy an object that stands under the key *where*, as it may be kept.

        Most values stay as they are: empty values, short texts and small numbers hold no id.
        """
        kept, met, kinds = dict(payload), self.met, _KINDS.get
        is_person = False
        for key, value in payload.items():
            kind = kinds(key) or _learned(key)
            if not value and kind is not _ODD:
                continue
            of = value.__class__
            if kind is _PLAIN:
                if of is str:
                    if len(value) >= LEAST_DIGITS or "<@" in value:
                        kept[key] = self.text(value)
                elif of is dict or of is list:
                    kept[key] = self.value(value, key)
                elif (of is int or of is float) and not -LEAST_ID < value < LEAST_ID:
                    kept[key] = self.number(value)
            elif kind is _THING or (kind is _ID and _is_place_of_things(where)):
                if of is not str or value in met or not (value.isascii() and value.isdigit()):
                    kept[key] = kept_id = self.thing(value, key)
                    is_person = is_person or (kind is _ID and kept_id != value)
            elif kind is _AUTHOR:
                kept[key] = self.author(value, key)
            elif kind is _LINK:
                kept[key] = self.link(value, key, payload)
            elif kind is _ID:
                is_person, kept[key] = self._whose(payload, value, where)
            elif kind in _BY_KIND:
                kept[key] = _BY_KIND[kind](self, value, key)
            else:
                self._special(kind, kept, key, value, where)
        if is_person or where in _NAMED or ("user_id" in payload and "id" not in payload):
            for said in _SAID_OF_PERSON:
                kept.pop(said, None)
        return kept

    def value(self, value: Any, where: str) -> Any:
        """Rewrite any part of a payload; *where* is the key of the value, or of its list."""
        of = value.__class__
        if of is dict:
            if "username" in value or "global_name" in value or "discriminator" in value:
                return self.user(value)
            if "nick" in value:
                return self.member(value)
            if where in MAPS_OF_THINGS and next(iter(value), "").isdigit():
                return self.things(value, where)
            return self.values(value, where)
        if of is str:
            return self.text(value)
        if of is list:
            return [self.value(each, where) for each in value]
        return self.number(value) if of is int or of is float else value

    def text(self, text: str) -> str:
        """Rewrite a text. Most have no long number, no mention and no picture's address."""
        if may_hold_id(text) or "<@" in text:
            return self.rewritten(text)
        if "/" in text and ("/avatars/" in text or "/banners/" in text or "/users/" in text):
            return self.rewritten(text)
        return text

    def link(self, value: Any, key: str, around: Mapping[str, Any]) -> Any:
        """Rewrite the address of a file or picture, and drop its signature."""
        if not isinstance(value, str):
            return self.value(value, key)
        if "hm=" not in value and not may_hold_id(value):
            return self.text(value)
        file = self.known.places.files(value)
        if file is not None and self.met.isdisjoint(file.group(2, 3)):
            return value if file[4] and is_link_button(around) else file[1]
        is_signed = "hm=" in value and not is_link_button(around)
        return self.text(unsigned_url(value, self.known.places) if is_signed else value)

    def number(self, value: float) -> Any:
        """Return a number as it is, or the pseudonym where it may be a person's id."""
        if -LEAST_ID < value < LEAST_ID:
            return value
        ref = self.person_of(value)
        return _storable(value) if ref is None else ref

    def thing(self, value: Any, where: str) -> Any:
        """Return a thing's id, or a list of them, but for ids that are known to be people's."""
        of = value.__class__
        if of is str and value.isascii() and value.isdigit():
            return self.unless_met(value)
        if of is int:
            ref = self.unless_met(str(value))
            return _storable(value) if ref == str(value) else ref
        if of is list:
            return [self.thing(each, where) for each in value]
        return self.value(value, where)

    def user_id(self, value: Any, where: str) -> Any:
        """A user's id, or what stands in its place."""
        if isinstance(value, str):
            return value if is_ref(value) else self._named(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return self.meet(str(value))
        return None if value is None else self.value(value, where)

    def _named(self, text: str) -> str:
        found = _NUMBER(text)
        if found is not None:
            return self.meet(plain_digits(found[1]))
        if may_hold_id(text):  # among other words
            return self.rewritten(text)
        return self.meet(plain_digits(text) if text.isdecimal() else text)

    def _whose(self, around: Mapping[str, Any], value: Any, where: str) -> tuple[bool, Any]:
        """Return whether the ``id`` of the object *around* is a person's, and what to keep."""
        if where in PERSONS:
            if where in _MEMBERS and "user_id" in around:  # the id is the thread's
                return False, self.thing(value, where)
            return True, self.user_id(value, where)
        if isinstance(value, str):
            found = _NUMBER(value)
            ref = None if found is None else self.person(plain_digits(found[1]))
            kept = self.text(value) if ref is None else ref
            return ref is not None or is_ref(value), kept
        kept = self.value(value, where)
        return isinstance(kept, str), kept

    def user(self, value: Any, where: str = "user") -> Any:
        """A user: the pseudonym, and whether it is a program."""
        if not isinstance(value, dict):
            return self.value(value, where)
        kept: dict[str, Any] = {"id": self.user_id(value.get("id"), "user")}
        if value.get("bot"):
            kept["bot"] = True
        if value.get("system"):
            kept["system"] = True
        return kept

    def member(self, value: dict[str, Any]) -> dict[str, Any]:
        """A guild's member: the roles, and who."""
        kept: dict[str, Any] = {"roles": self.thing(value.get("roles", []), "roles")}
        if "user" in value:
            kept["user"] = self.user(value["user"])
        return kept

    def _special(self, kind: Kind, kept: dict[str, Any], key: str, value: Any, where: str) -> None:
        """Rewrite or remove in *kept* what stands under *key*."""
        if kind is Kind.NAME or (kind is Kind.PICTURE and where not in _GUILDS):
            del kept[key]
            if kind is Kind.PICTURE and isinstance(value, str) and "/" in value:  # an address
                kept[key] = self.text(value)
        elif kind is Kind.ODD:
            del kept[key]
            kept[self.text(key)] = self.value(value, key)

    def things(self, value: dict[str, Any], where: str) -> dict[str, Any]:
        """Rewrite a map of channels, roles and the like, by their ids."""
        kept = {}
        for key, each in value.items():
            is_id = key.isascii() and key.isdigit()
            kept[self.unless_met(key) if is_id else self.text(key)] = self.value(each, where)
        return kept

    def author(self, value: Any, where: str) -> Any:
        """Rewrite a message's author, or an embed's: drop the name beside a person's picture."""
        kept = self.value(value, where)
        if "name" in kept and "id" not in kept and isinstance(kept, dict):
            for link in _LINKS_OF_AUTHOR:
                address = value.get(link)
                if isinstance(address, str) and leads_to_somebody(address):
                    kept.pop("name", None)
        return kept

    def some_member(self, value: Any, where: str) -> Any:
        """Rewrite a guild's member, or a thread's."""
        is_guilds = isinstance(value, dict) and "roles" in value
        return self.member(value) if is_guilds else self.value(value, where)

    def people(self, value: Any, where: str) -> Any:
        """Users or members in a list, or by their ids."""
        if isinstance(value, dict) and not _is_person(value):
            return {self._key(key): self.value(each, where) for key, each in value.items()}
        if isinstance(value, list):
            return [self._one_of_people(each, where) for each in value]
        return self.value(value, where)

    def _one_of_people(self, value: Any, where: str) -> Any:
        is_id = isinstance(value, (str, int))
        return self.user_id(value, where) if is_id else self.value(value, where)

    def _key(self, key: str) -> str:
        return str(self.user_id(key, ROOT)) if key.isdecimal() else self.text(key)

    def owners(self, value: Any, where: str) -> Any:
        """Who installed an integration: a guild or a user."""
        if not isinstance(value, dict):
            return self.value(value, where)
        kept = {}
        for key, each in value.items():
            if key == _USER_INSTALL:
                kept[key] = self.user_id(each, where)
            elif key == _GUILD_INSTALL:
                kept[key] = self.thing(each, where)
            else:
                kept[self.text(key)] = self.value(each, where)
        return kept

    def choices(self, value: Any, where: str) -> Any:
        """A select menu's default values, or a channel's overwrites: some are users."""
        if not isinstance(value, list):
            return self.value(value, where)
        return [self._choice(each, where) for each in value]

    def _choice(self, value: Any, where: str) -> Any:
        kept = self.value(value, where)
        if isinstance(value, dict) and isinstance(kept, dict) and "id" in value:
            if value.get("type") in _OF_USER:
                kept["id"] = self.user_id(value["id"], where)
            elif value.get("type") in _OF_THING:
                kept["id"] = self.thing(value["id"], where)
        return kept

    def lobby_member(self, value: Any, where: str) -> Any:
        """Someone in a game's lobby: the id is the user's, though nothing else looks like one."""
        kept = self.value(value, where)
        if isinstance(value, dict) and isinstance(kept, dict) and "id" in value:
            kept["id"] = self.user_id(value["id"], where)
        return kept

    def fields(self, value: Any, where: str) -> Any:
        """Rewrite an embed's fields: the name of each says what its value is."""
        if not isinstance(value, list):
            return self.value(value, where)
        return [self._field(each, where) for each in value]

    def _field(self, value: Any, where: str) -> Any:
        kept = self.value(value, where)
        if isinstance(value, dict) and isinstance(name := value.get("name"), str):
            said = value.get("value")
            is_id = isinstance(said, str) and said.isascii() and said.isdigit()
            if is_id and kind_of(name) is Kind.THING:
                kept["value"] = self.unless_met(str(said))
        return kept


_BY_KIND: Final[Mapping[Kind, Callable[[_Scrubber, Any, str], Any]]] = {
    Kind.CHOICES: _Scrubber.choices,
    Kind.FIELDS: _Scrubber.fields,
    Kind.LOBBY_MEMBER: _Scrubber.lobby_member,
    Kind.MEMBER: _Scrubber.some_member,
    Kind.OWNERS: _Scrubber.owners,
    Kind.PEOPLE: _Scrubber.people,
    Kind.PERSON: _Scrubber.user_id,
    Kind.USER: _Scrubber.user,
}


def _learned(key: str) -> Kind:
    """Classify *key*, and cache the answer: Discord's keys are few."""
    kind = kind_of(key)
    if len(_KINDS) < _MOST_KINDS:
        _KINDS[key] = kind
    return kind


def _is_place_of_things(where: str) -> bool:
    """Call `is_of_things`, and cache the answer."""
    known = _PLACES.get(where)
    if known is None:
        known = is_of_things(where)
        if len(_PLACES) < _MOST_KINDS:
            _PLACES[where] = known
    return known


def _is_person(value: Mapping[str, Any]) -> bool:
    """Whether it is somebody, and not some people by their ids."""
    return "nick" in value or any(mark in value for mark in USER_MARKS)


def _storable(value: float) -> Any:
    """Round an integer of more than 64 bits, as reading it from JSON does.

    Raises:
        OverflowError: it is beyond a double.
    """
    is_rounded = isinstance(value, int) and not -(1 << 63) <= value < 1 << 64
    return float(value) if is_rounded else value
