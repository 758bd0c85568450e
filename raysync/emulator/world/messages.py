"""Messages of a channel: ids in memory, payloads built on demand.

A `MessageSource` is the original history: it holds the ids and can build each message again. A
`MessageLog` adds the changes since then and caches encoded messages, so a page is a join of bytes.
A channel of half a million messages therefore costs little memory.
"""

import secrets
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from raysync.emulator.world.damage import Damage

Payload = dict[str, Any]
Resolver = Callable[[Payload], Payload]

CDN_MARK: Final = f"cdn-{secrets.token_hex(16)}"
"""Mark on both sides of a CDN path in stored payloads. Each read signs the path anew."""

CDN_BYTE: Final = b"\x02"
"""Mark of a CDN path in encoded messages: a byte that JSON always escapes."""

_MARK_BYTES: Final = CDN_MARK.encode()


class MessageSource(Protocol):
    """An immutable history."""

    @property
    def ids(self) -> Sequence[int]:
        """All ids, ascending."""
        ...

    def build(self, index: int) -> Payload:
        """Return the payload of the message at *index*, equal at every call."""
        ...

    def repliers(self, index: int) -> Iterable[int]:
        """Return the indexes of this source's messages that refer to the message at *index*."""
        ...


class EmptySource:
    """History without messages."""

    ids: Sequence[int] = ()

    def build(self, index: int) -> Payload:
        """Raise IndexError: there are no messages."""
        raise IndexError(index)

    def repliers(self, index: int) -> Iterable[int]:
        """Raise IndexError: there are no messages."""
        raise IndexError(index)


def cdn_path(path: str) -> str:
    """Return a CDN path with marks, so that each read of the message signs it."""
    return f"{CDN_MARK}{path}{CDN_MARK}"


def encode(payload: Payload, damage: Damage | None = None) -> bytes:
    """Encode a payload, damaged if *damage* is given, with its CDN paths between `CDN_BYTE`s."""
    encoded = orjson.dumps(payload) if damage is None else damage.body(payload)
    return encoded.replace(_MARK_BYTES, CDN_BYTE) if _MARK_BYTES in encoded else encoded


@dataclass(slots=True)
class EncodingBudget:
    """Bytes of encoded messages that may still be cached, shared by the logs of a world."""

    left_bytes: int = 512 << 20


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Query for a page of messages. At most one of the three cursors is set."""

    limit: int = 50
    before: int | None = None
    after: int | None = None
    around: int | None = None


class MessageLog:
    """Current messages of one channel, oldest first."""

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
        """The original history."""
        return self._source

    def select(self, query: PageQuery) -> Sequence[int]:
        """Return the ids of a page, newest first. `around` may return one more than the limit."""
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
        """Return the stored payload. Callers must not change it: they `put` a changed copy.

        Raises:
            KeyError: the message does not exist, or no longer.
        """
        if message_id not in self:
            raise KeyError(message_id)
        changed = self._changed.get(message_id)
        if changed is not None:
            return changed
        return self._source.build(bisect_left(self._source.ids, message_id))

    def encoded(self, message_id: int, resolve: Resolver, budget: EncodingBudget) -> bytes:
        """Return the message as JSON. Cache the encoding while the budget lasts."""
        encoded = self._encoded.get(message_id)
        if encoded is None:
            encoded = encode(resolve(self.payload(message_id)))
            if budget.left_bytes > len(encoded):
                budget.left_bytes -= len(encoded)
                self._encoded[message_id] = encoded
        return encoded

    def own_reactions(self, message_id: int, user_id: int) -> set[tuple[str, bool]]:
        """Return the recorded reactions of a user to a message, as (emoji, burst)."""
        known = self.reactors.get(message_id, {})
        return {key for key, user_ids in known.items() if user_id in user_ids}

    def encoded_all(
        self, message_ids: Sequence[int], resolve: Resolver, budget: EncodingBudget
    ) -> list[bytes]:
        """Return several messages as JSON. A hundred cached ones cost 10 µs."""
        cached = list(map(self._encoded.get, message_ids))
        pairs = zip(message_ids, cached, strict=True)
        return [encoded or self.encoded(one, resolve, budget) for one, encoded in pairs]

    def put(self, payload: Payload) -> None:
        """Add a message, or replace the message with its id."""
        message_id = int(payload["id"])
        if message_id not in self:
            ids = self._owned_ids()
            ids.insert(bisect_left(ids, message_id), message_id)
        self._changed[message_id] = payload
        self.forget_encoding(message_id)

    def remove(self, message_id: int) -> None:
        """Delete a message with its pin and reactors. Raise KeyError if it does not exist."""
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
        """Drop the cached encoding of a message, and of the source's messages that quote it."""
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
            raise TypeError("the ids of a changed log are an array")
        return self.ids
