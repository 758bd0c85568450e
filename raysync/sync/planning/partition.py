"""Partition of listed channels: those to read, and those left out with the reason."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from raysync.models import channel_types
from raysync.models.entities import Channel
from raysync.models.ids import ChannelId
from raysync.models.work import UNDOCUMENTED, Skipped
from raysync.sync.planning.permissions import (
    UNKNOWN_PERMISSIONS,
    permissions_unknown,
    reason_unreadable,
)
from raysync.sync.planning.planner import Survey

FORGOTTEN = "it was forgotten (`raysync forget --list` names it, `--undo` lifts it)"
FORGOTTEN_NAME = "(forgotten)"


@dataclass(frozen=True, slots=True)
class Partition:
    """Listed channels by what a run does with them."""

    readable: tuple[Channel, ...]
    skipped: tuple[Skipped, ...] = ()
    recordable: tuple[Channel, ...] = ()  #: to upsert; the rows of the others stay as they are
    odd: frozenset[ChannelId] = frozenset()  #: skipped, and with fields that cannot be read


def partition_readable(
    survey: Survey, channels: Iterable[Channel], only: frozenset[ChannelId] = frozenset()
) -> Partition:
    """Partition *channels* by whether they can be read; *only* keeps those ids and their threads.

    A channel that never holds messages (a category, a forum) is neither readable nor skipped.
    """
    readable: list[Channel] = []
    skipped: list[Skipped] = []
    every = tuple(channels)
    for channel in every:
        if only and channel.id not in only and channel.parent_id not in only:
            continue
        is_empty = channel.type in channel_types.WITHOUT_MESSAGES
        if is_empty and not _hides_threads(survey, channel):
            continue
        reason = _reason_to_skip(survey, channel)
        if reason is None:
            readable.append(channel)
        else:
            skipped.append(Skipped(channel.id, channel.name, channel.type, reason))
    unreadable = frozenset(channel.id for channel in every if channel.unreadable)
    return Partition(
        readable=tuple(readable),
        skipped=tuple(skipped),
        recordable=tuple(channel for channel in every if _is_recordable(channel)),
        odd=unreadable.intersection(channel.channel_id for channel in skipped),
    )


def exclude_forgotten(
    channels: Iterable[Channel],
    forgotten: Collection[ChannelId],
    only: frozenset[ChannelId] = frozenset(),
) -> tuple[list[Channel], list[Skipped]]:
    """Return *channels* without the *forgotten* ones and their threads, and these as skipped.

    A forgotten channel appears without its name, and not at all if *only* does not name it.
    """
    kept: list[Channel] = []
    skipped: list[Skipped] = []
    for channel in channels:
        is_thread = channel.type in channel_types.THREADS
        if channel.id in forgotten or (is_thread and channel.parent_id in forgotten):
            if not only or channel.id in only or channel.parent_id in only:
                skipped.append(Skipped(channel.id, FORGOTTEN_NAME, channel.type, FORGOTTEN))
        else:
            kept.append(channel)
    return kept, skipped


def _is_recordable(channel: Channel) -> bool:
    """Return whether the channel's type can be read, and for a thread its parent."""
    lacks_parent = "parent_id" in channel.unreadable and channel.type in channel_types.THREADS
    return "type" not in channel.unreadable and not lacks_parent


def _hides_threads(survey: Survey, channel: Channel) -> bool:
    """Return whether unknown permissions keep the channel's threads from being listed."""
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
