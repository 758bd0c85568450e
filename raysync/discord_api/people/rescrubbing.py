"""Stored rows under today's rules: what a run would keep that reads them anew."""

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
    """Satisfies the store's `Rewriter`."""

    people: Identities
    reports: Identities  #: knows the guild's channels, which sentences about them name

    def payload(self, payload: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Scrub a message or channel; return it, and the same as JSON."""
        kept, document = self.people.scrub(payload)
        return kept, document.decode()

    def text(self, text: str, payload: Mapping[str, Any]) -> str:
        """Scrub a text of *payload*."""
        return self.people.text(text, payload)

    def original(self, original: str) -> str:
        """Scrub a payload that is kept as JSON text, with escapes."""
        return original_text(json.loads(original), self.people)

    def emoji(self, emoji: str) -> str:
        """Scrub a reaction's emoji: a character, or the name and id of a custom one."""
        found = _CUSTOM_EMOJI(emoji)
        if found is None:
            return self.people.text(emoji, {})
        return f"{self.people.text(found[1], {})}:{found[2]}"

    def report(self, text: str) -> str:
        """Scrub what is told of channels and jobs: a sentence, or JSON."""
        return self.reports.text(text, {})
