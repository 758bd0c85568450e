"""Answers of fault rules: made without Discord, or spoiled from its true answer."""

import base64
from dataclasses import replace
from typing import Final

from raysync.emulator.api.replies import PLAIN_TEXT, Reply, json_reply, proxy_page
from raysync.emulator.faults.rules import Action, FaultRule
from raysync.emulator.limits.refusals import SHARED, ban_reply, rate_limited
from raysync.emulator.limits.settings import BanBody

BANS: Final = frozenset({Action.BAN, Action.BAN_HTML, Action.BAN_CODE})
_HOUR_S: Final = 3600.0
_JSON_WITH_CHARSET: Final = "application/json; charset=utf-8"


def own_reply(rule: FaultRule) -> Reply | None:
    """Return the rule's own answer, or None if it spoils the true one."""
    match rule.action:
        case Action.ANSWER:
            return _given_reply(rule)
        case Action.REDIRECT:
            status = rule.status if 300 <= rule.status < 400 else 302
            return Reply(status, b"", PLAIN_TEXT, {"location": rule.location})
        case Action.HTML:
            return proxy_page(rule.status)
        case Action.BAN:
            return ban_reply(BanBody.JSON)
        case Action.BAN_HTML:
            return ban_reply(BanBody.HTML)
        case Action.BAN_CODE:
            return ban_reply(BanBody.JSON, _HOUR_S)
        case Action.SHARED:
            return rate_limited(rule.retry_after_s, SHARED)
        case Action.REFUSE:
            return rate_limited(rule.retry_after_s, rule.scope, shape=rule.shape)
        case Action.RESET | Action.HANG:
            return Reply(0, b"")
        case _:
            return None


def spoiled_reply(reply: Reply, rule: FaultRule) -> Reply:
    """Return the true answer, spoiled by the rule's action."""
    match rule.action:
        case Action.MALFORMED:
            return replace(reply, body=reply.body[: rule.keep_bytes])
        case Action.NULL:
            return replace(reply, body=b"null")
        case Action.EMPTY:
            return replace(reply, body=b"[]")
        case Action.CONTENT_TYPE:
            return replace(reply, content_type=rule.content_type or _JSON_WITH_CHARSET)
        case _:
            return reply


def _given_reply(rule: FaultRule) -> Reply:
    """Return the status and body that the rule gives."""
    if rule.body_base64 is not None:
        reply = Reply(rule.status, base64.b64decode(rule.body_base64))
    elif isinstance(rule.body, str):
        reply = Reply(rule.status, rule.body.encode(), PLAIN_TEXT)
    else:
        default = {"message": f"{rule.status}: Error", "code": 0}
        reply = json_reply(default if rule.body is None else rule.body, rule.status)
    return reply if rule.content_type is None else replace(reply, content_type=rule.content_type)
