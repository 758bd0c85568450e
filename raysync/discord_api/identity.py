"""Who a token is, and what its application may read, out of Discord's payloads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from raysync.discord_api.convert import Payload
from raysync.errors import PayloadError, RetryableError, RouteMissingError, TokenRejectedError
from raysync.models.entities import BotIdentity
from raysync.models.ids import UserId
from raysync.models.not_covered import MissingRoute

_CONTENT_FLAGS: Final = 1 << 18 | 1 << 19
"""Of an application: the message content intent, unlimited or for a bot in few guilds."""


async def identity_of(user: Any, ask_application: Callable[[], Awaitable[Payload]]) -> BotIdentity:
    """Who the token is. Raises TokenRejectedError where it is not a bot's.

    Where no route tells of the application, the intent counts as given: pages that come empty
    tell that it is not.
    """
    if not isinstance(user, dict):
        raise RetryableError("GET /users/@me: the answer is not Discord's JSON.")
    if not user.get("bot"):
        raise TokenRejectedError(
            "The token is not a bot's. Discord forbids to automate a user's account: create an "
            "application with a bot in the Discord Developer Portal and use its token."
        )
    user_id = UserId(int(user["id"]))
    try:
        return BotIdentity(user_id, has_content_intent(await ask_application()))
    except RouteMissingError as error:
        missing = MissingRoute(error.route, error.what, str(error))
        return BotIdentity(user_id, has_content_intent=True, unknown_intent=missing)


def has_content_intent(application: Payload) -> bool:
    """Whether the application's flags have the message content intent."""
    try:
        return bool(int(application.get("flags") or 0) & _CONTENT_FLAGS)
    except (TypeError, ValueError):
        raise PayloadError("The application's flags are not what Discord documents.") from None
