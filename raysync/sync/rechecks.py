"""Old messages, beyond the look-back, that one run compares with Discord's again."""

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
    """What of a run's request budget for old pages goes where, and what came of it."""

    window: SyncWindow
    kept: IdRange  #: what of it is kept at all
    catalog: ChannelCatalog
    _due: dict[ChannelId, Recheck] = field(default_factory=dict)
    _left: dict[ChannelId, Recheck] = field(default_factory=dict)  # extras, or all that is new

    @property
    def reads_old(self) -> bool:
        """Whether the run has requests for old pages."""
        window = self.window
        return bool(window.sample or (window.reconcile_requests and window.is_whole))

    async def plan(self, before: int, readable: Collection[ChannelId]) -> None:
        """Choose the old pages, of *readable* channels; *before* is where the look-back begins."""
        window = self.window
        due: Sequence[Recheck] = ()
        if window.sample:
            due = await self.catalog.plan_sample(window.sample, readable)
        elif self.reads_old:
            requests = window.reconcile_requests
            due = await self.catalog.plan_rechecks(requests, before, readable)
        self._due = {each.stored.channel_id: each for each in due}
        extras = window.extras
        left = await self.catalog.plan_leftovers(extras, self.kept) if extras else ()
        self._left = {each.stored.channel_id: each for each in left}

    def add_letters(self, letters: Mapping[ChannelId, DeadLetterNote]) -> None:
        """Have channels that were given up read also where no list names them."""
        if self.window.is_whole:
            self._left |= {channel_id: each.due for channel_id, each in letters.items()}

    def _clipped(self, recheck: Recheck) -> Recheck:
        """What is past retention may be stored still, and is not to be read again."""
        start = self.kept.start
        ids = (
            IdRange(max(each.start, start), each.stop) for each in recheck.ids if each.stop > start
        )
        return replace(recheck, ids=tuple(ids))

    def stored_of(self, channel_id: ChannelId) -> StoredChannel | None:
        """A channel of which something is due, new messages or not."""
        found = self.of(channel_id) or self._left.get(channel_id)
        return None if found is None else found.stored

    def of(self, channel_id: ChannelId) -> Recheck | None:
        """What is due of a channel, if there is anything to read."""
        recheck = self._due.get(channel_id)
        clipped = None if recheck is None else self._clipped(recheck)
        return clipped if clipped is not None and clipped.ids else None

    def unlisted(self, seen: Collection[ChannelId], guild_id: GuildId) -> Iterable[Channel]:
        """Threads that are due and in no list, having been archived long ago; as they are stored.

        That the bot may see a private one is taken from its parent.
        """
        for channel_id, each in (self._due | self._left).items():
            is_due = self.stored_of(channel_id) is not None
            if is_due and each.type in channel_types.THREADS and channel_id not in seen:
                yield Channel(
                    id=channel_id,
                    guild_id=guild_id,
                    type=each.type,
                    name=each.name,
                    parent_id=each.parent_id,
                    last_message_id=each.last_message_id,
                    thread=ThreadState(True, None, None, bot_is_member=False),
                )

    def done(
        self, tasks: Iterable[ChannelTask], has_ended: Callable[[ChannelId], bool]
    ) -> dict[ChannelKey, int | None]:
        """Up to where each channel's old messages were compared; None: all of them."""
        if self.window.sync_type is SyncType.FULL and self.window.is_whole:
            return {each.channel_key: None for each in tasks if has_ended(each.channel_id)}
        if self.window.sample:
            return {}
        return {
            each.stored.key: None if each.is_last or not each.ids else each.ids[-1].stop
            for channel_id, each in self._due.items()
            if not each.ids or has_ended(channel_id)
        }
