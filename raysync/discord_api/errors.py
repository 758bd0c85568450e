"""What discord.py, aiohttp and asyncio raise, as raysync's own errors.

discord.py's exceptions hold the response and cannot leave the process; ours carry a sentence, in
which there is neither a token nor what anybody wrote.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from json import loads

import aiohttp
import discord

from raysync.discord_api import routes
from raysync.discord_api.address import DISCORD_API_URL, VARIABLE, elsewhere, host_of
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
def translated(what: str, url: str = DISCORD_API_URL) -> Iterator[None]:
    """Raise raysync's errors in place of those of the libraries.

    *what* names the request, *url* is that of the API it goes to.
    """
    try:
        yield
    except _OF_LIBRARIES as error:
        raise translate(error, what, url) from None


def translate(error: Exception, what: str, url: str) -> RaysyncError:
    """The error of ours that says the same as *error*."""
    match error:
        case discord.LoginFailure():
            return _token_rejected(url)
        case discord.RateLimited():
            return RateLimitedError(f"{what}: Discord asks for a pause.", error.retry_after)
        case discord.HTTPException():
            return _of_status(error, what, url)
        case TimeoutError():
            return RetryableError(f"{what}: no answer in time.")
        case aiohttp.ClientConnectorError():  # before ValueError, which one of a certificate is
            return _out_of_reach(error, what, url)
        case aiohttp.ClientPayloadError() | ValueError():
            return RetryableError(f"{what}: the answer is not whole.")
        case _ if isinstance(error, _UNREADABLE):
            return RetryableError(f"{what}: the answer could not be read.")
        case _:
            return RetryableError(f"{what}: the connection to {host_of(url)} broke off.")


def _out_of_reach(error: aiohttp.ClientConnectorError, what: str, url: str) -> RetryableError:
    where = elsewhere(url)
    advice = f"{VARIABLE} is {where}." if where else "Is this machine online?"
    return RetryableError(f"{what}: cannot reach {host_of(url)} ({_reason(error)}). {advice}")


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Why there is no connection, in the system's words where it has some."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "name not known"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientSSLError():
            return "no TLS"
        case _ if error.os_error.errno in errno.errorcode:
            return os.strerror(error.os_error.errno or 0).lower()
        case _:
            return "no connection"


def _of_status(error: discord.HTTPException, what: str, url: str) -> RaysyncError:
    status, says = error.status, f"{what}: Discord answers {error.status}"
    code, text = _code_and_text(error)
    if code:
        says += f" (code {code})"
    if status == 429:
        return _of_refusal(error, what)
    if status == 401:
        return _token_rejected(url)
    if what in routes.OPTIONAL and routes.is_missing_route(status, code, text):
        return routes.missing(what, status)
    if status == 403:
        return AccessDeniedError(f"{says}: the bot has no access.")
    if status == 404 and code == _UNKNOWN_MESSAGE:
        return UnknownMessageError(f"{says}: the channel has no such message.")
    if status in (400, 404) and code == _UNKNOWN_EMOJI:
        return UnknownEmojiError(f"{says}: there is no such emoji any more.")
    if status == 404:
        return NotFoundError(f"{says}: there is no such thing.")
    if status >= 500 or status in _PASSING_STATUSES:
        return RetryableError(f"{says}.")
    return PermanentError(f"{says}.")


def _code_and_text(error: discord.HTTPException) -> tuple[int, str]:
    """Discord's code and message; 0 and the body where it is no error of Discord's.

    discord.py reads JSON under the bare content type alone, and leaves it as text under another.
    """
    code, text = error.code, str(error.text)
    if not code and text.lstrip().startswith("{"):
        try:
            said = loads(text)
            code, text = said.get("code", 0), str(said.get("message", ""))
        except (ValueError, RecursionError):
            return 0, text
    is_code = isinstance(code, int) and not isinstance(code, bool)
    return (code if is_code else 0), text


def _of_refusal(error: discord.HTTPException, what: str) -> RaysyncError:
    """A 429 that says when to come back is a limit; one that does not is a ban."""
    try:
        retry_after_s = float(error.response.headers["Retry-After"])
    except (KeyError, ValueError):
        return BannedError.lasting_until(datetime.now(UTC) + timedelta(seconds=BAN_S))
    if not 0 <= retry_after_s < math.inf:
        retry_after_s = 0.0
    return RateLimitedError(f"{what}: Discord asks for a pause.", retry_after_s)


def _token_rejected(url: str) -> TokenRejectedError:
    where = elsewhere(url)
    asked = f" (asked at {where}, {VARIABLE})" if where else ""
    return TokenRejectedError(
        f"Discord rejects the token{asked}. Copy it anew: Discord Developer Portal, your "
        "application, Bot, Reset Token."
    )
