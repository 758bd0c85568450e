"""Payloads of entities: the JSON that Discord sends for them."""

from typing import Any, Final

import orjson

from raysync.emulator.world.entities import (
    THREAD_PARENT_TYPES,
    Bot,
    Channel,
    ChannelType,
    Emoji,
    Guild,
    Member,
    Overwrite,
    Role,
    Thread,
    User,
)
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.permissions import can_view
from raysync.emulator.world.snowflakes import iso, made_at_ms

_PRESENCE_LIMITED: Final = 1 << 13
_MEMBERS_LIMITED: Final = 1 << 15
_CONTENT_LIMITED: Final = 1 << 19
_VOICE_TYPES: Final = (ChannelType.VOICE, ChannelType.STAGE)
_FORUM_TYPES: Final = (ChannelType.FORUM, ChannelType.MEDIA)


def user_payload(user: User) -> Payload:
    """Return a user as messages and lists show them."""
    payload: Payload = {
        "id": str(user.id),
        "username": user.name,
        "avatar": user.avatar,
        "discriminator": "0",
        "public_flags": 0,
        "flags": 0,
        "banner": None,
        "accent_color": None,
        "global_name": user.global_name,
        "avatar_decoration_data": None,
        "collectibles": None,
        "primary_guild": None,
    }
    return payload | {"bot": True} if user.bot else payload


def own_user_payload(bot: Bot) -> Payload:
    """Return the bot as /users/@me shows it."""
    private = {"mfa_enabled": False, "locale": "en-US", "premium_type": 0, "email": None}
    return user_payload(bot.user) | private | {"verified": True}


def application_payload(bot: Bot, owner: User) -> Payload:
    """Return the bot's application. Its flags show the privileged intents that are on."""
    flags = _PRESENCE_LIMITED
    flags |= _MEMBERS_LIMITED if bot.members_intent else 0
    flags |= _CONTENT_LIMITED if bot.content_intent else 0
    return {
        "id": str(bot.application_id),
        "name": bot.user.name,
        "icon": None,
        "description": "",
        "type": None,
        "bot": user_payload(bot.user),
        "bot_public": True,
        "bot_require_code_grant": False,
        "integration_types_config": {"0": {}},
        "verify_key": f"{bot.application_id:064x}",
        "flags": flags,
        "flags_new": str(flags),
        "redirect_uris": [],
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "owner": user_payload(owner),
        "approximate_guild_count": len(bot.guild_ids),
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
        "explicit_content_filter": 0,
        "team": None,
        "eligible_oauth2_scopes": [],
    }


def gateway_payload(bot: Bot) -> Payload:
    """Return the answer of /gateway/bot where no gateway is served."""
    start = {"total": 1000, "remaining": 1000, "reset_after": 14_400_000}
    limit = start | {"max_concurrency": bot.max_concurrency}
    shards = 1 + len(bot.guild_ids) // 1000
    return {"url": "wss://gateway.discord.gg", "session_start_limit": limit, "shards": shards}


def role_payload(role: Role) -> Payload:
    """Return a role."""
    payload: Payload = {
        "id": str(role.id),
        "name": role.name,
        "permissions": str(role.permissions),
        "position": role.position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": role.bot_id is not None,
        "mentionable": False,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }
    return payload if role.bot_id is None else payload | {"tags": {"bot_id": str(role.bot_id)}}


def emoji_payload(emoji: Emoji) -> Payload:
    """Return a custom emoji as its guild lists it."""
    return {
        "id": str(emoji.id),
        "name": emoji.name,
        "roles": [],
        "require_colons": True,
        "managed": False,
        "animated": emoji.animated,
        "available": True,
    }


def guild_payload(guild: Guild, with_counts: bool = False) -> Payload:
    """Return a complete guild."""
    payload = _GUILD_DEFAULTS | {
        "id": str(guild.id),
        "name": guild.name,
        "owner_id": str(guild.owner_id),
        "roles": [role_payload(role) for role in guild.roles.values()],
        "emojis": [emoji_payload(emoji) for emoji in guild.emojis.values()],
    }
    if with_counts:
        payload["approximate_member_count"] = len(guild.members)
        payload["approximate_presence_count"] = 1
    return payload


