"""Settings of the rate limits: routes, algorithms, headers, bans and the clock."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Form(StrEnum):
    """Algorithm that enforces a limit of requests in a window."""

    SLIDING = "sliding"  #: a leaky bucket: capacity drains evenly over the window
    FIXED = "fixed"  #: the limit applies to a window that opens with its first request
    SLIDING_LOG = "sliding-log"  #: the limit applies to any period as long as the window


class Headers(StrEnum):
    """Rate limit headers of an answer."""

    HONEST = "honest"  #: the bucket's true state
    MASKED = "masked"  #: 999 of 1000 until a 429 shows the true state under another hash
    NONE = "none"  #: no rate limit header, except Retry-After on a 429


class BanBody(StrEnum):
    """Body of the answer to a banned address."""

    JSON = "json"
    HTML = "html"


class Refusals(StrEnum):
    """Shape of Discord's own 429."""

    USUAL = "usual"  #: as documented
    HEADER_ONLY = "header-only"  #: `Retry-After`, without `retry_after` in the body
    BODY_ONLY = "body-only"  #: `retry_after` in the body, without a `Retry-After` header
    DATE = "date"  #: `Retry-After` is an HTTP date, as some proxies write it
    NEGATIVE = "negative"  #: both are below 0
    NAN = "nan"  #: both are NaN
    HUGE = "huge"  #: both are 1,000,000,000 s
    NO_VIA = "no-via"  #: without `Via`, as if a proxy had removed it


@dataclass(frozen=True, slots=True)
class RouteLimit:
    """Limit of *limit* requests in *window_s*, per channel or guild of the path, or per bot."""

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
"""Limits of Discord that users observed. None of them is official."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of everything that ends in a 429 or a ban.

    *speed* makes the limits' time run faster: windows and announced waits shrink by this factor.
    Tests may replace *clock* (seconds, monotonic). *retry_header_extra_s* is added to the
    Retry-After header only: Discord's header sometimes differs from the body, too. With
    *ban_retry_after* a ban announces its remaining time, and its body is the text
    `error code: 1015` unless it is a page.
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
        """Return limits that refuse nothing and send no header."""
        return cls(enabled=False)

    def now_s(self) -> float:
        """Return the time on the limits' clock, in seconds."""
        return self.clock() * self.speed
