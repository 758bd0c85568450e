"""Guilds of real chat: each log is a channel, each speaker a user, each linked line a reply.

A message's id depends only on the order of the logs and on the line. Its `nonce` is the line, and
its channel's `topic` the log. So the file alone tells what an archive must hold.
"""

import gzip
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final, Self

import orjson

from raysync.emulator.world.entities import Channel, ChannelType, Guild, Member, Role, User
from raysync.emulator.world.message_payloads import REPLY, message_reference, text_message
from raysync.emulator.world.messages import MessageLog, Payload
from raysync.emulator.world.payloads import user_payload
from raysync.emulator.world.permissions import READER
from raysync.emulator.world.snowflakes import EPOCH_MS, snowflake

MESSAGE: Final = "message"
ACTION: Final = "action"
SYSTEM: Final = "system"

_GUILD_MADE_MS: Final = 1_423_000_000_000
_USERS_FROM_MS: Final = _GUILD_MADE_MS + 1_000
_FIRST_DAY_MS: Final = 1_451_606_400_000  # 2016-01-01, for the earliest chat
_FIRST_CHAT_DAY: Final = date(2004, 1, 1)
_DAY_MS: Final = 86_400_000
_NOBODY: Final = "system"


@dataclass(slots=True)
class CorpusLog:
    """A `MessageSource` of one log. Each line is a message."""

    name: str
    channel_id: int
    guild_id: int
    ids: "array[int]" = field(default_factory=lambda: array("Q"))
    lines: "array[int]" = field(default_factory=lambda: array("L"))
    texts: list[str] = field(default_factory=list)
    authors: list[Payload] = field(default_factory=list)
    targets: "array[int]" = field(default_factory=lambda: array("l"))

    def build(self, index: int) -> Payload:
        """Return the message of a line."""
        target = self.targets[index]
        payload = text_message(
            self.channel_id, self.ids[index], self.authors[index], self.texts[index]
        )
        payload["nonce"] = str(self.lines[index])
        if target < 0:
            return payload
        reference = message_reference(self.guild_id, self.channel_id, self.ids[target])
        return payload | {"type": REPLY, "message_reference": reference}

    def repliers(self, index: int) -> Iterable[int]:
        """Return the indexes of the lines linked to a line."""
        return [other for other in range(index + 1, len(self.ids)) if self.targets[other] == index]


@dataclass(slots=True)
class Corpus:
    """A guild of real chat, with the lines of its messages."""

    guild: Guild
    logs: dict[str, CorpusLog]

    @classmethod
    def load(
        cls,
        path: Path | str,
        kinds: Iterable[str] = (MESSAGE,),
        *,
        guild_id: int | None = None,
    ) -> Self:
        """Read a file with one JSON object a line, gzipped if its name ends in .gz.

        *kinds* are the lines that become messages: `MESSAGE`, `ACTION` or `SYSTEM`.
        """
        reader = _Reader(frozenset(kinds), guild_id or snowflake(_GUILD_MADE_MS))
        opener = gzip.open if str(path).endswith(".gz") else open
        with opener(path, "rb") as lines:
            for line in lines:
                reader.add(orjson.loads(line))
        return cls(reader.finished_guild(), reader.logs)

    def message_id(self, log: str, line: int) -> int:
        """Return the id of a line's message. Raise KeyError if the line is not a message."""
        entries = self.logs[log]
        for index, number in enumerate(entries.lines):
            if number == line:
                return entries.ids[index]
        raise KeyError((log, line))

    def lines(self) -> Iterator[tuple[str, int, int, int]]:
        """Yield (log, line, channel id, message id) for every message."""
        for log in self.logs.values():
            for line, message_id in zip(log.lines, log.ids, strict=True):
                yield log.name, line, log.channel_id, message_id


def load_corpus(
    path: Path | str, kinds: Iterable[str] = (MESSAGE,), *, guild_id: int | None = None
) -> Guild:
    """Return the guild of a corpus file. See `Corpus.load`."""
    return Corpus.load(path, kinds, guild_id=guild_id).guild