def gateway_guild_payload(guild: Guild, user_id: int) -> Payload:
    """Return a guild as GUILD_CREATE shows it to a bot: with channels and its active threads."""
    active = [thread for thread in guild.threads.values() if not thread.archived]
    threads: list[Payload] = []
    for thread in active:
        if can_view(guild, thread, user_id):
            payload = thread_payload(thread)
            if user_id in thread.member_ids:
                payload["member"] = thread_member_payload(thread, user_id)
            threads.append(payload)
    member = guild.members.get(user_id)
    channels = [channel_payload(channel) for channel in guild.channels.values()]
    for channel in (*channels, *threads):
        del channel["guild_id"]
    return guild_payload(guild) | {
        "joined_at": iso(guild.made_ms if member is None else member.joined_ms),
        "large": False,
        "unavailable": False,
        "member_count": len(guild.members),
        "voice_states": [],
        "members": [] if member is None else [member_payload(member, guild.users[user_id])],
        "channels": channels,
        "threads": threads,
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def partial_guild_payload(guild: Guild, permissions: int, owner: bool) -> Payload:
    """Return a guild as /users/@me/guilds lists it."""
    return {
        "id": str(guild.id),
        "name": guild.name,
        "icon": None,
        "banner": None,
        "owner": owner,
        "permissions": str(permissions),
        "features": [],
    }


def member_payload(member: Member, user: User) -> Payload:
    """Return a member of a guild."""
    return {
        "user": user_payload(user),
        "avatar": None,
        "banner": None,
        "avatar_decoration_data": None,
        "collectibles": None,
        "communication_disabled_until": None,
        "flags": 0,
        "joined_at": iso(member.joined_ms),
        "nick": None,
        "pending": False,
        "premium_since": None,
        "roles": [str(role_id) for role_id in member.role_ids],
        "mute": False,
        "deaf": False,
    }


def channel_payload(channel: Channel) -> Payload:
    """Return a channel or thread with the fields of its type."""
    if isinstance(channel, Thread):
        return thread_payload(channel)
    payload: Payload = {
        "id": str(channel.id),
        "type": channel.type,
        "flags": 0,
        "guild_id": str(channel.guild_id),
        "name": channel.name,
        "parent_id": _id_or_none(channel.parent_id),
        "position": channel.position,
        "permission_overwrites": [_overwrite(one) for one in channel.overwrites.values()],
    }
    if channel.type == ChannelType.CATEGORY:
        return payload
    payload |= {
        "last_message_id": _id_or_none(channel.last_message_id),
        "rate_limit_per_user": 0,
        "nsfw": channel.nsfw,
    }
    return payload | _type_fields(channel)


def served_channel(channel: Channel) -> Payload | orjson.Fragment:
    """Return a channel or thread as it is served: damaged if an edit damaged it."""
    payload = channel_payload(channel)
    return payload if channel.damage is None else orjson.Fragment(channel.damage.body(payload))


def thread_payload(thread: Thread) -> Payload:
    """Return a thread or post."""
    payload: Payload = {
        "id": str(thread.id),
        "type": thread.type,
        "last_message_id": _id_or_none(thread.last_message_id),
        "flags": 0,
        "guild_id": str(thread.guild_id),
        "name": thread.name,
        "parent_id": _id_or_none(thread.parent_id),
        "rate_limit_per_user": 0,
        "owner_id": str(thread.owner_id),
        "thread_metadata": _thread_metadata(thread),
        "message_count": thread_message_count(thread),
        "member_count": min(50, len(thread.member_ids)),
        "total_message_sent": thread.total_message_sent,
    }
    if thread.applied_tags:
        payload["applied_tags"] = [str(tag_id) for tag_id in thread.applied_tags]
    if thread.last_pin_ms is not None:
        payload["last_pin_timestamp"] = iso(thread.last_pin_ms)
    return payload


def thread_message_count(thread: Thread) -> int:
    """Return the message count of a thread: all its messages except the starter."""
    ids = thread.log.ids
    return len(ids) - (1 if ids and ids[0] == thread.id else 0)


def thread_member_payload(thread: Thread, user_id: int) -> Payload:
    """Return a user's membership of a thread."""
    return {
        "id": str(thread.id),
        "user_id": str(user_id),
        "join_timestamp": iso(made_at_ms(thread.id)),
        "flags": 0,
    }


def thread_list_payload(threads: list[Thread], user_id: int, *, has_more: bool) -> Payload:
    """Return a list of threads, with the user's own memberships of them."""
    joined = [thread for thread in threads if user_id in thread.member_ids]
    return {
        "threads": [served_channel(thread) for thread in threads],
        "members": [thread_member_payload(thread, user_id) for thread in joined],
        "has_more": has_more,
    }


def _thread_metadata(thread: Thread) -> Payload:
    metadata: Payload = {
        "archived": thread.archived,
        "archive_timestamp": iso(thread.archive_ms),
        "auto_archive_duration": thread.auto_archive_minutes,
        "locked": thread.locked,
        "create_timestamp": iso(made_at_ms(thread.id)),
    }
    is_private = thread.type == ChannelType.PRIVATE_THREAD
    return metadata | {"invitable": True} if is_private else metadata


def _type_fields(channel: Channel) -> Payload:
    if channel.type in _VOICE_TYPES:
        return {"bitrate": 64_000, "user_limit": 0, "rtc_region": None}
    fields: Payload = {"topic": channel.topic}
    if channel.last_pin_ms is not None:
        fields["last_pin_timestamp"] = iso(channel.last_pin_ms)
    if channel.type in THREAD_PARENT_TYPES:
        fields["default_auto_archive_duration"] = 1440
    if channel.type in _FORUM_TYPES:
        fields |= _forum_fields(channel)
    return fields


def _forum_fields(channel: Channel) -> Payload:
    return {
        "available_tags": [_tag(tag_id, name) for tag_id, name in channel.tags.items()],
        "default_reaction_emoji": None,
        "default_sort_order": None,
        "default_forum_layout": 0,
    }


def _tag(tag_id: int, name: str) -> Payload:
    emoji = {"emoji_id": None, "emoji_name": None}
    return {"id": str(tag_id), "name": name, "moderated": False} | emoji


def _overwrite(overwrite: Overwrite) -> Payload:
    return {
        "id": str(overwrite.id),
        "type": overwrite.type,
        "allow": str(overwrite.allow),
        "deny": str(overwrite.deny),
    }


def _id_or_none(snowflake_id: int | None) -> str | None:
    return None if snowflake_id is None else str(snowflake_id)


_GUILD_DEFAULTS: Final[dict[str, Any]] = {
    "icon": None,
    "description": None,
    "home_header": None,
    "splash": None,
    "discovery_splash": None,
    "features": [],
    "banner": None,
    "application_id": None,
    "region": "us-west",
    "afk_channel_id": None,
    "afk_timeout": 300,
    "system_channel_id": None,
    "system_channel_flags": 0,
    "widget_enabled": False,
    "widget_channel_id": None,
    "verification_level": 0,
    "default_message_notifications": 0,
    "mfa_level": 0,
    "explicit_content_filter": 0,
    "max_presences": None,
    "max_members": 500_000,
    "max_stage_video_channel_users": 50,
    "max_video_channel_users": 25,
    "vanity_url_code": None,
    "premium_tier": 0,
    "premium_subscription_count": 0,
    "preferred_locale": "en-US",
    "rules_channel_id": None,
    "safety_alerts_channel_id": None,
    "public_updates_channel_id": None,
    "premium_progress_bar_enabled": False,
    "nsfw": False,
    "nsfw_level": 0,
    "stickers": [],
    "incidents_data": None,
}
