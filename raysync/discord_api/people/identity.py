"""Who a token is, and what its application may read, out of Discord's payloads."""

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
"""Of an application: the message content intent, unlimited or for a bot in few guilds."""
_ODD: Final = "GET /users/@me: the answer is not Discord's JSON."

Ask = Callable[[str], Awaitable[Any]]
"""Returns the answer to a GET of a path."""


async def identity_of(user: Any, ask: Ask) -> BotIdentity:
    """Return who the token is. Raises TokenRejectedError where it is not a bot's.

    Where no route tells of the application, the intent counts as given: pages that come empty
    tell that it is not.
    """
    if not isinstance(user, dict):
        raise RetryableError(_ODD)
    if not user.get("bot"):
        raise TokenRejectedError(
            "The token is not a bot's. Discord forbids to automate a user's account: create an "
            "application with a bot in the Discord Developer Portal and use its token."
        )
    try:
        user_id = UserId(snowflake(user["id"]))
    except UNREADABLE:
        raise RetryableError(_ODD) from None
    try:
        return BotIdentity(user_id, await has_content_intent(ask))
    except RouteMissingError as error:
        missing = MissingRoute(error.route, error.what, str(error))
        return BotIdentity(user_id, has_content_intent=True, unknown_intent=missing)


async def has_content_intent(ask: Ask) -> bool:
    """Return whether the application's flags have the message content intent.

    Raises:
        RouteMissingError: the API has neither of the two routes that tell.
    """
    try:
        application = await ask(APPLICATION.removeprefix("GET "))
    except RouteMissingError:
        application = await ask(APPLICATION_TOO.removeprefix("GET "))
    return _has_content_flag(application)


def _has_content_flag(application: Payload) -> bool:
    if not isinstance(application, dict):
        raise PayloadError("Discord answers with something that is not an object.")
    flags = application.get("flags")
    try:
        return bool(count(0 if flags is None else flags) & _CONTENT_FLAGS)
    except UNREADABLE:
        raise PayloadError("What Discord says of the bot's intents is no number.") from None
