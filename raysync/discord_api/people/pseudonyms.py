"""Pseudonyms of people, and the identities that a tenant keeps.

A pseudonym is a keyed hash of a user's id. Without the tenant's key nobody can compute it, or guess
ids and compare. A person has one pseudonym in a tenant, and a different one in each other tenant.

Stored pseudonyms cannot be turned back into ids. So each rotation derives the new pseudonyms from
the old ones: the id is hashed with the tenant's key, then the result with each rotation's key.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Protocol, Self

import orjson

from raysync.discord_api.cdn import DISCORD, Places, unsigned
from raysync.discord_api.people.id_classifier import Knowledge
from raysync.discord_api.people.redaction import Redaction
from raysync.discord_api.people.scrubbing import text_without_people, without_people
from raysync.models.entities import Privacy
from raysync.models.privacy import PeopleRules

PREFIX: Final = "u_"
_CHARACTERS: Final = 26
"""Characters of a pseudonym, of 5 bits each: 130 bits."""
_MAX_CACHED: Final = 1 << 16
_MIN_KEY_BYTES: Final = 16

Kept = tuple[dict[str, Any], bytes]
"""A payload as it may be stored, and its JSON."""


class Identities(Protocol):
    """Rules for what is stored of people."""

    def author_ref(self, user_id: str, /) -> str:
        """Return the name of a user in the database: a pseudonym or the id."""
        ...

    def is_suppressed(self, ref: str, /) -> bool:
        """Return whether nothing of this user may be stored."""
        ...

    @property
    def keeps_out(self) -> bool:
        """True if any user is suppressed."""
        ...

    def scrub(self, payload: Mapping[str, Any]) -> Kept:
        """Return a message or channel as it may be stored. *payload* itself does not change."""
        ...

    def text(self, text: str, payload: Mapping[str, Any] = {}, /) -> str:
        """Return a text of *payload* as `scrub` would store it."""
        ...

    def at_api(self, api_url: str, /) -> Self:
        """Return a copy for an API, with its CDN, at *api_url*."""
        ...


class Pseudonymizer:
    """Identities of a `pseudonymous` tenant: pseudonyms, without user ids and names."""

    def __init__(
        self,
        key: bytes,
        rules: PeopleRules = PeopleRules(),  # noqa: B008 frozen
        known: Collection[str] = (),
    ) -> None:
        """Derive pseudonyms with *key*. *known* are ids of the guild's own things."""
        if len(key) < _MIN_KEY_BYTES:
            raise ValueError(f"a key of pseudonyms has at least {_MIN_KEY_BYTES} bytes")
        self._keys = (key, *(rotation_key(key, salt) for salt in rules.salts))
        self._suppressed = rules.users
        self._redaction = Redaction.by(rules)
        self._cached_ref: Callable[[str], str] = lru_cache(_MAX_CACHED)(self._derive)
        self._known = Knowledge(self._cached_ref, things=frozenset(known))

    def author_ref(self, user_id: str, /) -> str:
        """See `Identities`."""
        return self._cached_ref(user_id)

    def is_suppressed(self, ref: str, /) -> bool:
        """See `Identities`."""
        return ref in self._suppressed

    @property
    def keeps_out(self) -> bool:
        """See `Identities`."""
        return bool(self._suppressed)

    def scrub(self, payload: Mapping[str, Any]) -> Kept:
        """See `Identities`."""
        return _redacted(self._redaction, *without_people(payload, self._known))

    def text(self, text: str, payload: Mapping[str, Any] = {}, /) -> str:
        """See `Identities`."""
        return self._redaction.text(text_without_people(text, payload, self._known))

    def at_api(self, api_url: str, /) -> Self:
        """See `Identities`."""
        other = copy.copy(self)
        other._known = replace(  # noqa: SLF001 an instance of this class
            self._known, places=Places.of_api(api_url)
        )
        return other

    def _derive(self, user_id: str) -> str:
        ref = user_id
        for key in self._keys:
            ref = pseudonym(key, ref)
        return ref


class FullIdentity:
    """Identities of a `full` tenant: people as Discord shows them, without URL signatures."""

    def __init__(self, rules: PeopleRules = PeopleRules()) -> None:  # noqa: B008 frozen
        self._suppressed = rules.users
        self._redaction = Redaction.by(rules)
        self._places = DISCORD

    def author_ref(self, user_id: str, /) -> str:
        """See `Identities`."""
        return user_id

    def is_suppressed(self, ref: str, /) -> bool:
        """See `Identities`."""
        return ref in self._suppressed

    @property
    def keeps_out(self) -> bool:
        """See `Identities`."""
        return bool(self._suppressed)

    def scrub(self, payload: Mapping[str, Any]) -> Kept:
        """See `Identities`."""
        kept = unsigned(dict(payload), self._places)
        return _redacted(self._redaction, kept, orjson.dumps(kept))

    def text(self, text: str, _payload: Mapping[str, Any] = {}, /) -> str:
        """See `Identities`."""
        return self._redaction.text(text)

    def at_api(self, api_url: str, /) -> Self:
        """See `Identities`."""
        other = copy.copy(self)
        other._places = Places.of_api(api_url)  # noqa: SLF001 an instance of this class
        return other


def pseudonym(key: bytes, name: str) -> str:
    """Return the pseudonym of *name*, an id or an earlier pseudonym, under *key*."""
    digest = hmac.digest(key, name.encode(), hashlib.sha256)
    return PREFIX + base64.b32encode(digest)[:_CHARACTERS].decode().lower()


def rotation_key(key: bytes, salt: str) -> bytes:
    """Return the key of one rotation, from the tenant's *key* and the stored *salt*."""
    return hmac.digest(key, f"raysync/rotation/v1/{salt}".encode(), hashlib.sha256)


def _redacted(redaction: Redaction, kept: dict[str, Any], document: bytes) -> Kept:
    if not redaction.touches(kept, document):
        return kept, document
    redacted = redaction.payload(kept)
    return redacted, orjson.dumps(redacted)


def pseudonymizer_for(
    privacy: Privacy,
    key: bytes,
    rules: PeopleRules = PeopleRules(),  # noqa: B008 frozen
    known: Collection[str] = (),
) -> Identities:
    """Return the identities for a tenant's *privacy* and *key*.

    *known* are ids of the guild's own things. They must be the same in each run: otherwise a
    message that is read again would differ from the stored one.
    """
    return FullIdentity(rules) if privacy is Privacy.FULL else Pseudonymizer(key, rules, known)
