"""What there is to read: every channel and thread of a guild, or the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from raysync.errors import ContentIntentError, RouteMissingError
from raysync.models import channel_types
from raysync.models.entities import BotMember, Channel, Guild
from raysync.models.ids import NO_CHANNEL, ChannelId, GuildId
from raysync.models.work import UNDOCUMENTED, ArchiveKey, Skipped
from raysync.sync.permissions import (
    UNKNOWN_PERMISSIONS,
    Permission,
    channel_permissions,
    missing_permission,
    permissions_unknown,
    reason_unreadable,
    unreadable_roles,
)
from raysync.sync.ports import GuildSource
from raysync.sync.uncovered import Uncovered

FORGOTTEN = "it was forgotten (`raysync forget --list` names it, `--undo` lifts it)"
FORGOTTEN_NAME = "(forgotten)"


@dataclass(frozen=True, slots=True)
class Survey:
    """A guild as the bot sees it at the start of a run."""

    guild: Guild
    member: BotMember
    channels: Mapping[ChannelId, Channel]
    active_threads: tuple[Channel, ...]
    troubles: tuple[str, ...] = ()  #: what of it could not be read

    def parents_to_list(self) -> tuple[Channel, ...]:
        """The channels whose archived threads the bot may list."""
        return tuple(
            each
            for each in self.channels.values()
            if each.type in channel_types.THREAD_PARENTS and self._history_readable(each)
        )

    def archives(self, parent: Channel) -> tuple[Archive, ...]:
        """The lists of archived threads of one channel."""
        public = Archive(parent, ArchiveKey(parent.id, is_private=False))
        if parent.type != channel_types.TEXT:  # private threads exist in text channels alone
            return (public,)
        private = ArchiveKey(parent.id, is_private=True)
        return public, Archive(parent, private, not self.manages_threads(parent))

    def manages_threads(self, channel: Channel) -> bool:
        """Whether the bot sees private threads it has not joined."""
        granted = channel_permissions(self.guild, self.member, channel)
        return bool(granted & Permission.MANAGE_THREADS)

    def _history_readable(self, channel: Channel) -> bool:
        granted = channel_permissions(self.guild, self.member, channel)
        return missing_permission(granted, channel.type) is None


@dataclass(frozen=True, slots=True)
class Archive:
    """A list of archived threads that the bot may ask for."""

    parent: Channel
    key: ArchiveKey
    joined_only: bool = False  #: by id, and not by time of archival


@dataclass(frozen=True, slots=True)
class Partition:
    """Channels told apart: what can be read, and what is left out for which reason."""

    readable: tuple[Channel, ...]
    skipped: tuple[Skipped, ...] = field(default_factory=tuple)
    recordable: tuple[Channel, ...] = field(
        default_factory=tuple
    )  #: others stay as they are stored
    odd: frozenset[ChannelId] = frozenset()  #: skipped for what of them could not be read


@dataclass(frozen=True, slots=True)
class GuildPlanner:
    """Lists a guild; asks for nothing that the bot's permissions rule out."""

    source: GuildSource
    guild_id: GuildId
    uncovered: Uncovered = field(default_factory=Uncovered)  #: what the API has no route for

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
            self._listed_active(),
        )
        listed, odd = placeable(channels)
        active, odd_threads = placeable(threads)
        troubles = [f"the list of channels: {odd}."] if odd else []
        troubles += [f"the list of active threads: {odd_threads}."] if odd_threads else []
        troubles += unreadable_roles(guild, member)
        return Survey(guild, member, {each.id: each for each in listed}, active, tuple(troubles))

    async def archived_threads(
        self, archive: Archive, since: datetime | None
    ) -> AsyncIterator[Channel]:
        """The threads of a list; of one by time of archival, those archived since then."""
        listed = self.source.list_archived_threads(
            archive.parent, private=archive.key.is_private, joined_only=archive.joined_only
        )
        async for each in _archived_since(listed, None if archive.joined_only else since):
            yield each

    async def searched_threads(
        self, archive: Archive, since: datetime | None
    ) -> AsyncIterator[Channel]:
        """The same by Discord's search: of channels that announced once, lists lack threads."""
        found = self.source.search_archived_threads(archive.parent)
        async for each in _archived_since(found, since):
            yield each

    async def look_again(self) -> tuple[Sequence[Channel], Sequence[Channel]]:
        """The channels and the active threads now."""
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
        return Survey(guild, member, {each.id: each for each in placeable(channels)[0]}, ())

    async def active_threads(self) -> Sequence[Channel]:
        """The active threads now: some may have been archived, or revived, since the survey.

        None where the API has no list of them.
        """
        return placeable(await self._listed_active())[0]

    async def _listed_active(self) -> Sequence[Channel]:
        try:
            return await self.source.list_active_threads(self.guild_id)
        except RouteMissingError as error:
            self.uncovered.note(error)
            self.uncovered.lists_active_threads = False
            return ()


