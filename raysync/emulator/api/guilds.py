"""Routes about guilds, their channels, roles and members."""

from typing import Final

from raysync.emulator.api import replies
from raysync.emulator.api.access import channel_named, guild_named
from raysync.emulator.api.replies import Reply, json_reply
from raysync.emulator.api.requests import ApiRequest, parse_limit, parse_snowflake
from raysync.emulator.api.routing import Router
from raysync.emulator.world import payloads
from raysync.emulator.world.entities import Channel, Guild
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.permissions import can_view

_MAX_MEMBERS: Final = 1000


def add_routes(router: Router) -> None:
    """Add the routes of this module."""
    router.add("GET", "/guilds/{guild_id}", guild)
    router.add("GET", "/guilds/{guild_id}/channels", channels)
    router.add("GET", "/guilds/{guild_id}/roles", roles)
    router.add("GET", "/guilds/{guild_id}/emojis", emojis)
    router.add("GET", "/guilds/{guild_id}/members", members)
    router.add("GET", "/guilds/{guild_id}/members/{user_id}", member)
    router.add("GET", "/guilds/{guild_id}/threads/active", active_threads)
    router.add("GET", "/channels/{channel_id}", channel)


def guild(request: ApiRequest) -> Reply:
    """Return a guild."""
    found = guild_named(request)
    with_counts = request.query().get("with_counts", "").lower() in ("true", "1")
    payload = payloads.guild_payload(found, with_counts)
    if found.damage is not None:
        return Reply(200, found.damage.body(payload))
    return json_reply(payload)


def channels(request: ApiRequest) -> Reply:
    """List all channels, including those the bot cannot view, without threads."""
    listed = guild_named(request).channels.values()
    return json_reply([payloads.served_channel(channel) for channel in listed])


def roles(request: ApiRequest) -> Reply:
    """List the roles."""
    listed = guild_named(request).roles.values()
    return json_reply([payloads.role_payload(role) for role in listed])


def emojis(request: ApiRequest) -> Reply:
    """List the custom emojis."""
    listed = guild_named(request).emojis.values()
    return json_reply([payloads.emoji_payload(emoji) for emoji in listed])


def members(request: ApiRequest) -> Reply:
    """List members by ascending id. This needs the members intent."""
    found = guild_named(request)
    if not request.bot.members_intent:
        raise replies.missing_access()
    query = request.query()
    limit = parse_limit(query, 1, _MAX_MEMBERS)
    after = parse_snowflake("after", query.get("after", "0"))
    user_ids = [user_id for user_id in sorted(found.members) if user_id > after][:limit]
    return json_reply([_member(found, user_id) for user_id in user_ids])


def member(request: ApiRequest) -> Reply:
    """Return one member. This needs no intent."""
    found, user_id = guild_named(request), request.snowflake("user_id")
    if user_id not in found.members:
        raise replies.unknown_member()
    return json_reply(_member(found, user_id))


def active_threads(request: ApiRequest) -> Reply:
    """List every active thread the bot can access, newest first."""
    found, user_id = guild_named(request), request.bot.user.id
    active = [thread for thread in found.threads.values() if not thread.archived]
    visible = [thread for thread in active if can_view(found, thread, user_id)]
    visible.sort(key=_id, reverse=True)
    return json_reply(payloads.thread_list_payload(visible, user_id, has_more=False))


def channel(request: ApiRequest) -> Reply:
    """Return a channel or thread."""
    return json_reply(payloads.served_channel(channel_named(request)))


def _member(found: Guild, user_id: int) -> Payload:
    return payloads.member_payload(found.members[user_id], found.users[user_id])


def _id(channel: Channel) -> int:
    return channel.id
