"""One request's way through: ban, token, limits, route, answer.

The HTTP server lies around it (`server`), the faults on demand in front of it (`faults`).
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from raysync.emulator import api_guilds, api_identity, api_messages, api_threads, replies
from raysync.emulator.entities import Bot
from raysync.emulator.faults import Action, FaultRule, Incoming
from raysync.emulator.limiter import Limiter
from raysync.emulator.limits import BanBody, Limits
from raysync.emulator.quirks import Quirks
from raysync.emulator.refusals import GLOBAL, SHARED, ban_reply, rate_limited
from raysync.emulator.replies import ApiError, Reply, json_reply
from raysync.emulator.routing import ApiRequest, Match, Router
from raysync.emulator.world import World

BAN: Final = "ban"
BANS: Final = frozenset({Action.BAN, Action.BAN_HTML, Action.BAN_CODE})
_HOUR_S: Final = 3600.0
_BLOCKED_CLIENT: Final = {"message": "internal network error", "code": 40333}
_TEXT: Final = "text/plain; charset=utf-8"
_WITH_CHARSET: Final = "application/json; charset=utf-8"
_PROXY_PAGE: Final = (
    b"<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n<center><h1>cloudflare</h1></center>"
    b"\r\n</body>\r\n</html>\r\n"
)


@dataclass(slots=True)
class Outcome:
    """An answer, with what the log tells of it."""

    reply: Reply
    match: Match | None = None
    bot: Bot | None = None
    scope: str | None = None
    banned: bool = False


def make_router() -> Router:
    """Return all routes of the API."""
    router = Router()
    for module in (api_identity, api_guilds, api_messages, api_threads):
        module.add_routes(router)
    return router


class Engine:
    """Answers API requests from a world under limits."""

    def __init__(self, world: World, limits: Limits, quirks: Quirks) -> None:
        self.world = world
        self.quirks = quirks
        self.limiter = Limiter(limits)
        self.router = make_router()

    def find(self, incoming: Incoming) -> Match | None:
        """Return the route of a request, if there is one."""
        found = self.router.find(incoming.method, incoming.path)
        return found if isinstance(found, Match) else None

    def answer(self, incoming: Incoming, match: Match | None) -> Outcome:
        """Answer a request and count it where it is invalid."""
        ban = self.limiter.banned(incoming.address)
        if ban is not None:
            return Outcome(ban, match, banned=True, scope=BAN)
        outcome = self._outcome(incoming, match)
        if outcome.reply.status in (401, 403, 429) and outcome.scope != SHARED:
            self.limiter.count_invalid(incoming.address)
        return outcome

    def spoiled(self, incoming: Incoming, match: Match | None, rule: FaultRule) -> Outcome:
        """Answer a request that a fault rule has taken."""
        instead = reply_instead(rule)
        if instead is None:
            outcome = self.answer(incoming, match)
            outcome.reply = spoil(outcome.reply, rule)
            outcome.reply.overrides |= rule.headers
            return outcome
        instead.overrides |= rule.headers
        banned = rule.action in BANS
        scope = BAN if banned else instead.headers.get("x-ratelimit-scope")
        outcome = Outcome(instead, match, self.bot_of(incoming.authorization), scope, banned)
        if instead.status in (401, 403, 429) and scope != SHARED:
            self.limiter.count_invalid(incoming.address)
        return outcome

    def _outcome(self, incoming: Incoming, match: Match | None) -> Outcome:
        if self.quirks.require_user_agent and not incoming.user_agent.startswith("DiscordBot "):
            return Outcome(json_reply(_BLOCKED_CLIENT, 403), match)
        bot = self.bot_of(incoming.authorization)
        if bot is None:
            return Outcome(replies.unauthorized().reply(), match)
        if match is None:
            return Outcome(self._no_route(incoming), None, bot)
        admission = self.limiter.admit(bot.token, match)
        if admission.refusal is not None:
            scope = admission.refusal.headers.get("x-ratelimit-scope", GLOBAL)
            return Outcome(admission.refusal, match, bot, scope)
        reply = self._handle(incoming, match, bot)
        reply.headers.update(admission.headers)
        return Outcome(reply, match, bot)

    def bot_of(self, authorization: str | None) -> Bot | None:
        """Return whose token an Authorization header holds."""
        scheme, _, token = (authorization or "").partition(" ")
        return self.world.bots.get(token) if scheme == "Bot" else None

    def _handle(self, incoming: Incoming, match: Match, bot: Bot) -> Reply:
        request = ApiRequest(
            self.world, bot, match.values, incoming.query, incoming.body, self.quirks
        )
        try:
            reply = match.route.handler(request)
        except ApiError as error:
            return error.reply()
        now_s = self.world.clock.now_ms() // 1000
        reply.body = self.world.cdn.sign_encoded(reply.body, now_s)
        return reply

    def _no_route(self, incoming: Incoming) -> Reply:
        methods = self.router.find(incoming.method, incoming.path)
        error = replies.method_not_allowed() if methods else replies.not_found()
        return error.reply()


def spoiled(answer: Callable[[], Outcome], rule: FaultRule) -> Outcome:
    """Answer as a rule says, where neither bots nor limits are known."""
    instead = reply_instead(rule)
    outcome = answer() if instead is None else Outcome(instead, None)
    if instead is None:
        outcome.reply = spoil(outcome.reply, rule)
    outcome.reply.overrides |= rule.headers
    return outcome


def reply_instead(rule: FaultRule) -> Reply | None:
    """Return what a rule answers by itself; None where it spoils the true answer."""
    match rule.action:
        case Action.ANSWER:
            return _answer(rule)
        case Action.REDIRECT:
            status = rule.status if 300 <= rule.status < 400 else 302
            return Reply(status, b"", _TEXT, {"location": rule.location})
        case Action.HTML:
            return Reply(rule.status, _PROXY_PAGE % rule.status, "text/html; charset=UTF-8")
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


def _answer(rule: FaultRule) -> Reply:
    """Return the answer that a rule spells out."""
    if rule.body_base64 is not None:
        reply = Reply(rule.status, base64.b64decode(rule.body_base64))
    elif isinstance(rule.body, str):
        reply = Reply(rule.status, rule.body.encode(), _TEXT)
    else:
        default = {"message": f"{rule.status}: Error", "code": 0}
        reply = json_reply(default if rule.body is None else rule.body, rule.status)
    return reply if rule.content_type is None else replace(reply, content_type=rule.content_type)


def spoil(reply: Reply, rule: FaultRule) -> Reply:
    """Return the true answer with what a rule does to it."""
    match rule.action:
        case Action.MALFORMED:
            return replace(reply, body=reply.body[: rule.keep_bytes])
        case Action.NULL:
            return replace(reply, body=b"null")
        case Action.EMPTY:
            return replace(reply, body=b"[]")
        case Action.CONTENT_TYPE:
            return replace(reply, content_type=rule.content_type or _WITH_CHARSET)
        case _:
            return reply