def placeable(channels: Iterable[Channel]) -> tuple[tuple[Channel, ...], str | None]:
    """Return those of *channels* that have an id, each once, and what to say of the others."""
    every = tuple(channels)
    by_id = {each.id: each for each in every if each.id != NO_CHANNEL}
    odd = sum(each.id == NO_CHANNEL for each in every)
    if not odd:
        return tuple(by_id.values()), None
    left_out = "1 record has no readable id and was left out"
    if odd > 1:
        left_out = f"{odd} records have no readable id and were left out"
    return tuple(by_id.values()), left_out


async def _archived_since(
    threads: AsyncIterator[Channel], since: datetime | None
) -> AsyncIterator[Channel]:
    """Those of *threads*, the last archived first, that were archived since then.

    They end with the second in a row that was archived before: one alone may tell what is not true.
    """
    earlier: Channel | None = None
    async for each in threads:
        archived_at = each.thread.archived_at if each.thread else None
        if since is not None and archived_at is not None and archived_at < since:
            if earlier is not None:
                return
            earlier = each
            continue
        if earlier is not None and archived_at is not None:
            yield earlier
            earlier = None
        yield each


def _is_recordable(channel: Channel) -> bool:
    """Whether it can be read what it is, and where."""
    is_lost = "parent_id" in channel.unreadable and channel.type in channel_types.THREADS
    return "type" not in channel.unreadable and not is_lost


def partition_readable(
    survey: Survey, channels: Iterable[Channel], only: frozenset[ChannelId] = frozenset()
) -> Partition:
    """Say which of *channels* can be read. *only* limits them to those ids and their threads.

    What holds no messages of its own (a category, a forum) is neither readable nor skipped.
    """
    readable: list[Channel] = []
    skipped: list[Skipped] = []
    every = tuple(channels)
    for each in every:
        if only and each.id not in only and each.parent_id not in only:
            continue
        if each.type in channel_types.WITHOUT_MESSAGES and not _hides_threads(survey, each):
            continue
        reason = _reason_to_skip(survey, each)
        if reason is None:
            readable.append(each)
        else:
            skipped.append(Skipped(each.id, each.name, each.type, reason))
    unreadable = {each.id for each in every if each.unreadable}
    return Partition(
        tuple(readable),
        tuple(skipped),
        tuple(each for each in every if _is_recordable(each)),
        frozenset(each.channel_id for each in skipped if each.channel_id in unreadable),
    )


def exclude_forgotten(
    channels: Iterable[Channel],
    forgotten: Collection[ChannelId],
    only: frozenset[ChannelId] = frozenset(),
) -> tuple[list[Channel], list[Skipped]]:
    """Tell those of *channels* that were not *forgotten* from the others and their threads.

    Of these not even the name is told; and nothing where *only* other ones were asked for.
    """
    kept: list[Channel] = []
    skipped: list[Skipped] = []
    for each in channels:
        is_thread = each.type in channel_types.THREADS
        if each.id in forgotten or (is_thread and each.parent_id in forgotten):
            if not only or each.id in only or each.parent_id in only:
                skipped.append(Skipped(each.id, FORGOTTEN_NAME, each.type, FORGOTTEN))
        else:
            kept.append(each)
    return kept, skipped


def _hides_threads(survey: Survey, channel: Channel) -> bool:
    """Whether its threads are not listed because it cannot be told what the bot may read."""
    is_parent = channel.type in channel_types.THREAD_PARENTS
    return is_parent and permissions_unknown(survey.guild, survey.member, channel)


def _reason_to_skip(survey: Survey, channel: Channel) -> str | None:
    if "type" in channel.unreadable:
        return f"its type is {UNDOCUMENTED}"
    if _hides_threads(survey, channel):
        return UNKNOWN_PERMISSIONS
    if channel.type not in channel_types.WITH_MESSAGES:
        return f"its type ({channel.type}) is unknown to this version"
    return reason_unreadable(survey.guild, survey.member, channel, survey.channels)
