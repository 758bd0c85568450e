"""The limits as settings: which routes, which algorithm, which headers, whose clock."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Form(StrEnum):
    """How a limit of so many in a window is held."""

    SLIDING = "sliding"  #: a leaky bucket: capacity drains evenly over the window
    FIXED = "fixed"  #: so many in a window that opens with its first request
    SLIDING_LOG = "sliding-log"  #: so many in any stretch as long as the window


class Headers(StrEnum):
    """What the rate limit headers of an answer tell."""

    HONEST = "honest"  #: the bucket's true state
    MASKED = "masked"  #: 999 of 1000 until a 429 shows the truth under another hash
    NONE = "none"  #: no rate limit header at all, but Retry-After on a 429


class BanBody(StrEnum):
    """How a banned address is answered."""

    JSON = "json"
    HTML = "html"


class Refusals(StrEnum):
    """In which shape a 429 of Discord's own comes."""

    USUAL = "usual"  #: as documented
    HEADER_ONLY = "header-only"  #: `Retry-After`, and no `retry_after` in the body
    BODY_ONLY = "body-only"  #: `retry_after`, and no `Retry-After` header
    DATE = "date"  #: `Retry-After` is an HTTP date, as some proxies write it
    NEGATIVE = "negative"  #: both are below 0
    NAN = "nan"  #: both are NaN
    HUGE = "huge"  #: both are 1,000,000,000 s
    NO_VIA = "no-via"  #: a proxy took `Via` out


@dataclass(frozen=True, slots=True)
class RouteLimit:
    """*limit* requests in *window_s*; per channel or guild of the path, or for the bot."""

    limit: int
    window_s: float
    by_major: bool = True


_CHANNEL: Final = "GET /channels/{channel_id}"
_GUILD: Final = "GET /guilds/{guild_id}"

OBSERVED_ROUTES: Final[Mapping[str, RouteLimit]] = MappingProxyType(
    {
        f"{_CHANNEL}/messages": RouteLimit(5, 5.0),
        f"{_CHANNEL}/messages/{{message_id}}": RouteLimit(5, 5.0),
        f"{_CHANNEL}/messages/pins": RouteLimit(6, 5.0, by_major=False),
        f"{_CHANNEL}/pins": RouteLimit(1, 5.0, by_major=False),
        _CHANNEL: RouteLimit(1000, 1.0, by_major=False),
        f"{_CHANNEL}/threads/search": RouteLimit(1, 1.0),
        f"{_GUILD}/messages/search": RouteLimit(1, 1.0),
        f"{_GUILD}/members": RouteLimit(10, 10.0),
        f"{_GUILD}/members/{{user_id}}": RouteLimit(5, 1.0),
        "GET /users/{user_id}": RouteLimit(30, 30.0, by_major=False),
        "GET /users/@me/guilds": RouteLimit(1, 1.0, by_major=False),
        "GET /gateway/bot": RouteLimit(2, 5.0, by_major=False),
    }
)
"""What people have observed of Discord. None of it is official."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything that ends in 429 or a ban.

    *speed* makes the limits' time run faster: windows, and the waits told, shrink by it.
    *clock* (seconds, monotonic) may be a test's own. *retry_header_extra_s* is added to the
    Retry-After header alone, so that it differs from the body as Discord's sometimes does.
    With *ban_retry_after* a ban says how long it still lasts, and, where it is no page, is the
    text `error code: 1015`.
    """

    enabled: bool = True
    bucket_form: Form = Form.SLIDING
    headers: Headers = Headers.HONEST
    routes: Mapping[str, RouteLimit] = field(default_factory=lambda: OBSERVED_ROUTES)
    shared_routes: Mapping[str, RouteLimit] = field(default_factory=dict)
    global_limit: int = 50
    global_window_s: float = 1.0
    global_form: Form = Form.FIXED
    invalid_limit: int = 10_000
    invalid_window_s: float = 600.0
    ban_s: float = 3600.0
    ban_body: BanBody = BanBody.JSON
    ban_retry_after: bool = False
    refusals: Refusals = Refusals.USUAL
    retry_header_extra_s: float = 0.0
    speed: float = 1.0
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def off(cls) -> "Limits":
        """Return limits that never refuse and show no header."""
        return cls(enabled=False)

    def now_s(self) -> float:
        """Return the limits' time."""
        return self.clock() * self.speed
