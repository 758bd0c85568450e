"""History of one generated channel: ids in memory, messages built on demand."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from raysync.emulator.generator.draws import Draws, mix
from raysync.emulator.generator.spec import Rates
from raysync.emulator.generator.words import odd_sentence, sentence
from raysync.emulator.world.entities import Emoji, User
from raysync.emulator.world.message_payloads import HAS_THREAD, THREAD_CREATED, text_message
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.payloads import user_payload

MAX_REPLY_DISTANCE: Final = 20

Vary = Callable[["History", int, Payload, Draws], None]


@dataclass(slots=True)
class Cast:
    """Users of a guild and their emojis. User payloads are shared: never change them."""

    users: list[User]
    payloads: list[Payload]
    emojis: list[Emoji]

    @classmethod
    def of(cls, users: list[User], emojis: list[Emoji]) -> "Cast":
        """Return the cast of some users and emojis."""
        return cls(users, [user_payload(user) for user in users], emojis)


@dataclass(frozen=True, slots=True)
class Notice:
    """Announcement of a thread, which replaces a message."""

    thread_id: int
    name: str


@dataclass(slots=True)
class History:
    """A `MessageSource` in which message *i* depends only on the seed and *i*.

    *vary* turns a plain message into another kind, by the draws. *opening*, if set, replaces fields
    of the first message.
    """

    channel_id: int
    guild_id: int
    ids: "array[int]"
    seed: int
    cast: Cast
    rates: Rates
    vary: Vary
    content_bytes: int = 120
    odd_text: bool = False
    opening: Payload | None = None
    in_thread: bool = False
    thread_ids: set[int] = field(default_factory=set)
    notices: dict[int, Notice] = field(default_factory=dict)
    pinned: frozenset[int] = frozenset()

    def build(self, index: int) -> Payload:
        """Return the message at *index*, equal at every call."""
        draws, message_id = Draws(self.seed, index), self.ids[index]
        payload = self.plain(index, draws)
        if self.in_thread:
            payload["position"] = index
        if index == 0 and self.opening is not None:
            return payload | self.opening
        if message_id in self.notices:
            return payload | self._notice(self.notices[message_id])
        self.vary(self, index, payload, draws)
        if message_id in self.thread_ids:
            payload["flags"] |= HAS_THREAD
        return payload

    def plain(self, index: int, draws: Draws) -> Payload:
        """Return a message with a text only."""
        cast = self.cast
        length = self.content_bytes // 2 + draws.below(self.content_bytes)
        is_odd = self.odd_text and draws.below(4) == 0
        content = odd_sentence(draws) if is_odd else sentence(draws, length)
        author = cast.payloads[draws.below(len(cast.payloads))]
        return text_message(self.channel_id, self.ids[index], author, content)

    def reply_target(self, index: int) -> int | None:
        """Return the index of the message that *index* replies to, or None."""
        draws = Draws(self.seed ^ 0x5EED, index)
        if index == 0 or not draws.chance(self.rates.replies):
            return None
        return max(0, index - 1 - draws.below(MAX_REPLY_DISTANCE))

    def repliers(self, index: int) -> Iterable[int]:
        """Return the indexes of the replies to message *index*."""
        last = min(len(self.ids), index + MAX_REPLY_DISTANCE + 1)
        return [other for other in range(index + 1, last) if self.reply_target(other) == index]

    def _notice(self, notice: "Notice") -> Payload:
        reference = {"channel_id": str(notice.thread_id), "guild_id": str(self.guild_id)}
        return {
            "type": THREAD_CREATED,
            "content": notice.name,
            "message_reference": {"type": 0} | reference,
        }


def keep_plain(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Leave the message unchanged."""


def seed_of(seed: int, *places: int) -> int:
    """Return a seed for a part, such as a channel."""
    for place in places:
        seed = mix(seed, place)
    return seed
