"""Routes about threads: three lists of archived threads, and the search."""

from collections.abc import Callable
from typing import Final

from raysync.emulator.api import replies
from raysync.emulator.api.access import (
    channel_named,
    manages_threads,
    require_history,
)
from raysync.emulator.api.replies import Reply, json_reply
from raysync.emulator.api.requests import (
    ApiRequest,
    parse_limit,
    parse_snowflake,
    parse_time,
)
from raysync.emulator.api.routing import Router
from raysync.emulator.world.entities import (
    POST_PARENT_TYPES,
    THREAD_PARENT_TYPES,
    Channel,
    ChannelType,
    Thread,
)
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.payloads import thread_list_payload
from raysync.emulator.world.permissions import can_view

_MAX_ARCHIVED: Final = 100
_MAX_SEARCHED: Final = 25
_MAX_OFFSET: Final = 9975
_SORTS: Final[dict[str, Callable[[Thread], int]]] = {
    "last_message_time": lambda thread: thread.last_message_id or thread.id,
    "archive_time": lambda thread: thread.archive_ms,
    "relevance": lambda thread: thread.id,
    "creation_time": lambda thread: thread.id,
}


def add_routes(router: Router) -> None:
    """Add the routes of this module."""
    channel = "/channels/{channel_id}"
    router.add("GET", channel + "/threads/archived/public", archived_public)
    router.add("GET", channel + "/threads/archived/private", archived_private)
    router.add("GET", channel + "/users/@me/threads/archived/private", joined_private)
    router.add("GET", channel + "/threads/search", search)


def archived_public(request: ApiRequest) -> Reply:
    """List archived public threads, latest archived first."""
    channel = _parent_named(request)
    wanted = ChannelType.PUBLIC_THREAD
    if channel.type == ChannelType.ANNOUNCEMENT:
        wanted = ChannelType.ANNOUNCEMENT_THREAD
    threads = _archived(request, channel, wanted)
    if channel.type == ChannelType.ANNOUNCEMENT and request.quirks.announcement_archive_gap:
        threads = []
    return _by_archive_time(request, threads)


def archived_private(request: ApiRequest) -> Reply:
    """List archived private threads. This needs MANAGE_THREADS."""
    channel = _parent_named(request)
    if not manages_threads(request, channel):
        raise replies.missing_permissions()
    return _by_archive_time(request, _archived(request, channel, ChannelType.PRIVATE_THREAD))


def joined_private(request: ApiRequest) -> Reply:
    """List the archived private threads the bot has joined, newest id first."""
    channel, query = _parent_named(request), request.query()
    limit = parse_limit(query, 50, _MAX_ARCHIVED, minimum=2)
    before = parse_snowflake("before", query["before"]) if "before" in query else None
    threads = _archived(request, channel, ChannelType.PRIVATE_THREAD)
    joined = [thread for thread in threads if request.bot.user.id in thread.member_ids]
    older = [thread for thread in joined if before is None or thread.id < before]
    older.sort(key=_SORTS["creation_time"], reverse=True)
    return _page(request, older, limit)


def search(request: ApiRequest) -> Reply:
    """Search the threads of a channel. Return 202 until its index is ready."""
    channel, query = _parent_named(request), request.query()
    if not query:
        raise replies.server_error()
    if channel.id in request.world.unindexed_channel_ids:
        return json_reply(INDEX_NOT_READY, 202)
    limit = parse_limit(query, _MAX_SEARCHED, _MAX_SEARCHED)
    found = _found(request, channel, query)
    start = _offset(query)
    page = found[start : start + limit]
    user_id = request.bot.user.id
    has_more = len(found) > start + limit or request.quirks.endless_lists
    answer = thread_list_payload(page, user_id, has_more=has_more)
    answer["total_results"] = len(found)
    if channel.type in POST_PARENT_TYPES:
        answer["first_messages"] = _first_messages(request, page)
    return json_reply(answer)


INDEX_NOT_READY: Final[Payload] = {
    "message": "Index not yet available. Try again later",
    "code": 110000,
    "documents_indexed": 0,
    "retry_after": 2,
}


def _parent_named(request: ApiRequest) -> Channel:
    channel = channel_named(request)
    if channel.type not in THREAD_PARENT_TYPES:
        raise replies.wrong_channel_type()
    require_history(request, channel)
    return channel


def _archived(request: ApiRequest, channel: Channel, wanted: int) -> list[Thread]:
    threads = request.world.guild_of(channel).threads_under(channel.id)
    return [thread for thread in threads if thread.archived and thread.type == wanted]


def _by_archive_time(request: ApiRequest, threads: list[Thread]) -> Reply:
    query = request.query()
    limit = parse_limit(query, 50, _MAX_ARCHIVED, minimum=2)
    before = parse_time("before", query["before"]) if "before" in query else None
    older = [thread for thread in threads if before is None or thread.archive_ms < before]
    older.sort(key=lambda thread: (thread.archive_ms, thread.id), reverse=True)
    return _page(request, older, limit)


def _page(request: ApiRequest, threads: list[Thread], limit: int) -> Reply:
    has_more = len(threads) > limit or request.quirks.endless_lists
    return json_reply(thread_list_payload(threads[:limit], request.bot.user.id, has_more=has_more))


def _found(request: ApiRequest, channel: Channel, query: dict[str, str]) -> list[Thread]:
    guild, user_id = request.world.guild_of(channel), request.bot.user.id
    every = guild.threads_under(channel.id)
    threads = [thread for thread in every if can_view(guild, thread, user_id)]
    if "archived" in query:
        archived = query["archived"].lower() in ("true", "1")
        threads = [thread for thread in threads if thread.archived == archived]
    if "name" in query:
        name = query["name"].lower()
        threads = [thread for thread in threads if name in thread.name.lower()]
    if "min_id" in query:
        min_id = parse_snowflake("min_id", query["min_id"])
        threads = [thread for thread in threads if thread.id > min_id]
    if "max_id" in query:
        max_id = parse_snowflake("max_id", query["max_id"])
        threads = [thread for thread in threads if thread.id < max_id]
    key = _SORTS.get(query.get("sort_by", "last_message_time"))
    if key is None:
        message = f"Value must be one of {sorted(_SORTS)}."
        raise replies.invalid_form("sort_by", "BASE_TYPE_CHOICES", message)
    return sorted(threads, key=key, reverse=query.get("sort_order", "desc") != "asc")


def _offset(query: dict[str, str]) -> int:
    offset = parse_snowflake("offset", query.get("offset", "0"))
    if offset > _MAX_OFFSET:
        message = f"int value should be less than or equal to {_MAX_OFFSET}."
        raise replies.invalid_form("offset", "NUMBER_TYPE_MAX", message)
    return offset


def _first_messages(request: ApiRequest, threads: list[Thread]) -> list[Payload]:
    posts = [thread for thread in threads if thread.id in thread.log]
    return [request.world.message(post, post.id) for post in posts]
