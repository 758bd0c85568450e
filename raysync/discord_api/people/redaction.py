"""Redaction: payloads without forgotten people and channels, and without expired quotes.

It works on scrubbed payloads, both new and stored. There a person has a pseudonym, or an id if the
tenant is `full` or the row was stored under earlier rules. So erasing stored rows and suppressing
new ones need the same code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from raysync.discord_api.fields import UNREADABLE, snowflake
from raysync.discord_api.people.id_classifier import Knowledge
from raysync.discord_api.people.id_texts import plain_digits
from raysync.discord_api.people.key_kinds import Kind, kind_of
from raysync.discord_api.people.texts import Texts, is_person_link
from raysync.models.json_text import json_text
from raysync.models.privacy import ERASED as ERASED  # redactors import it from here
from raysync.models.privacy import PSEUDONYM, PeopleRules

_REF: Final = re.compile(PSEUDONYM)
_SHORT_NUMBER: Final = re.compile(r"(?<!\d)\d{5,16}(?!\d)", re.ASCII)
_NAMED: Final = re.compile(rf"{PSEUDONYM}|[0-9]{{5,}}")
_NAMED_BYTES: Final = re.compile(_NAMED.pattern.encode())
_FEW: Final = 16
"""Up to this many names, a search for each is faster than a look at all numbers of a payload."""
_USER_DETAILS: Final = ("member", "nick", "avatar")
"""Keys beside a ``user`` that describe that user."""
_LINKS: Final = ("icon_url", "proxy_icon_url", "url")


@dataclass(frozen=True, slots=True)
class Redaction:
    """Redaction of some people, some channels, and quotes of messages past retention."""

    people: frozenset[str] = frozenset()  #: pseudonyms and ids
    channels: frozenset[str] = frozenset()
    before: int = 0  #: quoted messages with smaller ids are past retention

    @classmethod
    def by(cls, rules: PeopleRules) -> Redaction:
        """Return the redaction for the rules of a run."""
        return cls(rules.users, frozenset(map(str, rules.channels)), rules.before)

    def touches(self, payload: Mapping[str, Any], document: bytes) -> bool:
        """Return whether *payload*, which is *document* as JSON, may need redaction."""
        if self.before and _is_quote_before(payload, self.before):
            return True
        if not self.people and not self.channels:
            return False
        sought = self.people | self.channels
        if len(sought) <= _FEW:
            return any(name.encode() in document for name in sought)
        found = {name.lstrip(b"0").decode() for name in _NAMED_BYTES.findall(document)}
        return not (self.people.isdisjoint(found) and self.channels.isdisjoint(found))

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a redacted message or channel. *payload* itself does not change."""
        kept: dict[str, Any] = self._mapping(payload)
        return kept

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return redacted metadata of a message, including the original payload as JSON text."""
        kept = {key: self._value(value) for key, value in metadata.items() if key != "original"}
        if self._names(metadata.get("flags")):  # flags must stay a number
            kept["flags"] = 0
        if "original" in metadata:  # stored to preserve its escapes, which json keeps
            original = self._mapping(json.loads(metadata["original"]))
            kept["original"] = json_text(original)
        return kept

    def text(self, text: str) -> str:
        """Return *text* with `ERASED` in place of the people."""
        return _eraser(self.people).text(text) if self.people else text

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        kept = {self.text(key): self._entry(key, entry, value) for key, entry in value.items()}
        if self._is_person(value.get("user")):
            for detail in _USER_DETAILS:
                kept.pop(detail, None)
        if any(self._names(entry) for key, entry in value.items() if kind_of(key) is Kind.PERSON):
            kept = {key: entry for key, entry in kept.items() if kind_of(key) not in _PERSON_KINDS}
        return kept

    def _entry(self, key: str, value: Any, parent: Mapping[str, Any]) -> Any:
        if key == "referenced_message" and isinstance(value, dict) and self._is_dropped(value):
            return None  # Discord sends the same for a deleted message
        if key == "thread" and isinstance(value, dict) and str(value.get("id")) in self.channels:
            return {"id": value["id"]}
        if key == "message_snapshots" and self._is_from_dropped_channel(parent):
            return []
        if key in self.people:  # a map by ids, such as the resolved data of an interaction
            return {}
        kept = self._value(value)
        if key == "author" and isinstance(value, dict) and isinstance(kept, dict):
            links = (value.get(link_key) for link_key in _LINKS)
            if any(isinstance(link, str) and self._leads_to_them(link) for link in links):
                kept.pop("name", None)
        return kept

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {"id": ERASED} if self._is_person(value) else self._mapping(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, str):
            return self.text(value)
        return ERASED if self._names(value) else value

    def _names(self, value: Any) -> bool:
        """Return whether *value* is the id or the pseudonym of one of the people."""
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return False
        return str(value).lstrip("-0") in self.people

    def _is_person(self, value: Any) -> bool:
        return isinstance(value, dict) and self._names(value.get("id"))

    def _leads_to_them(self, link: str) -> bool:
        return is_person_link(link) is not None and self.text(link) != link

    def _is_dropped(self, quoted: Mapping[str, Any]) -> bool:
        """Return whether a quoted message itself may not be stored."""
        is_theirs = self._is_person(quoted.get("author"))
        is_old = _id_of(quoted) < self.before
        return is_theirs or is_old or str(quoted.get("channel_id")) in self.channels

    def _is_from_dropped_channel(self, parent: Mapping[str, Any]) -> bool:
        reference = parent.get("message_reference")
        return isinstance(reference, dict) and str(reference.get("channel_id")) in self.channels


_PERSON_KINDS: Final = (Kind.NAME, Kind.PICTURE)


class _Eraser(Texts):
    """Eraser of some people from texts, by the rules of scrubbing. Everything else stays."""

    __slots__ = ("_people",)

    def __init__(self, people: frozenset[str]) -> None:
        super().__init__({}, Knowledge(lambda _: ERASED))
        self._people = people
        self.person_ids = {name for name in people if name.isdigit()}

    def text(self, text: str) -> str:
        if not self._may_be_in(text):
            return text
        kept = _REF.sub(self._ref, self.rewritten(text))
        return _SHORT_NUMBER.sub(self._ref, kept) if self.person_ids else kept

    def _may_be_in(self, text: str) -> bool:
        if len(self._people) <= _FEW:
            return any(name in text for name in self._people)
        return not self._people.isdisjoint(name.lstrip("0") for name in _NAMED.findall(text))

    def person_ref(self, digits: str) -> str | None:
        return ERASED if digits in self.person_ids else None

    def owner_ref(self, owner: str) -> str | None:
        is_erased = owner in self._people or plain_digits(owner) in self.person_ids
        return ERASED if is_erased else None

    def is_thing(self, digits: str) -> bool:  # noqa: ARG002 only the given people are replaced
        return False

    def _mention(self, mention: re.Match[str]) -> str:
        ref = self.owner_ref(plain_digits(mention[1]))
        return mention[0] if ref is None else mention[0].replace(mention[1], ref)

    def _ref(self, name: re.Match[str]) -> str:
        return ERASED if name[0] in self._people else name[0]


_eraser: Final = lru_cache(16)(_Eraser)


def _is_quote_before(payload: Mapping[str, Any], before: int) -> bool:
    quoted = payload.get("referenced_message")
    return isinstance(quoted, dict) and _id_of(quoted) < before


def _id_of(quoted: Mapping[str, Any]) -> int:
    """Return the id of a quoted message, or 0, older than any, if it is unreadable."""
    try:
        return snowflake(quoted.get("id"))
    except UNREADABLE:
        return 0
