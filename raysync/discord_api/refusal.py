"""The reading of a 429, and its translation into one of raysync's errors.

discord.py waits out a limit by itself where the answer is exactly as documented. It treats every
other 429 as a ban, fails over it, or sleeps for as long as the body says. Those are raised here,
before discord.py sees them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp

from raysync.errors import BannedError, RateLimitedError, RaysyncError
from raysync.models.refusal import Refusal, Scope

_BODY_S: Final = 2.0
"""Longest wait for a body, in seconds: the refusal is reported only after it was read."""
_ROUNDING_S: Final = 1.0
"""Difference in seconds between `Retry-After` and the body's value, which it rounds up."""
LONGEST_REPEAT_S: Final = 30.0
"""Longest pause, in seconds, after which discord.py retries a request."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A 429, and its meaning."""

    refusal: Refusal
    headers: Mapping[str, str]  #: as Discord would have sent them for this meaning
    is_repeated: bool  #: whether discord.py waits for the right time, and retries

    def require_repeat(self, what: str) -> None:
        """Raise the error for the request *what*, unless discord.py retries it."""
        if not self.is_repeated:
            raise error_of(self.refusal, what)


async def read_refused(response: aiohttp.ClientResponse) -> Refused:
    """Read an answer of 429, and its body as far as needed."""
    body = await _read_in_time(response)
    refusal = Refusal.read(response.headers, body, datetime.now(UTC))
    is_repeated = _is_repeated(response.headers, body, refusal)
    return Refused(refusal, refusal.headers(response.headers), is_repeated)


def error_of(refusal: Refusal, what: str) -> RaysyncError:
    """Return the error for *refusal* of the request *what*."""
    if refusal.scope is Scope.BAN:
        return BannedError.lasting_until(datetime.now(UTC) + timedelta(seconds=refusal.pause_s))
    return RateLimitedError(f"{what}: Discord asks for a pause.", refusal.retry_after_s)


async def _read_in_time(response: aiohttp.ClientResponse) -> bytes:
    """Return the bounded body; an empty one where it breaks off or does not come in time."""
    try:
        async with asyncio.timeout(_BODY_S):
            return await response.read()
    except (aiohttp.ClientError, OSError):  # a timeout is one
        return b""


def _is_repeated(headers: Mapping[str, str], body: bytes, refusal: Refusal) -> bool:
    if refusal.scope is Scope.BAN or refusal.pause_s > LONGEST_REPEAT_S:
        return False
    if not headers.get("via") or headers.get("content-type") != "application/json":
        return False
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    asked_s = document.get("retry_after") if isinstance(document, dict) else None
    if not isinstance(asked_s, int | float) or isinstance(asked_s, bool):
        return False
    # discord.py goes by the body, and the header may ask for more; the first does not hold for NaN
    return 0 <= asked_s <= LONGEST_REPEAT_S and refusal.pause_s - asked_s <= _ROUNDING_S
