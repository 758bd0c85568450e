"""Forwards of erased messages. A forward holds a copy and does not name the copy's author.

It may be a message of its own, or be quoted in a reply.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from raysync.models.entities import Message
from raysync.models.json_text import json_text

_COPIES = "message_snapshots"
_QUOTED = "referenced_message"
_MOST_DIGITS = 20


@dataclass(frozen=True, slots=True)
class WithoutCopies:
    """Redactor that removes copies of the messages with the ids *sources* from forwards."""

    sources: Collection[int]

    def text(self, text: str) -> str:
        """Return *text* unchanged: the forwarder wrote it."""
        return text

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return *payload* without the copies in it, or in the message that it quotes."""
        kept = dict(payload)
        if _COPIES in kept and self._is_of_sources(kept.get("message_reference")):
            kept[_COPIES] = []
        if isinstance(kept.get(_QUOTED), dict):
            kept[_QUOTED] = self.payload(kept[_QUOTED])
        return kept

    def _is_of_sources(self, reference: Any) -> bool:
        source = str(reference.get("message_id")) if isinstance(reference, dict) else ""
        is_id = source.isascii() and source.isdigit() and len(source) <= _MOST_DIGITS
        return is_id and int(source) in self.sources

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return *metadata* without such copies in ``original``, the payload as JSON text."""
        kept = dict(metadata)
        if "original" in kept:
            original = self.payload(json.loads(kept["original"]))
            kept["original"] = json_text(original)
        return kept

    def message(self, message: Message) -> Message:
        """Return *message*, not stored yet, without such copies."""
        raw = orjson.dumps(self.payload(orjson.loads(message.raw)))
        metadata = orjson.dumps(self.metadata(orjson.loads(message.metadata)))
        return replace(message, raw=raw, metadata=metadata)
