"""Plan of a guild: its channels and threads, listed as the bot's permissions allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from raysync.errors import ContentIntentError, RouteMissingError
from raysync.models import channel_types
from raysync.models.entities import BotMember, Channel, Guild
from raysync.models.ids import NO_CHANNEL, ChannelId, GuildId
from raysync.models.work import ArchiveKey
from raysync.sync.planning.permissions import (
    Permission,
    channel_permissions,
    missing_permission,
    unreadable_roles,
)
from raysync.sync.ports import GuildSource
from raysync.sync.uncovered import Uncovered


@dataclass(frozen=True, slots=True)
class Survey:
    """Guild as the bot sees it at the start of a run."""

    guild: Guild
    member: BotMember
    channels: Mapping[ChannelId, Channel]
    active_threads: tuple[Channel, ...]
    troubles: tuple[str, ...] = ()  #: parts of the guild that could not be read

    @property
    def active_ids(self) -> frozenset[ChannelId]:
        """Ids of the active threads."""
        return frozenset(thread.id for thread in self.active_threads)

    def parents_to_list(self) -> tuple[Channel, ...]:
        """Return the channels whose archived threads the bot may list."""
        return tuple(
            channel
            for channel in self.channels.values()
            if channel.type in channel_types.THREAD_PARENTS and self._history_readable(channel)
        )

    def archives(self, parent: Channel) -> tuple[Archive, ...]:
        """Return the lists of archived threads of one channel."""
        public = Archive(parent, ArchiveKey(parent.id, is_private=False))
        if parent.type != channel_types.TEXT:  # only text channels have private threads
            return (public,)
        private = ArchiveKey(parent.id, is_private=True)
        return public, Archive(parent, private, not self.manages_threads(parent))

    def manages_threads(self, channel: Channel) -> bool:
        """Return whether the bot sees private threads that it has not joined."""
        granted = channel_permissions(self.guild, self.member, channel)
        return bool(granted & Permission.MANAGE_THREADS)

    def _history_readable(self, channel: Channel) -> bool:
        granted = channel_permissions(self.guild, self.member, channel)
        return missing_permission(granted, channel.type) is None


@dataclass(frozen=True, slots=True)
class Archive:
    """List of archived threads that the bot may request."""

    parent: Channel
    key: ArchiveKey
    joined_only: bool = False  #: such a list is ordered by id instead of by time of archival


@dataclass(frozen=True, slots=True)
class GuildPlanner:
    """Lists of a guild, without requests that the bot's permissions rule out."""

    source: GuildSource
    guild_id: GuildId
    uncovered: Uncovered = field(default_factory=Uncovered)  #: routes that the API lacks

    async def survey(self) -> Survey:
        """List channels and active threads.

        Raises:
            ContentIntentError: every message would come back empty.
            GuildUnavailableError: the bot is not in the guild.
        """
        identity = await self.source.identify()
        if not identity.has_content_intent:
            raise ContentIntentError(
                "The bot lacks the Message Content intent, so Discord would send every message "
                "empty. Turn it on: Discord Developer Portal, your application, Bot, "
                "Privileged Gateway Intents."
            )
        if identity.unknown_intent is not None:
            self.uncovered.add([identity.unknown_intent])
        guild, member, channels, threads = await asyncio.gather(
            self.source.fetch_guild(self.guild_id),
            self.source.fetch_member(self.guild_id, identity.user_id),
            self.source.list_channels(self.guild_id),
            self._list_active(),
        )
        listed, odd = placeable(channels)
        active, odd_threads = placeable(threads)
        troubles = [f"the list of channels: {odd}."] if odd else []
        troubles += [f"the list of active threads: {odd_threads}."] if odd_threads else []
        troubles += unreadable_roles(guild, member)
        by_id = {channel.id: channel for channel in listed}
        return Survey(guild, member, by_id, active, tuple(troubles))

    async def archived_threads(
        self, archive: Archive, since: datetime | None
    ) -> AsyncIterator[Channel]:
        """Yield the threads of a list; if it is ordered by archival, only those since *since*."""
        listed = self.source.list_archived_threads(
            archive.parent, private=archive.key.is_private, joined_only=archive.joined_only
        )
        async for thread in _archived_since(listed, None if archive.joined_only else since):
            yield thread

    async def searched_threads(
        self, archive: Archive, since: datetime | None
    ) -> AsyncIterator[Channel]:
        """Yield the same threads from Discord's search.

        Lists of a channel that was an announcement channel once lack its announcement threads.
        """
        found = self.source.search_archived_threads(archive.parent)
        async for thread in _archived_since(found, since):
            yield thread

    async def look_again(self) -> tuple[Sequence[Channel], Sequence[Channel]]:
        """Return the present channels and the present active threads."""
        channels, threads = await asyncio.gather(
            self.source.list_channels(self.guild_id), self.active_threads()
        )
        return placeable(channels)[0], threads

    async def look_at_permissions(self) -> Survey:
        """Return the guild, the bot and the channels as they are now, without threads.

        Raises:
            GuildUnavailableError: the bot is not in the guild.
        """
        identity = await self.source.identify()
        guild, member, channels = await asyncio.gather(
            self.source.fetch_guild(self.guild_id),
            self.source.fetch_member(self.guild_id, identity.user_id),
            self.source.list_channels(self.guild_id),
        )
        by_id = {channel.id: channel for channel in placeable(channels)[0]}
        return Survey(guild, member, by_id, ())

    async def active_threads(self) -> Sequence[Channel]:
        """Return the active threads now; none if the API has no list of them.

        Since the survey, a thread may have been archived or revived.
        """
        return placeable(await self._list_active())[0]

    async def _list_active(self) -> Sequence[Channel]:
        try:
            return await self.source.list_active_threads(self.guild_id)
        except RouteMissingError as error:
            self.uncovered.note(error)
            self.uncovered.lists_active_threads = False
            return ()


def placeable(channels: Iterable[Channel]) -> tuple[tuple[Channel, ...], str | None]:
    """Return those of *channels* that have an id, each once, and a message about the others."""
    every = tuple(channels)
    by_id = {channel.id: channel for channel in every if channel.id != NO_CHANNEL}
    odd = sum(channel.id == NO_CHANNEL for channel in every)
    if not odd:
        return tuple(by_id.values()), None
    left_out = "1 record has no readable id and was left out"
    if odd > 1:
        left_out = f"{odd} records have no readable id and were left out"
    return tuple(by_id.values()), left_out


async def _archived_since(
    threads: AsyncIterator[Channel], since: datetime | None
) -> AsyncIterator[Channel]:
    """Yield those of *threads*, newest archival first, that were archived since *since*.

    Stop at the second older thread in a row: the time of a single one may be wrong.
    """
    earlier: Channel | None = None
    async for thread in threads:
        archived_at = thread.thread.archived_at if thread.thread else None
        if since is not None and archived_at is not None and archived_at < since:
            if earlier is not None:
                return
            earlier = thread
            continue
        if earlier is not None and archived_at is not None:
            yield earlier
            earlier = None
        yield thread
