"""Engine: answers a request by the ban, the token, the route and the limits, in this order.

`handler` receives the requests by HTTP, and `faults` chooses the rules that spoil answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from raysync.emulator.api import replies
from raysync.emulator.api.missing_routes import missing_route_reply
from raysync.emulator.api.quirks import Quirks
from raysync.emulator.api.replies import ApiError, Reply, json_reply
from raysync.emulator.api.requests import ApiRequest, Incoming
from raysync.emulator.api.routes import make_router
from raysync.emulator.api.routing import Match
from raysync.emulator.faults.answers import BANS, own_reply, spoiled_reply
from raysync.emulator.faults.rules import FaultRule
from raysync.emulator.limits.limiter import Limiter
from raysync.emulator.limits.refusals import GLOBAL, SHARED
from raysync.emulator.limits.settings import Limits
from raysync.emulator.world.entities import Bot
from raysync.emulator.world.world import World

BAN: Final = "ban"
_INVALID_STATUSES: Final = (401, 403, 429)
_BLOCKED_CLIENT: Final = {"message": "internal network error", "code": 40333}


@dataclass(slots=True)
class Outcome:
    """An answer, with the facts that the request log records."""

    reply: Reply
    match: Match | None = None
    bot: Bot | None = None
    scope: str | None = None
    banned: bool = False


class Engine:
    """Answers API requests from a world, under limits and with quirks."""

    def __init__(self, world: World, limits: Limits, quirks: Quirks) -> None:
        self.world = world
        self.limiter = Limiter(limits)
        self.router = make_router()
        self.quirks = self.validated(quirks)

    def validated(self, quirks: Quirks) -> Quirks:
        """Return the quirks. Raise ValueError if one names an unknown route."""
        unknown = sorted(set(quirks.missing_routes) - self.router.names())
        if unknown:
            raise ValueError(f"unknown routes: {', '.join(unknown)}")
        return quirks

    def find(self, incoming: Incoming) -> Match | None:
        """Return the route of a request, or None."""
        found = self.router.find(incoming.method, incoming.path)
        return found if isinstance(found, Match) else None

    def bot_of(self, authorization: str | None) -> Bot | None:
        """Return the bot whose token an Authorization header holds, or None."""
        scheme, _, token = (authorization or "").partition(" ")
        return self.world.bots.get(token) if scheme == "Bot" else None

    def answer(self, incoming: Incoming, match: Match | None) -> Outcome:
        """Answer a request, and count it against the address if it is invalid."""
        ban = self.limiter.banned(incoming.address)
        if ban is not None:
            return Outcome(ban, match, banned=True, scope=BAN)
        outcome = self._outcome(incoming, match)
        self._count_if_invalid(incoming, outcome)
        return outcome

    def answer_with_fault(
        self, incoming: Incoming, match: Match | None, rule: FaultRule
    ) -> Outcome:
        """Answer a request that a fault rule took."""
        reply = own_reply(rule)
        if reply is None:
            return _spoiled(self.answer(incoming, match), rule)
        reply.overrides |= rule.headers
        banned = rule.action in BANS
        scope = BAN if banned else reply.headers.get("x-ratelimit-scope")
        outcome = Outcome(reply, match, self.bot_of(incoming.authorization), scope, banned)
        self._count_if_invalid(incoming, outcome)
        return outcome

    def _count_if_invalid(self, incoming: Incoming, outcome: Outcome) -> None:
        if outcome.reply.status in _INVALID_STATUSES and outcome.scope != SHARED:
            self.limiter.count_invalid(incoming.address)

    def _outcome(self, incoming: Incoming, match: Match | None) -> Outcome:
        if self.quirks.require_user_agent and not incoming.user_agent.startswith("DiscordBot "):
            return Outcome(json_reply(_BLOCKED_CLIENT, 403), match)
        bot = self.bot_of(incoming.authorization)
        if bot is None:
            return Outcome(replies.unauthorized().reply(), match)
        if match is None:
            return Outcome(self._reply_without_route(incoming), None, bot)
        if match.route.name in self.quirks.missing_routes:
            return Outcome(missing_route_reply(self.quirks.missing_form), match, bot)
        admission = self.limiter.admit(bot.token, match)
        if admission.refusal is not None:
            scope = admission.refusal.headers.get("x-ratelimit-scope", GLOBAL)
            return Outcome(admission.refusal, match, bot, scope)
        reply = self._handle(incoming, match, bot)
        reply.headers.update(admission.headers)
        return Outcome(reply, match, bot)

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

    def _reply_without_route(self, incoming: Incoming) -> Reply:
        methods = self.router.find(incoming.method, incoming.path)
        error = replies.method_not_allowed() if methods else replies.not_found()
        return error.reply()


def cdn_answer_with_fault(answer: Callable[[], Outcome], rule: FaultRule) -> Outcome:
    """Answer a request to the CDN that a rule took. The CDN has no bots and no limits."""
    reply = own_reply(rule)
    if reply is None:
        return _spoiled(answer(), rule)
    reply.overrides |= rule.headers
    return Outcome(reply)


def _spoiled(outcome: Outcome, rule: FaultRule) -> Outcome:
    outcome.reply = spoiled_reply(outcome.reply, rule)
    outcome.reply.overrides |= rule.headers
    return outcome
