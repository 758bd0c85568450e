"""Payloads without people: every user in them becomes a pseudonym, wherever it is nested."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from raysync.discord_api.cdn import unsigned_url

Pseudonym = Callable[[str], str]

_MENTION: Final = re.compile(r"<@!?(\d+)>")
_PROFILE: Final = re.compile(r"/(?:avatars/(\d{15,20})/[\w.]+|users/(\d{15,20}))")
_SNOWFLAKE: Final = re.compile(r"\d{15,20}")
_LEAST_ID_DIGITS: Final = 15
"""Shorter numbers are in every text; a snowflake has not been shorter since 2015."""

_USER_MARKS: Final = ("username", "global_name", "discriminator")
_USER_ID_KEYS: Final = frozenset(
    {
        "author_id",
        "creator_id",
        "inviter_id",
        "owner_id",
        "owner_user_id",
        "recipient_id",
        "sender_id",
        "target_user_id",
        "used_by",
        "user_id",
    }
)
_MEMBER_OVERWRITE: Final = (1, "1", "member")
_USER_INSTALL: Final = "1"
"""The key under which an integration's owner is a user; under "0" it is a guild."""


def without_mentions(text: str, pseudonym: Pseudonym) -> str:
    """*text* with each mention of a user, and each address of a profile, under a pseudonym."""
    if "<@" in text:
        text = _MENTION.sub(lambda found: f"<@{pseudonym(found[1])}>", text)
    if "/avatars/" in text or "/users/" in text:
        text = _PROFILE.sub(lambda found: _profile(found, pseudonym), text)
    return text


def _profile(found: re.Match[str], pseudonym: Pseudonym) -> str:
    """An avatar loses the picture's own name too, which leads back to the user."""
    of_avatar, of_user = found.groups()
    return f"/avatars/{pseudonym(of_avatar)}" if of_avatar else f"/users/{pseudonym(of_user)}"


def without_people(
    payload: Mapping[str, Any], pseudonym: Pseudonym
) -> tuple[dict[str, Any], bytes]:
    """A message or channel without people, and the same as JSON. *payload* stays as it is.

    What looks like a user, or is where Discord puts a user's id, is replaced. Then each id found
    that way is replaced wherever else it stands, in whatever Discord may bring tomorrow as well.
    """
    scrubber = _Scrubber(pseudonym)
    kept = scrubber.values(payload)
    document = orjson.dumps(kept)
    swept = scrubber.sweep(document)
    return (kept, document) if swept is document else (orjson.loads(swept), swept)


class _Scrubber:
    """One walk over one payload; remembers whom it met."""

    def __init__(self, pseudonym: Pseudonym) -> None:
        self._pseudonym = pseudonym
        self._met: set[str] = set()

    def values(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Each value by its key; what is short and plain passes untouched."""
        kept: dict[str, Any] = {}
        for key, value in payload.items():
            if key in _BY_KEY:
                kept[key] = _BY_KEY[key](self, value)
            elif isinstance(value, str):
                kept[key] = self._text(value)
            elif isinstance(value, dict):
                kept[key] = self.value(value)
            elif isinstance(value, list):
                kept[key] = [self.value(each) for each in value] if value else value
            else:
                kept[key] = value
        return kept

    def value(self, value: Any) -> Any:
        """Any part of a payload."""
        if isinstance(value, dict):
            if any(mark in value for mark in _USER_MARKS):
                return self.user(value)
            return self.member(value) if "nick" in value else self.values(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        return value

    def sweep(self, document: bytes) -> bytes:
        """Replace whom the walk met wherever else they stand."""
        for user_id in self._met:
            sought = user_id.encode()
            if len(sought) >= _LEAST_ID_DIGITS and sought in document:
                document = document.replace(sought, self._pseudonym(user_id).encode())
        return document

    def user_id(self, value: Any) -> Any:
        """A user's id, or what stands in its place."""
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            return None if value is None else self.value(value)
        self._met.add(str(value))
        return self._pseudonym(str(value))

    def user(self, value: Any) -> Any:
        """A user: the pseudonym, and whether it is a program."""
        if not isinstance(value, dict):
            return self.value(value)
        kept: dict[str, Any] = {"id": self.user_id(value.get("id"))}
        for flag in ("bot", "system"):
            if value.get(flag):
                kept[flag] = True
        return kept

    def member(self, value: dict[str, Any]) -> dict[str, Any]:
        """A guild's member: the roles, and who."""
        kept: dict[str, Any] = {"roles": self.value(value.get("roles", []))}
        if "user" in value:
            kept["user"] = self.user(value["user"])
        return kept

    def people(self, value: Any) -> Any:
        """Users or members in a list, or by their ids."""
        if isinstance(value, dict) and not _is_person(value):
            return {self._key(key): self.value(each) for key, each in value.items()}
        if isinstance(value, list):
            return [
                self.user_id(each) if isinstance(each, str) else self.value(each) for each in value
            ]
        return self.value(value)

    def owners(self, value: Any) -> Any:
        """Who installed an integration: a guild or a user."""
        if not isinstance(value, dict):
            return self.value(value)
        return {
            key: self.user_id(each) if key == _USER_INSTALL else self.value(each)
            for key, each in value.items()
        }

    def choices(self, value: Any) -> Any:
        """A select menu's default values, or a channel's overwrites: some are users."""
        if not isinstance(value, list):
            return self.value(value)
        return [self._choice(each) for each in value]

    def lobby_member(self, value: Any) -> Any:
        """Someone in a game's lobby: the id is the user's, though nothing else looks like one."""
        kept = self.value(value)
        return kept | {"id": self.user_id(value["id"])} if "id" in kept else kept

    def party(self, value: Any) -> Any:
        """A party's id may hold that of its host."""
        if not isinstance(value, str):
            return self.value(value)
        return _SNOWFLAKE.sub(lambda found: str(self.user_id(found[0])), value)

    def _choice(self, value: Any) -> Any:
        kept = self.value(value)
        if isinstance(kept, dict) and kept.get("type") in ("user", *_MEMBER_OVERWRITE):
            kept["id"] = self.user_id(value.get("id"))
        return kept

    def _key(self, key: str) -> str:
        return str(self.user_id(key)) if key.isdigit() else key

    def _text(self, text: str) -> str:
        if "/" not in text and "<@" not in text:  # most texts: no address, no mention
            return text
        return unsigned_url(without_mentions(text, self._pseudonym))


def _is_person(value: dict[str, Any]) -> bool:
    """Whether it is somebody, and not some people by their ids."""
    return "nick" in value or any(mark in value for mark in _USER_MARKS)


_BY_KEY: Final[Mapping[str, Callable[[_Scrubber, Any], Any]]] = {
    **dict.fromkeys(_USER_ID_KEYS, _Scrubber.user_id),
    "author": lambda scrubber, value: scrubber.value(value),
    "authorizing_integration_owners": _Scrubber.owners,
    "default_values": _Scrubber.choices,
    "lobby_member": _Scrubber.lobby_member,
    "member": lambda scrubber, value: (
        scrubber.member(value)
        if isinstance(value, dict) and "roles" in value
        else scrubber.value(value)
    ),
    "members": _Scrubber.people,
    "participants": _Scrubber.people,
    "party_id": _Scrubber.party,
    "permission_overwrites": _Scrubber.choices,
    "recipients": _Scrubber.people,
    "user": _Scrubber.user,
    "users": _Scrubber.people,
}
"""Where Discord puts people who do not look like users by themselves."""
