"""Permissions of members in guilds and channels, computed as Discord documents it."""

from collections.abc import Iterable
from enum import IntFlag
from typing import Final

from raysync.emulator.world.entities import Channel, ChannelType, Guild, Overwrite, Thread


class Permission(IntFlag):
    """Permissions that reading depends on."""

    ADMINISTRATOR = 1 << 3
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    READ_MESSAGE_HISTORY = 1 << 16
    CONNECT = 1 << 20
    MANAGE_THREADS = 1 << 34


ALL_PERMISSIONS: Final = (1 << 53) - 1
READER: Final = Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY | Permission.CONNECT


def base_permissions(guild: Guild, user_id: int) -> int:
    """Return a member's permissions before channel overwrites; 0 for other users."""
    member = guild.members.get(user_id)
    if member is None:
        return 0
    if guild.owner_id == user_id:
        return ALL_PERMISSIONS
    granted = guild.roles[guild.id].permissions
    for role_id in member.role_ids:
        granted |= guild.roles[role_id].permissions
    return ALL_PERMISSIONS if granted & Permission.ADMINISTRATOR else granted


def channel_permissions(guild: Guild, channel: Channel, user_id: int) -> int:
    """Return a member's permissions in a channel. A thread has those of its parent."""
    granted = base_permissions(guild, user_id)
    if granted in (0, ALL_PERMISSIONS):
        return granted
    if isinstance(channel, Thread) and channel.parent_id is not None:
        channel = guild.channels[channel.parent_id]
    overwrites, role_ids = channel.overwrites, guild.members[user_id].role_ids
    granted = _apply(granted, [overwrites.get(guild.id)])
    granted = _apply(granted, [overwrites.get(role_id) for role_id in role_ids])
    return _apply(granted, [overwrites.get(user_id)])


def can_view(guild: Guild, channel: Channel, user_id: int) -> bool:
    """Return whether a member can view the channel. Otherwise Discord answers 403 50001.

    A private thread also needs membership or MANAGE_THREADS.
    """
    granted = channel_permissions(guild, channel, user_id)
    if not granted & Permission.VIEW_CHANNEL:
        return False
    if isinstance(channel, Thread) and channel.type == ChannelType.PRIVATE_THREAD:
        return bool(granted & Permission.MANAGE_THREADS) or user_id in channel.member_ids
    return True


def can_open_text(guild: Guild, channel: Channel, user_id: int) -> bool:
    """Return whether a member may request messages. Voice and stage channels need CONNECT."""
    if not can_view(guild, channel, user_id):
        return False
    has_voice = channel.type in (ChannelType.VOICE, ChannelType.STAGE)
    granted = channel_permissions(guild, channel, user_id)
    return not has_voice or bool(granted & Permission.CONNECT)


def can_read_history(guild: Guild, channel: Channel, user_id: int) -> bool:
    """Return whether a member sees the channel's past messages."""
    granted = channel_permissions(guild, channel, user_id)
    is_readable = bool(granted & Permission.READ_MESSAGE_HISTORY)
    return is_readable and can_open_text(guild, channel, user_id)


def _apply(granted: int, overwrites: Iterable[Overwrite | None]) -> int:
    allow = deny = 0
    for overwrite in overwrites:
        if overwrite is not None:
            allow |= overwrite.allow
            deny |= overwrite.deny
    return granted & ~deny | allow
