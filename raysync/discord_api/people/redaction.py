"""Payloads without those who are to be forgotten, as they come in and as they are stored.

It works on what is about to be kept, or is: a person stands in it under their pseudonym, or under
their id where the tenant is `full`, or where it was kept under earlier rules. So what erases and
what keeps out are the same few lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from raysync.discord_api.fields import UNREADABLE, snowflake
from raysync.discord_api.people.id_texts import plain_digits
from raysync.discord_api.people.key_kinds import Kind, kind_of
from raysync.discord_api.people.texts import Texts, leads_to_somebody
from raysync.discord_api.people.whose_ids import Knowledge
from raysync.models.json_text import json_text
from raysync.models.privacy import ERASED as ERASED  # for those who redact
from raysync.models.privacy import PSEUDONYM, PeopleRules

_REF: Final = re.compile(PSEUDONYM)
_SHORT_NUMBER: Final = re.compile(r"(?<!\d)\d{5,16}(?!\d)", re.ASCII)
_NAMED: Final = re.compile(rf"{PSEUDONYM}|[0-9]{{5,}}")
_NAMED_BYTES: Final = re.compile(_NAMED.pattern.encode())
_FEW: Final = 16
"""Names that are looked for one by one: quicker than to look at every number of a payload."""
_WORN: Final = ("member", "nick", "avatar")
"""What stands beside a user and is theirs."""
_LINKS: Final = ("icon_url", "proxy_icon_url", "url")


@dataclass(frozen=True, slots=True)
class Redaction:
    """Takes some people and channels out of payloads, and quotes of messages past retention."""

    people: frozenset[str] = frozenset()  #: pseudonyms and ids
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
        found = {each.lstrip(b"0").decode() for each in _NAMED_BYTES.findall(document)}
        return not (self.people.isdisjoint(found) and self.channels.isdisjoint(found))

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A message or channel without them; *payload* stays as it is."""
        kept: dict[str, Any] = self._mapping(payload)
        return kept

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """A message's metadata; a whole payload in it, as JSON text, is a payload like others."""
        kept = {key: self._value(each) for key, each in metadata.items() if key != "original"}
        if self._names(metadata.get("flags")):  # which are a number
            kept["flags"] = 0
        if "original" in metadata:  # its escapes are what it is there for: json keeps them
            original = self._mapping(json.loads(metadata["original"]))
            kept["original"] = json_text(original)
        return kept

    def text(self, text: str) -> str:
        """*text* with somebody else in their place."""
        return _erasing(self.people).text(text) if self.people else text

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        kept = {self.text(key): self._entry(key, each, value) for key, each in value.items()}
        if self._is_person(value.get("user")):
            for each in _WORN:
                kept.pop(each, None)
        if any(self._names(each) for key, each in value.items() if kind_of(key) is Kind.PERSON):
            kept = {key: each for key, each in kept.items() if kind_of(key) not in _OF_PERSON}
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
        kept = self._value(value)
        if key == "author" and isinstance(value, dict) and isinstance(kept, dict):
            links = (value.get(each) for each in _LINKS)
            if any(isinstance(each, str) and self._leads_to_them(each) for each in links):
                kept.pop("name", None)
        return kept

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {"id": ERASED} if self._is_person(value) else self._mapping(value)
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, str):
            return self.text(value)
        return ERASED if self._names(value) else value

    def _names(self, value: Any) -> bool:
        """Return whether *value* is the id, or the pseudonym, of one of them."""
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return False
        return str(value).lstrip("-0") in self.people

    def _is_person(self, value: Any) -> bool:
        return isinstance(value, dict) and self._names(value.get("id"))

    def _leads_to_them(self, link: str) -> bool:
        return leads_to_somebody(link) is not None and self.text(link) != link

    def _is_lost(self, quoted: Mapping[str, Any]) -> bool:
        """Whether a message that is quoted as a whole is not to be kept itself."""
        is_theirs = self._is_person(quoted.get("author"))
        is_old = _id_of(quoted) < self.before
        return is_theirs or is_old or str(quoted.get("channel_id")) in self.channels

    def _is_of_lost_channel(self, around: Mapping[str, Any]) -> bool:
        reference = around.get("message_reference")
        return isinstance(reference, dict) and str(reference.get("channel_id")) in self.channels


_OF_PERSON: Final = (Kind.NAME, Kind.PICTURE)


class _Erasing(Texts):
    """Finds some people in texts as they are found when texts are scrubbed, and nobody else."""

    __slots__ = ("_people",)

    def __init__(self, people: frozenset[str]) -> None:
        super().__init__({}, Knowledge(lambda _: ERASED))
        self._people = people
        self.met = {each for each in people if each.isdigit()}

    def text(self, text: str) -> str:
        if not self._may_be_in(text):
            return text
        kept = _REF.sub(self._ref, self.rewritten(text))
        return _SHORT_NUMBER.sub(self._ref, kept) if self.met else kept

    def _may_be_in(self, text: str) -> bool:
        if len(self._people) <= _FEW:
            return any(each in text for each in self._people)
        return not self._people.isdisjoint(each.lstrip("0") for each in _NAMED.findall(text))

    def person(self, digits: str) -> str | None:
        return ERASED if digits in self.met else None

    def somebody(self, who: str) -> str | None:
        return ERASED if who in self._people or plain_digits(who) in self.met else None

    def is_thing(self, digits: str) -> bool:  # noqa: ARG002 all but those who are sought
        return False

    def _mention(self, found: re.Match[str]) -> str:
        who = self.somebody(plain_digits(found[1]))
        return found[0] if who is None else found[0].replace(found[1], who)

    def _ref(self, found: re.Match[str]) -> str:
        return ERASED if found[0] in self._people else found[0]


_erasing: Final = lru_cache(16)(_Erasing)


def _is_quote_before(payload: Mapping[str, Any], before: int) -> bool:
    quoted = payload.get("referenced_message")
    return isinstance(quoted, dict) and _id_of(quoted) < before


def _id_of(quoted: Mapping[str, Any]) -> int:
    """The id of a message that is quoted; one that is none is older than any."""
    try:
        return snowflake(quoted.get("id"))
    except UNREADABLE:
        return 0
