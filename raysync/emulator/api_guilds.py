"""Routes about guilds, their channels, roles and members."""

from typing import Final

from raysync.emulator import payloads, replies
from raysync.emulator.access import channel_named, guild_named
from raysync.emulator.entities import Channel, Guild, Thread
from raysync.emulator.messages import Payload
from raysync.emulator.permissions import can_view
from raysync.emulator.replies import Reply, json_reply
from raysync.emulator.routing import ApiRequest, Router, parse_limit, parse_snowflake

_MAX_MEMBERS: Final = 1000


def add_routes(router: Router) -> None:
    """Serve them."""
    router.add("GET", "/guilds/{guild_id}", guild)
    router.add("GET", "/guilds/{guild_id}/channels", channels)
    router.add("GET", "/guilds/{guild_id}/roles", roles)
    router.add("GET", "/guilds/{guild_id}/emojis", emojis)
    router.add("GET", "/guilds/{guild_id}/members", members)
    router.add("GET", "/guilds/{guild_id}/members/{user_id}", member)
    router.add("GET", "/guilds/{guild_id}/threads/active", active_threads)
    router.add("GET", "/channels/{channel_id}", channel)


def guild(request: ApiRequest) -> Reply:
    """Answer a guild."""
    found = guild_named(request)
    with_counts = request.query().get("with_counts", "").lower() in ("true", "1")
    payload = payloads.guild_payload(found, with_counts)
    if found.damage is not None:
        return Reply(200, found.damage.body(payload))
    return json_reply(payload)


def channels(request: ApiRequest) -> Reply:
    """List all channels, also those the bot cannot view; never threads."""
    found = guild_named(request).channels.values()
    return json_reply([payloads.served_channel(each) for each in found])


def roles(request: ApiRequest) -> Reply:
    """List the roles."""
    return json_reply([payloads.role_payload(each) for each in guild_named(request).roles.values()])


def emojis(request: ApiRequest) -> Reply:
    """List the custom emojis."""
    found = guild_named(request).emojis.values()
    return json_reply([payloads.emoji_payload(each) for each in found])


def members(request: ApiRequest) -> Reply:
    """List members, ids ascending; needs the members intent."""
    found = guild_named(request)
    if not request.bot.members_intent:
        raise replies.missing_access()
    query = request.query()
    limit = parse_limit(query, 1, _MAX_MEMBERS)
    after = parse_snowflake("after", query.get("after", "0"))
    ids = [each for each in sorted(found.members) if each > after][:limit]
    return json_reply([_member(found, each) for each in ids])


def member(request: ApiRequest) -> Reply:
    """Answer one member; no intent needed."""
    found, user_id = guild_named(request), request.snowflake("user_id")
    if user_id not in found.members:
        raise replies.unknown_member()
    return json_reply(_member(found, user_id))


def active_threads(request: ApiRequest) -> Reply:
    """List every active thread the bot can access, newest first."""
    found, user_id = guild_named(request), request.bot.user.id
    active = [each for each in found.threads.values() if not each.archived]
    seen = [each for each in active if can_view(found, each, user_id)]
    return json_reply(thread_list(sorted(seen, key=_id, reverse=True), user_id, has_more=False))


def channel(request: ApiRequest) -> Reply:
    """Answer a channel or thread."""
    return json_reply(payloads.served_channel(channel_named(request)))


def thread_list(threads: list[Thread], user_id: int, *, has_more: bool) -> Payload:
    """Return a list of threads with the user's own memberships."""
    joined = [each for each in threads if user_id in each.member_ids]
    return {
        "threads": [payloads.served_channel(each) for each in threads],
        "members": [payloads.thread_member_payload(each, user_id) for each in joined],
        "has_more": has_more,
    }


def _member(found: Guild, user_id: int) -> Payload:
    return payloads.member_payload(found.members[user_id], found.users[user_id])


def _id(channel: Channel) -> int:
    return channel.id
