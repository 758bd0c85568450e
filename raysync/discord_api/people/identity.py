"""Identity of a bot: its user, and the message content intent of its application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from raysync.discord_api.fields import UNREADABLE, Payload, count, snowflake
from raysync.discord_api.routes import APPLICATION, APPLICATION_TOO
from raysync.errors import PayloadError, RetryableError, RouteMissingError, TokenRejectedError
from raysync.models.entities import BotIdentity
from raysync.models.ids import UserId
from raysync.models.not_covered import MissingRoute

_CONTENT_FLAGS: Final = 1 << 18 | 1 << 19
"""Flags of an application: the message content intent, unlimited or for bots in few guilds."""
_UNREADABLE_ANSWER: Final = "GET /users/@me: the answer is not Discord's JSON."

Ask = Callable[[str], Awaitable[Any]]
"""Returns the answer to a GET of a path."""


async def identity_of(user: Any, ask: Ask) -> BotIdentity:
    """Return the identity of the token's bot.

    If the API lacks the routes of the application, assume the intent: empty pages will show if it
    is missing.

    Raises:
        TokenRejectedError: the token is not a bot's.
    """
    if not isinstance(user, dict):
        raise RetryableError(_UNREADABLE_ANSWER)
    if not user.get("bot"):
        raise TokenRejectedError(
            "The token is not a bot's. Discord forbids to automate a user's account: create an "
            "application with a bot in the Discord Developer Portal and use its token."
        )
    try:
        user_id = UserId(snowflake(user["id"]))
    except UNREADABLE:
        raise RetryableError(_UNREADABLE_ANSWER) from None
    try:
        return BotIdentity(user_id, await has_content_intent(ask))
    except RouteMissingError as error:
        missing = MissingRoute(error.route, error.what, str(error))
        return BotIdentity(user_id, has_content_intent=True, unknown_intent=missing)


async def has_content_intent(ask: Ask) -> bool:
    """Return whether the application's flags have the message content intent.

    Raises:
        RouteMissingError: the API lacks both routes of the application.
    """
    try:
        application = await ask(APPLICATION.removeprefix("GET "))
    except RouteMissingError:
        application = await ask(APPLICATION_TOO.removeprefix("GET "))
    return _has_content_flag(application)


def _has_content_flag(application: Payload) -> bool:
    if not isinstance(application, dict):
        raise PayloadError("Discord's answer about the application is not a JSON object.")
    flags = application.get("flags")
    try:
        return bool(count(0 if flags is None else flags) & _CONTENT_FLAGS)
    except UNREADABLE:
        raise PayloadError("The application's flags are not a number.") from None
