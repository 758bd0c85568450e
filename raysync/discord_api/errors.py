"""What discord.py, aiohttp and asyncio raise, as raysync's own errors.

discord.py's exceptions hold the response and cannot leave the process; ours carry a sentence, in
which there is neither a token nor what anybody wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import discord

from raysync.errors import (
    BAN_S,
    AccessDeniedError,
    BannedError,
    NotFoundError,
    PermanentError,
    RateLimitedError,
    RaysyncError,
    RetryableError,
    TokenRejectedError,
    UnknownEmojiError,
    UnknownMessageError,
)

_UNKNOWN_MESSAGE = 10008
_UNKNOWN_EMOJI = 10014

_PASSING_STATUSES = frozenset({408, 425})
"""Refusals below 500 that may be different the next time."""


_UNREADABLE = (discord.DiscordException, LookupError, TypeError, AttributeError, RecursionError)
"""What discord.py raises over a body or header that is not what Discord documents."""
_OF_LIBRARIES = (*_UNREADABLE, aiohttp.ClientError, OSError, ValueError)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise raysync's errors in place of those of the libraries; *what* names the request."""
    try:
        yield
    except _OF_LIBRARIES as error:
        raise translate(error, what) from None


def translate(error: Exception, what: str) -> RaysyncError:
    """The error of ours that says the same as *error*."""
    match error:
        case discord.LoginFailure():
            return _token_rejected()
        case discord.RateLimited():
            return RateLimitedError(f"{what}: Discord asks for a pause.", error.retry_after)
        case discord.HTTPException():
            return _of_status(error, what)
        case TimeoutError():
            return RetryableError(f"{what}: no answer in time.")
        case aiohttp.ClientPayloadError() | ValueError():
            return RetryableError(f"{what}: the answer is not whole.")
        case _ if isinstance(error, _UNREADABLE):
            return RetryableError(f"{what}: the answer could not be read.")
        case _:
            return RetryableError(f"{what}: the connection failed ({type(error).__name__}).")


def _of_status(error: discord.HTTPException, what: str) -> RaysyncError:
    status, says = error.status, f"{what}: Discord answers {error.status}"
    if error.code:
        says += f" (code {error.code})"
    if status == 429:
        return _of_refusal(error, what)
    if status == 401:
        return _token_rejected()
    if status == 403:
        return AccessDeniedError(f"{says}: the bot has no access.")
    if status == 404 and error.code == _UNKNOWN_MESSAGE:
        return UnknownMessageError(f"{says}: the channel has no such message.")
    if status in (400, 404) and error.code == _UNKNOWN_EMOJI:
        return UnknownEmojiError(f"{says}: there is no such emoji any more.")
    if status == 404:
        return NotFoundError(f"{says}: there is no such thing.")
    if status >= 500 or status in _PASSING_STATUSES:
        return RetryableError(f"{says}.")
    return PermanentError(f"{says}.")


def _of_refusal(error: discord.HTTPException, what: str) -> RaysyncError:
    """A 429 that says when to come back is a limit; one that does not is a ban."""
    try:
        retry_after_s = float(error.response.headers["Retry-After"])
    except (KeyError, ValueError):
        return BannedError.lasting_until(datetime.now(UTC) + timedelta(seconds=BAN_S))
    if not 0 <= retry_after_s < math.inf:
        retry_after_s = 0.0
    return RateLimitedError(f"{what}: Discord asks for a pause.", retry_after_s)


def _token_rejected() -> TokenRejectedError:
    return TokenRejectedError(
        "Discord rejects the token. Copy it anew: Discord Developer Portal, your application, "
        "Bot, Reset Token."
    )
