"""Payloads without those who are to be forgotten, as they come in and as they are stored.

It works on what is about to be kept, or is: a person stands in it under their pseudonym, or under
their id where the tenant is `full`. So what erases and what keeps out are the same few lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from raysync.discord_api.fields import UNREADABLE, snowflake
from raysync.models.json_text import json_text
from raysync.models.privacy import PSEUDONYM, PeopleRules

ERASED: Final = "u_erased"
"""Who stands where somebody was forgotten."""

_NAMED: Final = rf"{PSEUDONYM}|\d{{5,20}}"
_TOKEN: Final = re.compile(_NAMED)
_TOKEN_BYTES: Final = re.compile(_NAMED.encode())
_FEW: Final = 16
"""Names that are looked for one by one: quicker than to look at every number of a payload."""
_AVATAR: Final = re.compile(rf"/avatars/({_NAMED})(?:/[\w.]+)?")
_WORN: Final = ("member", "nick", "avatar")
"""What stands beside a user and is theirs."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Takes some people and channels out of payloads, and quotes of messages past retention."""

    people: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    before: int = 0

    @classmethod
    def by(cls, rules: PeopleRules) -> Redaction:
        """As the rules of a run say."""
        return cls(rules.users, frozenset(map(str, rules.channels)), rules.before)

    def touches(self, payload: Mapping[str, Any], document: bytes) -> bool:
        """Whether anything of *payload*, which is *document* as JSON, may have to go."""
        if self.before and _is_quote_before(payload, self.before):
            return True
        if not self.people and not self.channels:
            return False
        sought = self.people | self.channels
        if len(sought) <= _FEW:
            return any(each.encode() in document for each in sought)
        found = {each.decode() for each in _TOKEN_BYTES.findall(document)}
        return not (self.people.isdisjoint(found) and self.channels.isdisjoint(found))

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A message or channel without them; *payload* stays as it is."""
        kept: dict[str, Any] = self._mapping(payload)
        return kept

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """A message's metadata; a whole payload in it, as JSON text, is a payload like others."""
        kept = {key: value for key, value in metadata.items() if key != "original"}
        if "original" in metadata:  # its escapes are what it is there for: json keeps them
            original = self._mapping(json.loads(metadata["original"]))
            kept["original"] = json_text(original)
        return kept

    def text(self, text: str) -> str:
        """*text* with somebody else in their place."""
        if "/avatars/" in text:  # the picture's own name leads back to its user
            text = _AVATAR.sub(self._avatar, text)
        return _TOKEN.sub(lambda found: self._name(found[0]), text)

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        kept = {self.text(key): self._entry(key, each, value) for key, each in value.items()}
        if self._is_person(value.get("user")):
            for each in _WORN:
                kept.pop(each, None)
        return kept

    def _entry(self, key: str, value: Any, around: Mapping[str, Any]) -> Any:
        if key == "referenced_message" and isinstance(value, dict) and self._is_lost(value):
            return None  # as Discord says it of a message that was deleted
        if key == "thread" and isinstance(value, dict) and str(value.get("id")) in self.channels:
            return {"id": value["id"]}
        if key == "message_snapshots" and self._is_of_lost_channel(around):
            return []
        if key in self.people:  # by ids, as in the data that an interaction resolved
            return {}
        return self._value(value)

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {"id": ERASED} if self._is_person(value) else self._mapping(value)
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return ERASED if str(value) in self.people else value
        return value

    def _is_person(self, value: Any) -> bool:
        return isinstance(value, dict) and str(value.get("id")) in self.people

    def _is_lost(self, quoted: Mapping[str, Any]) -> bool:
        """Whether a message that is quoted as a whole is not to be kept itself."""
        is_theirs = self._is_person(quoted.get("author"))
        is_old = _id_of(quoted) < self.before
        return is_theirs or is_old or str(quoted.get("channel_id")) in self.channels

    def _is_of_lost_channel(self, around: Mapping[str, Any]) -> bool:
        reference = around.get("message_reference")
        return isinstance(reference, dict) and str(reference.get("channel_id")) in self.channels

    def _avatar(self, found: re.Match[str]) -> str:
        return f"/avatars/{ERASED}" if found[1] in self.people else found[0]

    def _name(self, found: str) -> str:
        return ERASED if found in self.people else found


def _is_quote_before(payload: Mapping[str, Any], before: int) -> bool:
    quoted = payload.get("referenced_message")
    return isinstance(quoted, dict) and _id_of(quoted) < before


def _id_of(quoted: Mapping[str, Any]) -> int:
    """The id of a message that is quoted; one that is none is older than any."""
    try:
        return snowflake(quoted.get("id"))
    except UNREADABLE:
        return 0
