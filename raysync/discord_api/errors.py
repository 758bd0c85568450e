"""The translation of errors of discord.py, aiohttp and asyncio into raysync's own.

discord.py's exceptions hold the response and cannot leave the process. Ours carry a sentence, which
contains neither a token nor text that a person wrote.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import aiohttp
import discord

from raysync.discord_api import routes
from raysync.discord_api.address import DISCORD_API_URL, VARIABLE, elsewhere, host_of, parsed
from raysync.discord_api.answers import (
    MAX_BYTES,
    AnswerTooLongError,
    NotJsonError,
    UnreadFailureError,
    code_of,
)
from raysync.discord_api.gate import PROXY_WANTS_PASSWORD
from raysync.discord_api.proxies import Proxy
from raysync.discord_api.refusal import error_of
from raysync.errors import (
    AccessDeniedError,
    ConfigurationError,
    NotFoundError,
    PayloadError,
    PermanentError,
    RaysyncError,
    RetryableError,
    TokenRejectedError,
    UnknownEmojiError,
    UnknownMessageError,
)
from raysync.models.refusal import Refusal, Scope

_UNKNOWN_MESSAGE = 10008
_UNKNOWN_EMOJI = 10014
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,255}")

_PASSING_STATUSES = frozenset({302, 303, 307, 408, 425})
"""Statuses below 500 that a retry may change."""
_ADVICE_ON_PROXY = "Ask whoever runs it, or name the host in NO_PROXY where it needs no proxy."
_OF_GATEWAYS = frozenset({502, 503, 504})
"""Statuses of a proxy that cannot reach the host; over TLS, it sends them for CONNECT."""


_UNREADABLE = (
    discord.DiscordException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    aiohttp.ClientResponseError,
)
"""Errors of discord.py and aiohttp for an undocumented body or header."""
_OF_LIBRARIES = (*_UNREADABLE, aiohttp.ClientError, OSError, ValueError)


@contextmanager
def translated(what: str, url: str = DISCORD_API_URL, proxy: Proxy | None = None) -> Iterator[None]:
    """Raise raysync's errors in place of the libraries'.

    *what* names the request, *url* is that of the API it goes to, through *proxy* if there is one.
    """
    try:
        yield
    except _OF_LIBRARIES as error:
        raise translate(error, what, url, proxy) from None


def translate(error: Exception, what: str, url: str, proxy: Proxy | None = None) -> RaysyncError:
    """Return raysync's error for *error*."""
    if proxy is not None and (failure := by_proxy(error, what, proxy)) is not None:
        return failure
    match error:
        case discord.LoginFailure():
            return _token_rejected(url)
        case discord.RateLimited():
            return error_of(Refusal.asking(Scope.USER, [error.retry_after]), what)
        case discord.HTTPException():
            return _of_status(error, what, url, proxy)
        case TimeoutError():
            return RetryableError(f"{what}: no answer in time{_through(proxy)}.")
        case aiohttp.ClientConnectorError():  # before ValueError, which one of a certificate is
            return _out_of_reach(error, what, url)
        case AnswerTooLongError():
            return PayloadError(
                f"{what}: the answer is longer than {MAX_BYTES >> 20} MB, which no answer of "
                "Discord's is. The rest was not read."
            )
        case NotJsonError():
            return RetryableError(f"{what}: the answer is not Discord's JSON{_through(proxy)}.")
        case aiohttp.ClientPayloadError() | ValueError():
            return RetryableError(f"{what}: the answer was cut short, or is no valid JSON.")
        case _ if isinstance(error, _UNREADABLE):
            return RetryableError(f"{what}: the answer could not be read.")
        case _:
            where = f"the connection to {host_of(url)}"
            return RetryableError(f"{what}: {where} broke off{_through(proxy)}.")


