"""Routes about the bot itself, its application, and users."""

from typing import Final

from raysync.emulator.api import replies
from raysync.emulator.api.access import owner_of
from raysync.emulator.api.replies import Reply, json_reply
from raysync.emulator.api.requests import ApiRequest, parse_limit, parse_snowflake
from raysync.emulator.api.routing import Router
from raysync.emulator.world import payloads
from raysync.emulator.world.entities import User
from raysync.emulator.world.permissions import base_permissions

_MAX_GUILDS: Final = 200


def add_routes(router: Router) -> None:
    """Add the routes of this module."""
    router.add("GET", "/users/@me", own_user)
    router.add("GET", "/users/@me/guilds", own_guilds)
    router.add("GET", "/users/{user_id}", user)
    router.add("GET", "/oauth2/applications/@me", application)
    router.add("GET", "/applications/@me", application)
    router.add("GET", "/gateway", gateway)
    router.add("GET", "/gateway/bot", gateway_bot)


def own_user(request: ApiRequest) -> Reply:
    """Return the user of the token."""
    return json_reply(payloads.own_user_payload(request.bot))


def own_guilds(request: ApiRequest) -> Reply:
    """List the bot's guilds by ascending id."""
    query = request.query()
    limit = parse_limit(query, _MAX_GUILDS, _MAX_GUILDS)
    after = parse_snowflake("after", query.get("after", "0"))
    before = parse_snowflake("before", query["before"]) if "before" in query else None
    ids = [guild_id for guild_id in sorted(request.bot.guild_ids) if guild_id > after]
    ids = [guild_id for guild_id in ids if before is None or guild_id < before]
    page = ids[-limit:] if before is not None else ids[:limit]
    user_id = request.bot.user.id
    listed = []
    for guild in (request.world.guilds[guild_id] for guild_id in page):
        granted = base_permissions(guild, user_id)
        is_owner = guild.owner_id == user_id
        listed.append(payloads.partial_guild_payload(guild, granted, is_owner))
    return json_reply(listed)


def user(request: ApiRequest) -> Reply:
    """Return a user of any guild."""
    user_id = request.snowflake("user_id")
    for guild in request.world.guilds.values():
        if user_id in guild.users:
            return json_reply(payloads.user_payload(guild.users[user_id]))
    raise replies.unknown_user()


def application(request: ApiRequest) -> Reply:
    """Return the bot's application."""
    owner = User(owner_of(request.bot), "owner")
    return json_reply(payloads.application_payload(request.bot, owner))


def gateway(request: ApiRequest) -> Reply:
    """Return the gateway's address."""
    return json_reply({"url": request.world.gateway_of(request.bot)["url"]})


def gateway_bot(request: ApiRequest) -> Reply:
    """Return the gateway's address, the shards that the bot needs, and its session limit."""
    return json_reply(request.world.gateway_of(request.bot))
