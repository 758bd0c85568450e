"""Which channels exist no more: so Discord has to say, one by one, before any is marked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from raysync.errors import (
    PermanentError,
    PermitUnavailableError,
    RetryableError,
    RouteMissingError,
    StoreUnavailableError,
    UnknownChannelError,
)
from raysync.models import channel_types
from raysync.models.ids import ChannelId
from raysync.sync.job_outcome import Trouble
from raysync.sync.planner import GuildPlanner
from raysync.sync.ports import ChannelCatalog
from raysync.sync.retry import Retrier

UNLISTED = "Discord has the channel and leaves it out of the guild's list, so it was not read"


@dataclass(slots=True)
class GoneChannels:
    """Asks of stored channels that no list named, and marks those that Discord does not know."""

    planner: GuildPlanner
    catalog: ChannelCatalog
    again: Retrier
    trouble: Callable[[Trouble], None]
    found: set[ChannelId] = field(default_factory=set)

    async def mark_unlisted(
        self, seen: Collection[ChannelId], whole: Collection[ChannelId]
    ) -> None:
        """Mark what is stored and listed no more, once Discord says that it does not exist.

        A thread that was archived long ago is in no list that was read; but those of a channel
        that is gone are gone with it, and a list that was read to its end lacks none. *whole* are
        the channels of which it was. A channel that exists, though the guild's list lacks it, was
        not read.
        """
        known = await self.again(self.catalog.known)
        gone: set[ChannelId] = set()
        for each in known:
            is_thread = each.type in channel_types.THREADS
            listable = each.type != channel_types.PRIVATE_THREAD and each.parent_id in whole
            if each.id in seen or (is_thread and not listable):
                continue
            exists = await self._says(each.id)
            if exists is False:
                gone.add(each.id)
            elif exists and not is_thread:
                self.trouble(Trouble(each.id, UNLISTED))
        under = {each.id for each in known if each.type in channel_types.THREADS} - set(seen)
        gone |= {each.id for each in known if each.id in under and each.parent_id in gone}
        await self.mark(gone)

    async def settle_named(
        self, named: Collection[ChannelId], seen: Collection[ChannelId]
    ) -> set[ChannelId]:
        """Say which of the channels that the user *named* there are not.

        One that is stored, and that Discord says does not exist, is marked as gone. Return those.

        Raises:
            UnknownChannelError: there is none of them.
        """
        unseen = set(named) - set(seen)
        stored = {each.id for each in await self.again(self.catalog.known)} if unseen else set()
        gone = {each for each in unseen & stored if not await self.exists(each)}
        await self.mark(gone)
        unknown = sorted(unseen - gone)
        hint = self.planner.uncovered.hint()
        if unknown and len(unknown) == len(named):
            listed = ", ".join(str(each) for each in unknown)
            raise UnknownChannelError(
                f"The bot sees no channel or thread {listed} in this guild: check the ids "
                f"(Discord, User Settings, Advanced, Developer Mode; then Copy Channel ID).{hint}"
            )
        for each in unknown:
            told = f"The bot sees no channel or thread with this id.{hint}"
            self.trouble(Trouble(each, told))
        return gone

    async def exists(self, channel_id: ChannelId) -> bool:
        """Whether Discord has it; so long as Discord does not say that it has not, it has."""
        return await self._says(channel_id) is not False

    async def _says(self, channel_id: ChannelId) -> bool | None:
        """Return what Discord says of it; None where nobody can tell, which is noted."""
        try:
            return await self.again(lambda: self.planner.source.has_channel(channel_id))
        except (StoreUnavailableError, PermitUnavailableError):
            raise
        except RouteMissingError as error:
            self.planner.uncovered.note(error, channel_id)
        except (RetryableError, PermanentError) as error:
            self.trouble(Trouble(channel_id, f"whether it exists: {error}"))
        return None

    async def mark(self, channels: Collection[ChannelId]) -> None:
        """Mark channels as gone; their messages are kept as they are."""
        if channels:
            self.found.update(channels)
            await self.again(lambda: self.catalog.mark_deleted(channels))
