"""Routes about messages: pages, one message, reactors, pins, poll voters, refreshed URLs."""

from typing import Final

import orjson

from raysync.emulator.api import replies
from raysync.emulator.api.access import reads_history, require_history, text_channel_named
from raysync.emulator.api.pages import page_ids
from raysync.emulator.api.rendering import render
from raysync.emulator.api.replies import Reply, json_reply
from raysync.emulator.api.requests import (
    ApiRequest,
    parse_limit,
    parse_snowflake,
    parse_time,
)
from raysync.emulator.api.routing import Router
from raysync.emulator.world.entities import MESSAGE_TYPES, Channel
from raysync.emulator.world.messages import PageQuery
from raysync.emulator.world.payloads import user_payload
from raysync.emulator.world.reactions import emoji_known, reactor_ids, voter_ids
from raysync.emulator.world.snowflakes import iso

_CURSORS: Final = ("before", "after", "around")
_MAX_PAGE: Final = 100
_MAX_PINS: Final = 50
_MAX_REFRESHED: Final = 50


def add_routes(router: Router) -> None:
    """Add the routes of this module."""
    message = "/channels/{channel_id}/messages/{message_id}"
    router.add("GET", "/channels/{channel_id}/messages", messages)
    router.add("GET", "/channels/{channel_id}/messages/pins", pins)
    router.add("GET", "/channels/{channel_id}/pins", old_pins)
    router.add("GET", message, one_message)
    router.add("GET", message + "/reactions/{emoji}", reactors)
    router.add("GET", "/channels/{channel_id}/polls/{message_id}/answers/{answer_id}", voters)
    router.add("POST", "/attachments/refresh-urls", refresh_urls)


def messages(request: ApiRequest) -> Reply:
    """Return a page, newest first with every cursor; 200 `[]` without the permission."""
    channel = text_channel_named(request)
    query = _page_query(request)
    if channel.type not in MESSAGE_TYPES or not reads_history(request, channel):
        return json_reply([])
    now_ms = request.world.clock.now_ms()
    message_ids = page_ids(channel.log, query, request.quirks, now_ms)
    if not message_ids and request.quirks.null_for_empty:
        return json_reply(None)
    rendered = render(request.world, request.bot, channel, message_ids)
    return Reply(200, b"[" + b",".join(rendered) + b"]")


def one_message(request: ApiRequest) -> Reply:
    """Return one message."""
    channel, message_id = _message_named(request)
    return Reply(200, render(request.world, request.bot, channel, [message_id])[0])


def reactors(request: ApiRequest) -> Reply:
    """List the users who reacted with an emoji, normally (`type` 0) or in a burst (1), by id."""
    channel, message_id = _message_named(request)
    guild, emoji = request.world.guild_of(channel), request.path_values["emoji"]
    if not emoji_known(guild, emoji):
        raise replies.unknown_emoji()
    query = request.query()
    limit = parse_limit(query, 25, 100)
    after = parse_snowflake("after", query.get("after", "0"))
    burst = _reaction_type(query.get("type", "0"))
    ids = reactor_ids(guild, channel.log, message_id, (emoji, burst))
    page = [user_id for user_id in ids if user_id > after][:limit]
    return json_reply([user_payload(guild.users[user_id]) for user_id in page])


def voters(request: ApiRequest) -> Reply:
    """List the users who chose an answer of a poll, by ascending id."""
    channel, message_id = _message_named(request)
    guild = request.world.guild_of(channel)
    query = request.query()
    limit = parse_limit(query, 25, 100)
    after = parse_snowflake("after", query.get("after", "0"))
    ids = voter_ids(guild, channel.log, message_id, request.snowflake("answer_id"))
    page = [user_id for user_id in ids if user_id > after][:limit]
    return json_reply({"users": [user_payload(guild.users[user_id]) for user_id in page]})


def pins(request: ApiRequest) -> Reply:
    """List pins, latest pinned first. The list is empty without READ_MESSAGE_HISTORY."""
    channel, query = text_channel_named(request), request.query()
    limit = parse_limit(query, _MAX_PINS, _MAX_PINS)
    before = parse_time("before", query["before"]) if "before" in query else None
    pinned = _pins(request, channel)
    earlier = [pin for pin in pinned if before is None or pin[0] < before]
    page = earlier[:limit]
    rendered = render(request.world, request.bot, channel, [pin[1] for pin in page])
    items = [
        b'{"pinned_at":"%b","message":%b}' % (iso(pin[0]).encode(), message)
        for pin, message in zip(page, rendered, strict=True)
    ]
    has_more = b"true" if len(earlier) > limit else b"false"
    return Reply(200, b'{"items":[' + b",".join(items) + b'],"has_more":' + has_more + b"}")


def old_pins(request: ApiRequest) -> Reply:
    """List the latest 50 pinned messages as the deprecated route does: without reactions."""
    channel = text_channel_named(request)
    message_ids = [pin[1] for pin in _pins(request, channel)[:_MAX_PINS]]
    messages = [orjson.loads(encoded) for encoded in _signed(request, channel, message_ids)]
    return json_reply([{key: m[key] for key in m if key != "reactions"} for m in messages])


def refresh_urls(request: ApiRequest) -> Reply:
    """Return attachments' URLs with new signatures, at most 50."""
    urls = _urls(request.body)
    now_s = request.world.clock.now_ms() // 1000
    fresh = [(url, request.world.cdn.refreshed(url, now_s)) for url in urls]
    listed = [{"original": url, "refreshed": refreshed} for url, refreshed in fresh]
    return json_reply({"refreshed_urls": listed})


def _page_query(request: ApiRequest) -> PageQuery:
    query = request.query()
    given = {name: parse_snowflake(name, query[name]) for name in _CURSORS if name in query}
    if len(given) > 1:
        message = "Only one of before, after and around may be passed at a time."
        raise replies.invalid_form(next(iter(given)), "MUTUALLY_EXCLUSIVE", message)
    return PageQuery(parse_limit(query, 50, _MAX_PAGE), **given)


def _message_named(request: ApiRequest) -> tuple[Channel, int]:
    channel = text_channel_named(request)
    require_history(request, channel)
    message_id = request.snowflake("message_id")
    if message_id not in channel.log:
        raise replies.unknown_message()
    return channel, message_id


def _pins(request: ApiRequest, channel: Channel) -> list[tuple[int, int]]:
    if not reads_history(request, channel):
        return []
    pairs = [(pinned_ms, message_id) for message_id, pinned_ms in channel.log.pins.items()]
    return sorted(pairs, reverse=True)


def _signed(request: ApiRequest, channel: Channel, message_ids: list[int]) -> list[bytes]:
    now_s = request.world.clock.now_ms() // 1000
    rendered = render(request.world, request.bot, channel, message_ids)
    return [request.world.cdn.sign_encoded(encoded, now_s) for encoded in rendered]


def _reaction_type(text: str) -> bool:
    if text not in ("0", "1"):
        message = "Value must be one of {0, 1}."
        raise replies.invalid_form("type", "BASE_TYPE_CHOICES", message)
    return text == "1"


def _urls(body: bytes) -> list[str]:
    try:
        urls = orjson.loads(body)["attachment_urls"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = "This field is required"
        raise replies.invalid_form("attachment_urls", "BASE_TYPE_REQUIRED", message) from None
    if not isinstance(urls, list) or not 1 <= len(urls) <= _MAX_REFRESHED:
        message = f"Must be between 1 and {_MAX_REFRESHED} in length."
        raise replies.invalid_form("attachment_urls", "BASE_TYPE_BAD_LENGTH", message)
    return [str(url) for url in urls]
