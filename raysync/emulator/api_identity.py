"""Routes about the bot itself and about users."""

from typing import Final

from raysync.emulator import payloads, replies
from raysync.emulator.access import owner_of
from raysync.emulator.entities import User
from raysync.emulator.permissions import base_permissions
from raysync.emulator.replies import Reply, json_reply
from raysync.emulator.routing import ApiRequest, Router, parse_limit, parse_snowflake

_MAX_GUILDS: Final = 200


def add_routes(router: Router) -> None:
    """Serve them."""
    router.add("GET", "/users/@me", own_user)
    router.add("GET", "/users/@me/guilds", own_guilds)
    router.add("GET", "/users/{user_id}", user)
    router.add("GET", "/oauth2/applications/@me", application)
    router.add("GET", "/applications/@me", application)
    router.add("GET", "/gateway/bot", gateway)


def own_user(request: ApiRequest) -> Reply:
    """Answer who the token is."""
    return json_reply(payloads.own_user_payload(request.bot))


def own_guilds(request: ApiRequest) -> Reply:
    """List the bot's guilds, ids ascending."""
    query = request.query()
    limit = parse_limit(query, _MAX_GUILDS, _MAX_GUILDS)
    after = parse_snowflake("after", query.get("after", "0"))
    before = parse_snowflake("before", query["before"]) if "before" in query else None
    ids = [each for each in sorted(request.bot.guild_ids) if each > after]
    ids = [each for each in ids if before is None or each < before]
    chosen = ids[-limit:] if before is not None else ids[:limit]
    user_id = request.bot.user.id
    listed = []
    for guild in (request.world.guilds[each] for each in chosen):
        granted = base_permissions(guild, user_id)
        owned = guild.owner_id == user_id
        listed.append(payloads.partial_guild_payload(guild, granted, owned))
    return json_reply(listed)


def user(request: ApiRequest) -> Reply:
    """Answer who a user is."""
    user_id = request.snowflake("user_id")
    for guild in request.world.guilds.values():
        if user_id in guild.users:
            return json_reply(payloads.user_payload(guild.users[user_id]))
    raise replies.unknown_user()


def application(request: ApiRequest) -> Reply:
    """Answer what application the bot belongs to."""
    owner = User(owner_of(request.bot), "owner")
    return json_reply(payloads.application_payload(request.bot, owner))


def gateway(request: ApiRequest) -> Reply:
    """Answer where the gateway is. The emulator has none."""
    return json_reply(payloads.gateway_payload(request.bot))