class _Reader:
    """Reader of a corpus, line by line."""

    def __init__(self, kinds: frozenset[str], guild_id: int) -> None:
        self.kinds = kinds
        self.logs: dict[str, CorpusLog] = {}
        self.guild = Guild(guild_id, "corpus", 0, _GUILD_MADE_MS)
        self._authors: dict[str, Payload] = {}
        self._index_of: dict[int, int] = {}
        self._clock = _LogClock(_FIRST_DAY_MS)

    def add(self, line: dict[str, Any]) -> None:
        """Add a line. The lines of a log must be adjacent."""
        log = self.logs.get(line["log"])
        if log is None:
            log = self._new_log(line)
        at_ms = self._clock.next_ms(line["time"])
        if line["kind"] not in self.kinds:
            return
        self._index_of[line["line"]] = len(log.ids)
        log.ids.append((at_ms - EPOCH_MS) << 22 | (line["line"] & 0x3FFF) << 8)
        log.lines.append(line["line"])
        log.texts.append(line["text"])
        log.authors.append(self._author(line["nick"] or _NOBODY))
        linked = (self._index_of.get(number, -1) for number in line.get("replies_to", ()))
        earlier = (index for index in linked if 0 <= index < len(log.ids) - 1)
        log.targets.append(next(earlier, -1))

    def finished_guild(self) -> Guild:
        """Return the guild with its channels."""
        guild = self.guild
        guild.roles[guild.id] = Role(guild.id, "@everyone", int(READER))
        guild.owner_id = next(iter(guild.users), guild.id)
        guild.user_ids = sorted(guild.users)
        for position, log in enumerate(self.logs.values()):
            name = log.name.lower().replace(".", "-")
            channel = Channel(log.channel_id, guild.id, ChannelType.TEXT, name, MessageLog(log))
            channel.topic, channel.position = log.name, position
            channel.last_message_id = log.ids[-1] if log.ids else None
            guild.channels[channel.id] = channel
        return guild

    def _new_log(self, line: dict[str, Any]) -> CorpusLog:
        channel_id = snowflake(_GUILD_MADE_MS + 60_000_000 + len(self.logs))
        log = CorpusLog(line["log"], channel_id, self.guild.id)
        self.logs[log.name] = log
        self._index_of = {}
        self._clock = _LogClock(_day_ms(line["day"], len(self.logs)))
        return log

    def _author(self, nick: str) -> Payload:
        author = self._authors.get(nick)
        if author is None:
            user = User(snowflake(_USERS_FROM_MS + len(self._authors)), nick)
            self.guild.users[user.id] = user
            self.guild.members[user.id] = Member(user.id, _GUILD_MADE_MS)
            author = self._authors[nick] = user_payload(user)
        return author


class _LogClock:
    """Clock of a log. Each line gets a later time than the previous one, near its own time."""

    def __init__(self, day_ms: int) -> None:
        self._day_ms = day_ms
        self._clock_ms = 0
        self._last_ms = day_ms - 1000

    def next_ms(self, time: str | None) -> int:
        """Return the time of a line. A time far below the previous one means a new day."""
        if time is not None:
            hours, minutes = time.split(":")
            clock_ms = (int(hours) * 60 + int(minutes)) * 60_000
            if clock_ms < self._clock_ms - _DAY_MS // 2:
                self._day_ms += _DAY_MS
            self._clock_ms = clock_ms
            self._last_ms = max(self._last_ms, self._day_ms + clock_ms - 1000)
        self._last_ms += 1000
        return self._last_ms


def _day_ms(day: str | None, number: int) -> int:
    """Return a log's day at half its distance: the chats span more years than Discord exists."""
    days = number if day is None else (date.fromisoformat(day) - _FIRST_CHAT_DAY).days // 2
    return _FIRST_DAY_MS + days * _DAY_MS
