"""Which stored channels a run can read, told before their threads are listed.

What is to be read again is chosen among these alone: what is spent on others is lost, and it
would be lost again in each run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

from raysync.models import channel_types
from raysync.models.entities import Channel, ThreadState
from raysync.models.ids import ChannelId, GuildId
from raysync.models.work import KnownChannel
from raysync.sync.archives import ArchiveReader
from raysync.sync.partition import exclude_forgotten, partition_readable
from raysync.sync.planner import Survey


async def within_reach(
    survey: Survey,
    known: Sequence[KnownChannel],
    archives: ArchiveReader,
    forgotten: Collection[ChannelId],
) -> frozenset[ChannelId]:
    """Those of the *known* channels and threads that can be read and were not *forgotten*.

    A thread that is in no list is judged by its parent. Where it takes a membership to read a
    private one, the list of those that the bot has joined tells.
    """
    joined = await _joined(survey, known, archives)
    every = (*joined, *survey.active_threads, *survey.channels.values())
    listed = {each.id: each for each in every}
    channels = [
        listed.get(each.id) or _archived(each, survey.guild.id)
        for each in known
        if each.id in listed or each.type in channel_types.THREADS
    ]
    kept, _ = exclude_forgotten(channels, forgotten)
    return frozenset(each.id for each in partition_readable(survey, kept).readable)


async def _joined(
    survey: Survey, known: Iterable[KnownChannel], archives: ArchiveReader
) -> list[Channel]:
    """The archived private threads that the bot has joined, where that is what counts."""
    active = {each.id for each in survey.active_threads}
    doubtful = {
        each.parent_id
        for each in known
        if each.type == channel_types.PRIVATE_THREAD and each.id not in active
    }
    async with asyncio.TaskGroup() as listings:
        lists = [
            listings.create_task(archives.read(archive))
            for parent in survey.parents_to_list()
            for archive in survey.archives(parent)
            if archive.joined_only and parent.id in doubtful
        ]
    return [thread for each in lists for thread in each.result().threads]


def _archived(thread: KnownChannel, guild_id: GuildId) -> Channel:
    state = ThreadState(True, None, None, bot_is_member=False)
    return Channel(thread.id, guild_id, thread.type, "", thread.parent_id, None, thread=state)
