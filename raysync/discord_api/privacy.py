"""People out of payloads: ids become keyed pseudonyms, names and avatars go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Protocol

from raysync.models.entities import Privacy

Payload = dict[str, Any]
_MENTION = re.compile(r"<@(!?)(\d{15,20})>")
_IN_URL = re.compile(r"/(avatars|users|banners)/(\d{15,20})\b")
_MARKS_OF_USER = ("username", "discriminator", "global_name")
_USER_IDS = frozenset({"owner_id", "user_id", "creator_id", "inviter_id"})
_LISTS_OF_USER_IDS = frozenset({"participants"})
_KEPT_CACHE = 50_000


class Identities(Protocol):
    """Decides what is kept of people."""

    def author(self, user_id: int) -> str:
        """How *user_id* is named in the archive."""
        ...

    def text(self, content: str) -> str:
        """Written text, its mentions named the same way."""
        ...

    def payload(self, payload: Mapping[str, Any]) -> Payload:
        """A whole payload, nobody in it named otherwise."""
        ...


class FullIdentities:
    """Keeps people as Discord names them."""

    def author(self, user_id: int) -> str:
        return str(user_id)

    def text(self, content: str) -> str:
        return content

    def payload(self, payload: Mapping[str, Any]) -> Payload:
        return dict(payload)


class Pseudonyms:
    """Names people by HMAC-SHA-256 under a key: the same person the same, for that key alone."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[int, str] = {}

    def author(self, user_id: int) -> str:
        found = self._known.get(user_id)
        if found is None:
            digest = hmac.new(self._key, str(user_id).encode(), hashlib.sha256).digest()[:16]
            found = "u_" + base64.b32encode(digest).decode().rstrip("=").lower()
            if len(self._known) >= _KEPT_CACHE:
                self._known.clear()
            self._known[user_id] = found
        return found

    def text(self, content: str) -> str:
        if "<@" in content:
            content = _MENTION.sub(lambda m: f"<@{m[1]}{self.author(int(m[2]))}>", content)
        if "/" in content:
            content = _IN_URL.sub(lambda m: f"/{m[1]}/{self.author(int(m[2]))}", content)
        return content

    def payload(self, payload: Mapping[str, Any]) -> Payload:
        return {key: self._value(key, value) for key, value in payload.items()}

    def _value(self, key: str, value: Any) -> Any:
        if type(value) is str:
            if key in _USER_IDS and value.isdigit():
                return self.author(int(value))
            return self.text(value)
        if type(value) is list:
            if not value:
                return value
            if key in _LISTS_OF_USER_IDS:
                return [self.author(int(each)) for each in value]
            return [self._value("", each) for each in value]
        if type(value) is dict:
            return self._object(key, value)
        return value

    def _object(self, key: str, value: Payload) -> Payload:
        if any(mark in value for mark in _MARKS_OF_USER) and "id" in value:
            return self._person(value)
        if key in ("users", "members"):  # `resolved`: keyed by user id
            return {self.author(int(each)): self._value("", one) for each, one in value.items()}
        if key == "member":
            return {"roles": value.get("roles", [])}
        if key == "authorizing_integration_owners":
            return {
                kind: self.author(int(owner)) if kind == "1" else owner
                for kind, owner in value.items()
            }
        if value.get("type") in ("user", 1) and set(value) <= {"id", "type", "allow", "deny"}:
            return value | {"id": self.author(int(value["id"]))}
        return self.payload(value)

    def _person(self, user: Payload) -> Payload:
        kept: Payload = {"id": self.author(int(user["id"]))}
        if user.get("bot"):
            kept["bot"] = True
        return kept


def identities_for(privacy: Privacy, key: bytes) -> Identities:
    """What a tenant's setting asks for."""
    return FullIdentities() if privacy is Privacy.FULL else Pseudonyms(key)
