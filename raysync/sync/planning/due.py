"""Selection of the lists of archived threads that a run compares.

No list of the guild proves that an archive did not change. A thread that was archived long ago
can be revived and archived again between two runs, and nothing shows that afterwards except its
place in the archive. Owners and administrators can start threads whatever the overwrites say. So
every list is compared once in each window, and at once where there is a sign of news.

Signs of news:

- A thread is no longer active: it was archived or deleted.
- Another ``last_message_id``: a forum's is its newest post, and a text channel gets a message when
  a public thread is started from an older one. A private thread leaves no trace in its channel, so
  this sign concerns public lists only.
- Other routes: a permission of the bot or the channel's type changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from raysync.models import channel_types
from raysync.models.ids import ChannelId
from raysync.models.work import ArchiveKey, ArchiveRecord, KnownChannel
from raysync.sync.planning.planner import Archive

PUBLIC, PRIVATE, JOINED, SEARCH = "public", "private", "joined", "search"
_HASHES = 1 << 64


@dataclass(frozen=True, slots=True)
class DueArchives:
    """Decision, list by list, whether a run compares it."""

    window_s: float  #: 0: every list is due
    now: datetime
    records: Mapping[ArchiveKey, ArchiveRecord] = field(default_factory=dict)
    vanished: Mapping[ArchiveKey, frozenset[ChannelId]] = field(default_factory=dict)

    def is_due(self, archive: Archive, routes: str) -> bool:
        """Return whether the list is compared now, by its *routes* and the signs of news."""
        record = self.records.get(archive.key)
        if not self.window_s or record is None or record.compared_at is None:
            return True
        if record.routes != routes or self._has_news(archive, record):
            return True
        return is_turn(archive.key, record.compared_at, self.now, self.window_s)

    def _has_news(self, archive: Archive, record: ArchiveRecord) -> bool:
        if self.vanished.get(archive.key, frozenset()) - record.missing:
            return True
        parent = archive.parent
        if archive.key.is_private:
            return False
        is_odd = "last_message_id" in parent.unreadable
        return is_odd or parent.last_message_id != record.last_message_id


def is_turn(key: ArchiveKey, compared_at: datetime, now: datetime, window_s: float) -> bool:
    """Return whether a turn of the list has come since *compared_at*.

    Each list has one turn in every window, at a moment that depends on its key. So runs compare
    equal parts of the lists, whatever was compared together, and no list waits longer than a
    window. A comparison of the future, by a clock that was wrong, does not count.
    """
    return compared_at > now or _turns(key, now, window_s) > _turns(key, compared_at, window_s)


def _turns(key: ArchiveKey, at: datetime, window_s: float) -> int:
    """Return the number of the list's turns from the epoch to *at*."""
    digest = hashlib.blake2b(f"{key.channel_id}/{key.is_private}".encode(), digest_size=8).digest()
    return int(at.timestamp() / window_s + int.from_bytes(digest) / _HASHES)


def routes_of(archive: Archive, searched: Collection[ChannelId]) -> str:
    """Return the routes that list these threads; *searched* channels need the search as well."""
    if archive.key.is_private:
        return JOINED if archive.joined_only else PRIVATE
    return f"{PUBLIC}+{SEARCH}" if archive.parent.id in searched else PUBLIC


def vanished(
    known: Iterable[KnownChannel], active: Collection[ChannelId]
) -> dict[ArchiveKey, frozenset[ChannelId]]:
    """Return the threads that were active when last listed and now are not *active*, by list."""
    found: dict[ArchiveKey, set[ChannelId]] = {}
    for channel in known:
        if channel.is_active and channel.parent_id is not None and channel.id not in active:
            is_private = channel.type == channel_types.PRIVATE_THREAD
            found.setdefault(ArchiveKey(channel.parent_id, is_private), set()).add(channel.id)
    return {key: frozenset(threads) for key, threads in found.items()}
