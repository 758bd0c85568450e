"""Rescrubbing of stored rows under the current rules, as if a run read them again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from raysync.discord_api.convert import original_text
from raysync.discord_api.people.pseudonyms import Identities

_CUSTOM_EMOJI: Final = re.compile(r"(.*):([0-9]+)", re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True)
class Rescrubber:
    """Rescrubber of stored values. It implements the store's `Rewriter`."""

    people: Identities
    reports: Identities  #: for reports: it knows the channels' ids, which reports name

    def payload(self, payload: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Scrub a message or channel. Return it, and its JSON."""
        kept, document = self.people.scrub(payload)
        return kept, document.decode()

    def text(self, text: str, payload: Mapping[str, Any]) -> str:
        """Scrub a text of *payload*."""
        return self.people.text(text, payload)

    def original(self, original: str) -> str:
        """Scrub a payload that is stored as JSON text with escapes."""
        return original_text(json.loads(original), self.people)

    def emoji(self, emoji: str) -> str:
        """Scrub a reaction's emoji: a character, or the name and id of a custom one."""
        custom = _CUSTOM_EMOJI(emoji)
        if custom is None:
            return self.people.text(emoji, {})
        return f"{self.people.text(custom[1], {})}:{custom[2]}"

    def report(self, text: str) -> str:
        """Scrub a report on a channel or job: a sentence, or JSON."""
        return self.reports.text(text, {})
