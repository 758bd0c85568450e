"""Whose words they are, without saying who: pseudonyms, and payloads rid of people.

A pseudonym is keyed, so nobody without the tenant's key can tell or try out whose it is, and the
same person has the same one everywhere in a tenant and another in every other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

import orjson

from raysync.discord_api.cdn import unsigned
from raysync.discord_api.scrubbing import without_people
from raysync.models.entities import Privacy

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

    def scrub(self, payload: Mapping[str, Any]) -> Kept:
        """A message or channel as it may be kept; *payload* itself stays as it is."""
        ...


class Pseudonymizer:
    """Keeps pseudonyms alone: no user id, no user name."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _LEAST_KEY_BYTES:
            raise ValueError(f"a key of pseudonyms has at least {_LEAST_KEY_BYTES} bytes")
        self._key = key
        self._remembered: Callable[[str], str] = lru_cache(_REMEMBERED)(self._derive)

    def author_ref(self, user_id: str, /) -> str:
        """See `Identities`."""
        return self._remembered(user_id)

    def scrub(self, payload: Mapping[str, Any]) -> Kept:
        """See `Identities`."""
        return without_people(payload, self._remembered)

    def _derive(self, user_id: str) -> str:
        digest = hmac.digest(self._key, user_id.encode(), hashlib.sha256)
        return PREFIX + base64.b32encode(digest)[:_CHARACTERS].decode().lower()


class FullIdentity:
    """Keeps people as Discord shows them; only the signatures of addresses go."""

    def author_ref(self, user_id: str, /) -> str:
        """See `Identities`."""
        return user_id

    def scrub(self, payload: Mapping[str, Any]) -> Kept:
        """See `Identities`."""
        kept = {key: unsigned(value) for key, value in payload.items()}
        return kept, orjson.dumps(kept)


def pseudonymizer_for(privacy: Privacy, key: bytes) -> Identities:
    """What a tenant of that *privacy* wants; *key* is the tenant's."""
    return FullIdentity() if privacy is Privacy.FULL else Pseudonymizer(key)
