"""What discord.py and aiohttp raise, in our words. None of it holds a token or a message's text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import discord

from raysync.errors import (
    AccessDeniedError,
    BannedError,
    NotFoundError,
    PayloadError,
    PermanentError,
    RateLimitedError,
    RaysyncError,
    RetryableError,
    TokenRejectedError,
)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise the errors of `raysync.errors` for anything that goes wrong while asking for *what*."""
    try:
        yield
    except RaysyncError:
        raise
    except discord.LoginFailure:
        raise _rejected() from None
    except discord.RateLimited as error:
        raise RateLimitedError(f"Rate limited: {what}.", error.retry_after) from None
    except discord.HTTPException as error:
        raise _of_status(error, what) from None
    except TimeoutError:
        raise RetryableError(f"Discord did not answer in time: {what}.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise RetryableError(f"No answer from Discord ({type(error).__name__}): {what}.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        kind = type(error).__name__
        raise PayloadError(f"Discord's answer cannot be read ({kind}): {what}.") from error


def _of_status(error: discord.HTTPException, what: str) -> RaysyncError:
    status, code = error.status, error.code
    if status == 429:
        if "via" not in error.response.headers:
            return BannedError(
                "Discord blocks this address for exceeding its limits; bans last from 1 to 24 "
                "hours. Wait before you start again: the job is resumable."
            )
        return RateLimitedError(f"Rate limited: {what}.")
    if status == 401:
        return _rejected()
    if status == 403:
        return AccessDeniedError(f"Discord refuses access ({code}): {what}.")
    if status == 404:
        return NotFoundError(f"Discord knows nothing of it ({code}): {what}.")
    if status >= 500:
        return RetryableError(f"Discord answers {status}: {what}.")
    return PermanentError(f"Discord answers {status} ({code}): {what}.")


def _rejected() -> TokenRejectedError:
    return TokenRejectedError(
        "Discord rejects the bot token. Copy it again from the Developer Portal (your application, "
        "Bot, Reset Token) to where the tenant's token reference points."
    )
