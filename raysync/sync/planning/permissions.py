"""Discord's permission computation, so that no request is made that Discord would refuse.

A 403 counts toward the ban of the address, and a missing READ_MESSAGE_HISTORY shows as an empty
list, not as an error. Source: Discord's documentation, topics/permissions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag

from raysync.models import channel_types
from raysync.models.entities import BotMember, Channel, Guild
from raysync.models.ids import ChannelId
from raysync.models.work import UNDOCUMENTED


class Permission(IntFlag):
    """Permissions that reading depends on, as Discord's bits."""

    ADMINISTRATOR = 1 << 3
    VIEW_CHANNEL = 1 << 10
    READ_MESSAGE_HISTORY = 1 << 16
    CONNECT = 1 << 20
    MANAGE_THREADS = 1 << 34


_ALL = -1
UNKNOWN_PERMISSIONS = (
    f"its permission overwrites are {UNDOCUMENTED}, so it is not known whether the bot may read it"
)


def guild_permissions(guild: Guild, member: BotMember) -> int:
    """Return the permissions that the bot's roles grant in every channel."""
    if guild.owner_id == member.user_id:
        return _ALL
    granted = 0
    for role in guild.roles:
        if role.id == guild.id or role.id in member.role_ids:
            granted |= role.permissions
    return _ALL if granted & Permission.ADMINISTRATOR else granted


def unreadable_roles(guild: Guild, member: BotMember) -> list[str]:
    """Return a message if the permissions of some of the bot's roles cannot be read."""
    missing = {guild.id, *member.role_ids} - {role.id for role in guild.roles}
    of_guild = bool(guild.unreadable_roles and missing)
    if guild_permissions(guild, member) == _ALL or not (of_guild or member.unreadable_roles):
        return []
    named = f" ({', '.join(str(role_id) for role_id in sorted(missing))})" if of_guild else ""
    message = (
        f"the bot's roles: some cannot be read{named}. Such a role counts as granting nothing, "
        "so the bot may be able to read more channels than were read."
    )
    return [message]


def permissions_unknown(guild: Guild, member: BotMember, channel: Channel) -> bool:
    """Return whether the bot's permissions in a channel, which is no thread, cannot be read."""
    is_odd = "permission_overwrites" in channel.unreadable
    return is_odd and guild_permissions(guild, member) != _ALL


def channel_permissions(guild: Guild, member: BotMember, channel: Channel) -> int:
    """Return the bot's permissions in a channel, which is no thread; 0 if they are unknown."""
    granted = guild_permissions(guild, member)
    if granted == _ALL:
        return _ALL
    if permissions_unknown(guild, member, channel):
        return 0
    for overwrite in channel.overwrites:
        if not overwrite.is_member and overwrite.id == guild.id:
            granted = (granted & ~overwrite.deny) | overwrite.allow
    roles = [o for o in channel.overwrites if not o.is_member and o.id in member.role_ids]
    allow = deny = 0
    for overwrite in roles:
        if overwrite.id != guild.id:
            allow |= overwrite.allow
            deny |= overwrite.deny
    granted = (granted & ~deny) | allow
    for overwrite in channel.overwrites:
        if overwrite.is_member and overwrite.id == member.user_id:
            granted = (granted & ~overwrite.deny) | overwrite.allow
    return granted


def reason_unreadable(
    guild: Guild, member: BotMember, channel: Channel, parents: Mapping[ChannelId, Channel]
) -> str | None:
    """Return the reason why *channel* cannot be read; None if it can.

    A thread has its parent's permissions; a private one also needs membership or MANAGE_THREADS.
    """
    holder = channel
    if channel.type in channel_types.THREADS:
        if "parent_id" in channel.unreadable:
            return f"its parent channel is {UNDOCUMENTED}"
        parent = parents.get(channel.parent_id) if channel.parent_id is not None else None
        if parent is None:
            return "its parent channel is not visible"
        holder = parent
    if permissions_unknown(guild, member, holder):
        return UNKNOWN_PERMISSIONS
    granted = channel_permissions(guild, member, holder)
    missing = missing_permission(granted, holder.type)
    if missing is not None:
        return f"the bot lacks {missing}"
    private = channel.type == channel_types.PRIVATE_THREAD
    joined = channel.thread is not None and channel.thread.bot_is_member
    if private and not joined and not granted & Permission.MANAGE_THREADS:
        return "the bot lacks MANAGE_THREADS and is not a member of this private thread"
    return None


def missing_permission(granted: int, channel_type: int) -> str | None:
    """Return the first permission that reading a channel of this type needs and *granted* lacks."""
    needed = [Permission.VIEW_CHANNEL, Permission.READ_MESSAGE_HISTORY]
    if channel_type in channel_types.VOICE_LIKE:
        needed.insert(1, Permission.CONNECT)
    for permission in needed:
        if not granted & permission:
            return permission.name
    return None
