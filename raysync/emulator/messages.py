"""A channel's messages: ids always, payloads when somebody asks.

A `MessageSource` is the history as it was made: it knows the ids and builds any one message
again. A `MessageLog` lays the changes since over it, and keeps what it encoded, so a page is
a join of bytes. That is why a channel of half a million messages costs little memory.
"""

import secrets
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from raysync.emulator.damage import Damage

Payload = dict[str, Any]
Resolver = Callable[[Payload], Payload]

CDN_MARK: Final = f"cdn-{secrets.token_hex(16)}"
"""Encloses, in stored payloads, a CDN path that is signed afresh whenever it is read."""

CDN_BYTE: Final = b"\x02"
"""What the mark becomes in encoded messages: a byte that JSON never holds unescaped."""

_MARK_BYTES: Final = CDN_MARK.encode()


class MessageSource(Protocol):
    """An unchanging history."""

    @property
    def ids(self) -> Sequence[int]:
        """Return all ids, rising."""
        ...

    def build(self, index: int) -> Payload:
        """Make the payload of the message at *index*, the same at every call."""
        ...

    def repliers(self, index: int) -> Iterable[int]:
        """Return the indexes of the messages of this source that refer to it."""
        ...


class EmptySource:
    """A channel nobody has written in."""

    ids: Sequence[int] = ()

    def build(self, index: int) -> Payload:
        """Raise IndexError: there is none."""
        raise IndexError(index)

    def repliers(self, index: int) -> Iterable[int]:
        """Return nothing: nobody answers a message that is not."""
        raise IndexError(index)


def cdn_path(path: str) -> str:
    """Write a CDN path so that it is signed when the message is read."""
    return f"{CDN_MARK}{path}{CDN_MARK}"


def encode(payload: Payload, damage: Damage | None = None) -> bytes:
    """Encode a payload, as it is or damaged, its CDN paths between `CDN_BYTE`s."""
    encoded = orjson.dumps(payload) if damage is None else damage.body(payload)
    return encoded.replace(_MARK_BYTES, CDN_BYTE) if _MARK_BYTES in encoded else encoded


@dataclass(slots=True)
class EncodingBudget:
    """How many bytes of encoded messages may be kept; shared by the logs of a world."""

    left_bytes: int = 512 << 20


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which messages are asked for; at most one of the three cursors is set."""

    limit: int = 50
    before: int | None = None
    after: int | None = None
    around: int | None = None


class MessageLog:
    """The messages of one channel, as they are now, oldest first."""

    def __init__(self, source: MessageSource | None = None) -> None:
        self._source = source or EmptySource()
        self.ids: Sequence[int] = self._source.ids
        self.pins: dict[int, int] = {}
        self.damage: dict[int, Damage] = {}
        self.reactors: dict[int, dict[tuple[str, bool], list[int]]] = {}
        self._own_ids = False
        self._changed: dict[int, Payload] = {}
        self._encoded: dict[int, bytes] = {}

    def __contains__(self, message_id: int) -> bool:
        at = bisect_left(self.ids, message_id)
        return at < len(self.ids) and self.ids[at] == message_id

    @property
    def source(self) -> MessageSource:
        """Return the history as it was made."""
        return self._source

    def select(self, query: PageQuery) -> Sequence[int]:
        """Return the ids asked for, newest first; `around` may bring one more than limit."""
        ids, limit = self.ids, query.limit
        if query.after is not None:
            start = bisect_right(ids, query.after)
            return ids[start : start + limit][::-1]
        if query.around is not None:
            start = bisect_left(ids, query.around)
            end = bisect_right(ids, query.around) + limit // 2
            return ids[max(0, start - limit // 2) : end][::-1]
        end = len(ids) if query.before is None else bisect_left(ids, query.before)
        return ids[max(0, end - limit) : end][::-1]

    def payload(self, message_id: int) -> Payload:
        """Return the stored payload; it is the caller's to change only before `put`.

        Raises KeyError for a message that is not there (any more).
        """
        if message_id not in self:
            raise KeyError(message_id)
        changed = self._changed.get(message_id)
        if changed is not None:
            return changed
        return self._source.build(bisect_left(self._source.ids, message_id))

    def encoded(self, message_id: int, resolve: Resolver, budget: EncodingBudget) -> bytes:
        """Return the message as JSON, encoded once while the budget lasts."""
        kept = self._encoded.get(message_id)
        if kept is None:
            kept = encode(resolve(self.payload(message_id)))
            if budget.left_bytes > len(kept):
                budget.left_bytes -= len(kept)
                self._encoded[message_id] = kept
        return kept

    def own_reactions(self, message_id: int, user_id: int) -> set[tuple[str, bool]]:
        """Return the (emoji, burst) a user is known to have put under a message."""
        known = self.reactors.get(message_id, {})
        return {key for key, user_ids in known.items() if user_id in user_ids}

    def encoded_all(
        self, message_ids: Sequence[int], resolve: Resolver, budget: EncodingBudget
    ) -> list[bytes]:
        """Return several messages as JSON; all kept, it costs 10 us for a hundred."""
        kept = list(map(self._encoded.get, message_ids))
        found = zip(message_ids, kept, strict=True)
        return [each or self.encoded(one, resolve, budget) for one, each in found]

    def put(self, payload: Payload) -> None:
        """Add a message, or replace the one with its id."""
        message_id = int(payload["id"])
        if message_id not in self:
            ids = self._owned_ids()
            ids.insert(bisect_left(ids, message_id), message_id)
        self._changed[message_id] = payload
        self.forget_encoding(message_id)

    def remove(self, message_id: int) -> None:
        """Delete a message with its pin and reactors; KeyError where it is not."""
        if message_id not in self:
            raise KeyError(message_id)
        ids = self._owned_ids()
        ids.pop(bisect_left(ids, message_id))
        self._changed.pop(message_id, None)
        self.pins.pop(message_id, None)
        self.damage.pop(message_id, None)
        self.reactors.pop(message_id, None)
        self.forget_encoding(message_id)

    def forget_encoding(self, message_id: int) -> None:
        """Have the message, and those of the source that quote it, encoded anew."""
        self._encoded.pop(message_id, None)
        ids = self._source.ids
        at = bisect_left(ids, message_id)
        if at < len(ids) and ids[at] == message_id:
            for replier in self._source.repliers(at):
                self._encoded.pop(ids[replier], None)

    def _owned_ids(self) -> "array[int]":
        if not self._own_ids:
            self.ids, self._own_ids = array("Q", self.ids), True
        if not isinstance(self.ids, array):
            raise TypeError("the log's own ids are an array")
        return self.ids
