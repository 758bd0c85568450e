"""Whose words they are, without saying who: pseudonyms, and payloads rid of people.

A pseudonym is keyed, so nobody without the tenant's key can tell or try out whose it is, and the
same person has the same one everywhere in a tenant and another in every other.

Pseudonyms that are stored cannot be taken back to whom they name, so each rotation derives the new
ones from the old ones: a pseudonym is the id under the tenant's key, then that under a key of each
rotation in turn.
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
from raysync.discord_api.people.redaction import Redaction
from raysync.discord_api.people.scrubbing import text_without_people, without_people
from raysync.discord_api.people.whose_ids import Knowledge
from raysync.models.entities import Privacy
from raysync.models.privacy import PeopleRules

PREFIX: Final = "u_"
_CHARACTERS: Final = 26
"""Of base32, 5 bits each: 130 bits."""
_REMEMBERED: Final = 1 << 16
_LEAST_KEY_BYTES: Final = 16

Kept = tuple[dict[str, Any], bytes]
"""A payload as it may be kept, and the same as JSON."""


class Identities(Protocol):
    """Decides what is kept of people."""

    def author_ref(self, user_id: str, /) -> str:
        """What a user is called in the database."""
        ...

    def is_suppressed(self, ref: str, /) -> bool:
        """Whether nothing is to be kept of whom the database calls so."""
        ...

    @property
    def keeps_out(self) -> bool:
        """Whether there is anybody of whom nothing is to be kept."""
        ...

    def scrub(self, payload: Mapping[str, Any]) -> Kept:
        """A message or channel as it may be kept; *payload* itself stays as it is."""
        ...

    def text(self, text: str, payload: Mapping[str, Any] = {}, /) -> str:
        """Return a text of *payload* as `scrub` would keep it."""
        ...

    def at_api(self, api_url: str, /) -> Self:
        """Return the same for an API, and its CDN, at *api_url*."""
        ...


class Pseudonymizer:
    """Keeps pseudonyms alone: no user id, no user name."""

    def __init__(
        self,
        key: bytes,
        rules: PeopleRules = PeopleRules(),  # noqa: B008 frozen
        known: Collection[str] = (),
    ) -> None:
        """*known* are ids of the guild's own that are no person's."""
        if len(key) < _LEAST_KEY_BYTES:
            raise ValueError(f"a key of pseudonyms has at least {_LEAST_KEY_BYTES} bytes")
        self._keys = (key, *(rotation_key(key, salt) for salt in rules.salts))
        self._suppressed = rules.users
        self._redaction = Redaction.by(rules)
        self._remembered: Callable[[str], str] = lru_cache(_REMEMBERED)(self._derive)
        self._known = Knowledge(self._remembered, things=frozenset(known))

    def author_ref(self, user_id: str, /) -> str:
        """See `Identities`."""
        return self._remembered(user_id)

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
        there = copy.copy(self)
        there._known = replace(  # noqa: SLF001 its own
            self._known, places=Places.of_api(api_url)
        )
        return there

    def _derive(self, user_id: str) -> str:
        ref = user_id
        for key in self._keys:
            ref = pseudonym(key, ref)
        return ref


class FullIdentity:
    """Keeps people as Discord shows them; only the signatures of addresses go."""

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
        there = copy.copy(self)
        there._places = Places.of_api(api_url)  # noqa: SLF001 its own
        return there


def pseudonym(key: bytes, name: str) -> str:
    """What *name*, an id or a pseudonym of before, is called under *key*."""
    digest = hmac.digest(key, name.encode(), hashlib.sha256)
    return PREFIX + base64.b32encode(digest)[:_CHARACTERS].decode().lower()


def rotation_key(key: bytes, salt: str) -> bytes:
    """The key of one rotation: of the tenant's *key*, and of what the database keeps for it."""
    return hmac.digest(key, f"raysync/rotation/v1/{salt}".encode(), hashlib.sha256)


def _redacted(redaction: Redaction, kept: dict[str, Any], document: bytes) -> Kept:
    if not redaction.touches(kept, document):
        return kept, document
    rest = redaction.payload(kept)
    return rest, orjson.dumps(rest)


def pseudonymizer_for(
    privacy: Privacy,
    key: bytes,
    rules: PeopleRules = PeopleRules(),  # noqa: B008 frozen
    known: Collection[str] = (),
) -> Identities:
    """What a tenant of that *privacy* wants; *key* is the tenant's.

    *known* are ids of the guild's own that are no person's: the same in each run, or what was
    read before would differ from what is read anew.
    """
    return FullIdentity(rules) if privacy is Privacy.FULL else Pseudonymizer(key, rules, known)
