"""Entities that a path's ids name, or the error that Discord answers instead."""

from raysync.emulator.api import replies
from raysync.emulator.api.requests import ApiRequest
from raysync.emulator.world.entities import Bot, Channel, Guild
from raysync.emulator.world.permissions import (
    Permission,
    can_open_text,
    can_read_history,
    can_view,
    channel_permissions,
)


def guild_named(request: ApiRequest) -> Guild:
    """Return the guild of the path. Raise ApiError unless the bot is in it."""
    guild_id = request.snowflake("guild_id")
    if guild_id not in request.bot.guild_ids:
        is_forbidden = guild_id in request.world.guilds and request.quirks.forbid_foreign_guild
        raise replies.missing_access() if is_forbidden else replies.unknown_guild()
    return request.world.guilds[guild_id]


def channel_named(request: ApiRequest) -> Channel:
    """Return the channel of the path. Raise ApiError unless the bot can view it."""
    channel = request.world.channels.get(request.snowflake("channel_id"))
    if channel is None:
        raise replies.unknown_channel()
    in_guild = channel.guild_id in request.bot.guild_ids
    if not in_guild or not can_view(request.world.guild_of(channel), channel, request.bot.user.id):
        raise replies.missing_access()
    return channel


def text_channel_named(request: ApiRequest) -> Channel:
    """Return the channel of the path. Raise ApiError unless the bot may request its messages."""
    channel = channel_named(request)
    if not can_open_text(request.world.guild_of(channel), channel, request.bot.user.id):
        raise replies.missing_access()
    return channel


def reads_history(request: ApiRequest, channel: Channel) -> bool:
    """Return whether the bot sees the channel's past messages."""
    return can_read_history(request.world.guild_of(channel), channel, request.bot.user.id)


def require_history(request: ApiRequest, channel: Channel) -> None:
    """Raise 403 50013 unless the bot sees the channel's past messages."""
    if not reads_history(request, channel):
        raise replies.missing_permissions()


def manages_threads(request: ApiRequest, channel: Channel) -> bool:
    """Return whether the bot sees every private thread of the channel."""
    guild = request.world.guild_of(channel)
    granted = channel_permissions(guild, channel, request.bot.user.id)
    return bool(granted & Permission.MANAGE_THREADS)


def owner_of(bot: Bot) -> int:
    """Return the id of the user who registered the bot."""
    return bot.application_id + 1