def by_proxy(error: Exception, what: str, proxy: Proxy) -> RaysyncError | None:
    """Return raysync's error where *proxy* is at fault, and not the host; else None."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return refused_by_proxy(error.status, what, proxy)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientConnectorDNSError():
            return RetryableError(
                f"{what}: cannot reach the proxy {proxy.shown} ({_reason(error)}), which "
                f"{proxy.variable} names. {_ADVICE_ON_PROXY}"
            )
        case _:
            return None


def refused_by_proxy(status: int, what: str, proxy: Proxy) -> RaysyncError:
    """Return raysync's error where *proxy* answers with *status* in place of the host."""
    says = f"{what}: the proxy {proxy.shown} ({proxy.variable}) answers {status}"
    if status == PROXY_WANTS_PASSWORD:
        return ConfigurationError(
            f"{says}: it requires a user and a password, or other ones. Set them in "
            f"{proxy.variable}, as in http://USER:PASSWORD@HOST:PORT."
        )
    if status >= 500:
        return RetryableError(f"{says}: it does not reach the host. {_ADVICE_ON_PROXY}")
    return ConfigurationError(f"{says}: it does not let the request pass. {_ADVICE_ON_PROXY}")


def _through(proxy: Proxy | None) -> str:
    return "" if proxy is None else f" (through the proxy {proxy.shown} of {proxy.variable})"


def _out_of_reach(error: aiohttp.ClientConnectorError, what: str, url: str) -> RetryableError:
    where = elsewhere(url)
    advice = f"{VARIABLE} is {where}." if where else "Is this machine online?"
    return RetryableError(f"{what}: cannot reach {host_of(url)} ({_reason(error)}). {advice}")


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Return why there is no connection, in the operating system's words if it has some."""
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


def _of_status(
    error: discord.HTTPException, what: str, url: str, proxy: Proxy | None
) -> RaysyncError:
    status, says = error.status, f"{what}: Discord answers {error.status}"
    code = code_of(error)
    if code:
        says += f" (code {code})"
    if status == PROXY_WANTS_PASSWORD and proxy is not None:
        return refused_by_proxy(status, what, proxy)
    if status == 429:
        body = str(error.text).encode(errors="replace")
        return error_of(Refusal.read(error.response.headers, body, datetime.now(UTC)), what)
    if status == 401:
        return _token_rejected(url)
    if what in routes.OPTIONAL and _says_no_route(error, code):
        return routes.missing(what, status)
    if status == 403:
        return AccessDeniedError(f"{says}: the bot has no access.")
    if status == 404 and code == _UNKNOWN_MESSAGE:
        return UnknownMessageError(f"{says}: the channel has no such message.", code)
    if status in (400, 404) and code == _UNKNOWN_EMOJI:
        return UnknownEmojiError(f"{says}: there is no such emoji any more.", code)
    if status == 404:
        return NotFoundError(f"{says}: there is no such thing.", code)
    if 300 <= status < 400:
        says += _redirected(error, url).removesuffix(".")
    elif status in _OF_GATEWAYS and not url.startswith("https:"):
        says += _through(proxy)
    if status >= 500 or status in _PASSING_STATUSES:
        return RetryableError(f"{says}.")
    return PermanentError(f"{says}.")


def _redirected(error: discord.HTTPException, url: str) -> str:
    """Return where a redirect leads. It is not followed: the token is for the API's own host."""
    to = _host_to(error.response.headers.get("location", ""), url)
    where = elsewhere(url)
    sent = f" and sends us to {to}" if to else ""
    advice = f" {VARIABLE} is {where}" if where else ""
    return f"{sent}. Redirects are not followed, for the token is for one host alone.{advice}"


def _host_to(location: str, url: str) -> str | None:
    """Return the host of a redirect's address, and nothing else of it."""
    try:
        host = parsed(url).join(parsed(location)).raw_host if location else None
    except ValueError:
        return None
    return host if host is not None and _HOST.fullmatch(host) else None


def _says_no_route(error: discord.HTTPException, code: int) -> bool:
    if isinstance(error, UnreadFailureError):
        return False
    return routes.is_missing_route(error.status, code, error.text)


def _token_rejected(url: str) -> TokenRejectedError:
    where = elsewhere(url)
    asked = f" (asked at {where}, {VARIABLE})" if where else ""
    return TokenRejectedError(
        f"Discord rejects the token{asked}. Copy a new one: Discord Developer Portal, your "
        "application, Bot, Reset Token."
    )
