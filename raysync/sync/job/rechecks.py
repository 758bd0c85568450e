"""Rechecks: old messages, beyond the look-back, that one run compares with Discord again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from raysync.models import channel_types
from raysync.models.entities import Channel, ThreadState
from raysync.models.ids import ChannelId, ChannelKey, GuildId
from raysync.models.status import SyncType
from raysync.models.work import (
    ChannelTask,
    DeadLetterNote,
    IdRange,
    Recheck,
    StoredChannel,
    SyncWindow,
)
from raysync.sync.ports import ChannelCatalog


@dataclass(slots=True)
class Rechecks:
    """Distribution of a run's request budget for old pages, and its results."""

    window: SyncWindow
    kept: IdRange  #: the window's ids that the tenant's retention keeps
    catalog: ChannelCatalog
    _due: dict[ChannelId, Recheck] = field(default_factory=dict)
    _left: dict[ChannelId, Recheck] = field(default_factory=dict)  # with extras or news due

    @property
    def reads_old(self) -> bool:
        """True if the run has requests to spend on old pages."""
        window = self.window
        requests = window.reconcile_requests and window.is_whole
        return bool(window.messages or window.sample or requests)

    async def plan(self, before: int, readable: Collection[ChannelId]) -> None:
        """Choose old pages of *readable* channels, below the id *before*, the look-back's start."""
        window = self.window
        due: Sequence[Recheck] = ()
        if window.messages:
            due = await self.catalog.plan_messages(window.messages, readable)
        elif window.sample:
            due = await self.catalog.plan_sample(window.sample, readable)
        elif self.reads_old:
            requests = window.reconcile_requests
            due = await self.catalog.plan_rechecks(requests, before, readable)
        self._due = {recheck.stored.channel_id: recheck for recheck in due}
        extras = window.extras
        left = await self.catalog.plan_leftovers(extras, self.kept) if extras else ()
        self._left = {recheck.stored.channel_id: recheck for recheck in left}

    def add_letters(self, letters: Mapping[ChannelId, DeadLetterNote]) -> None:
        """Add channels that were given up, so that they are read even if no list names them."""
        if self.window.is_whole:
            self._left |= {channel_id: letter.due for channel_id, letter in letters.items()}

    def _clipped(self, recheck: Recheck) -> Recheck:
        """Return *recheck* without ids past retention, which may still be stored."""
        start = self.kept.start
        ids = (
            IdRange(max(part.start, start), part.stop) for part in recheck.ids if part.stop > start
        )
        return replace(recheck, ids=tuple(ids))

    def stored_of(self, channel_id: ChannelId) -> StoredChannel | None:
        """Return the channel as stored if anything of it is due, new messages or not."""
        found = self.of(channel_id) or self._left.get(channel_id)
        return None if found is None else found.stored

    def of(self, channel_id: ChannelId) -> Recheck | None:
        """Return the old pages due of a channel; None if there are none."""
        recheck = self._due.get(channel_id)
        clipped = None if recheck is None else self._clipped(recheck)
        return clipped if clipped is not None and clipped.ids else None

    def unlisted(self, seen: Collection[ChannelId], guild_id: GuildId) -> Iterable[Channel]:
        """Yield threads, as stored, that are due and in no list: they were archived long ago.

        Whether the bot can see a private thread depends on its parent.
        """
        for channel_id, recheck in (self._due | self._left).items():
            is_due = self.stored_of(channel_id) is not None
            if is_due and recheck.type in channel_types.THREADS and channel_id not in seen:
                yield Channel(
                    id=channel_id,
                    guild_id=guild_id,
                    type=recheck.type,
                    name=recheck.name,
                    parent_id=recheck.parent_id,
                    last_message_id=recheck.last_message_id,
                    thread=ThreadState(True, None, None, bot_is_member=False),
                )

    def done(
        self, tasks: Iterable[ChannelTask], has_ended: Callable[[ChannelId], bool]
    ) -> dict[ChannelKey, int | None]:
        """Return the id up to which each channel's old messages were compared; None: all."""
        if self.window.sync_type is SyncType.FULL and self.window.is_whole:
            return {task.channel_key: None for task in tasks if has_ended(task.channel_id)}
        if self.window.sample or self.window.messages:
            return {}
        return {
            due.stored.key: None if due.is_last or not due.ids else due.ids[-1].stop
            for channel_id, due in self._due.items()
            if not due.ids or has_ended(channel_id)
        }
