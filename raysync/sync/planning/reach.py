"""Reach of a run: the stored channels that it can read, known before their threads are listed.

Old messages are compared again in these channels alone. The share of the request
budget that is planned for the others would be lost in every run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

from raysync.models import channel_types
from raysync.models.entities import Channel, ThreadState
from raysync.models.ids import ChannelId, GuildId
from raysync.models.work import KnownChannel
from raysync.sync.planning.archives import ArchiveReader
from raysync.sync.planning.partition import exclude_forgotten, partition_readable
from raysync.sync.planning.planner import Survey


async def within_reach(
    survey: Survey,
    known: Sequence[KnownChannel],
    archives: ArchiveReader,
    forgotten: Collection[ChannelId],
) -> frozenset[ChannelId]:
    """Return those of the *known* channels and threads that can be read and are not *forgotten*.

    A thread in no list is judged by its parent. If only members can read a private thread, the list
    of threads that the bot has joined decides.
    """
    joined = await _joined(survey, known, archives)
    every = (*joined, *survey.active_threads, *survey.channels.values())
    listed = {channel.id: channel for channel in every}
    channels = [
        listed.get(channel.id) or _archived(channel, survey.guild.id)
        for channel in known
        if channel.id in listed or channel.type in channel_types.THREADS
    ]
    kept, _ = exclude_forgotten(channels, forgotten)
    return frozenset(channel.id for channel in partition_readable(survey, kept).readable)


async def _joined(
    survey: Survey, known: Iterable[KnownChannel], archives: ArchiveReader
) -> list[Channel]:
    """Return the archived private threads that the bot has joined, if membership decides."""
    active = {thread.id for thread in survey.active_threads}
    doubtful = {
        channel.parent_id
        for channel in known
        if channel.type == channel_types.PRIVATE_THREAD and channel.id not in active
    }
    async with asyncio.TaskGroup() as listings:
        lists = [
            listings.create_task(archives.read(archive))
            for parent in survey.parents_to_list()
            for archive in survey.archives(parent)
            if archive.joined_only and parent.id in doubtful
        ]
    return [thread for listed in lists for thread in listed.result().threads]


def _archived(thread: KnownChannel, guild_id: GuildId) -> Channel:
    state = ThreadState(True, None, None, bot_is_member=False)
    return Channel(thread.id, guild_id, thread.type, "", thread.parent_id, None, thread=state)
