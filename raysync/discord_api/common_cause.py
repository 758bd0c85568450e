"""The stop of a run that is refused everywhere, since many refusals have one cause.

A single refusal concerns its channel, which is given up. The same refusal in channel after channel,
without a success in between, has another cause: the bot lost its role, a firewall answers in
Discord's place, or Discord refuses for an unknown reason. Each refusal counts toward a ban of the
address, so no more requests are sent.

There are two bounds, each within a minute, on one route and in at least ten channels:

* `UNEXPLAINED` pages refused with 401, 403, or a 429 that no limit explains: it is not in Discord's
  words, or it refuses the first request in its channel for a minute. None of these is expected,
  since permissions are computed and buckets kept before a page is requested.
* `IN_A_ROW` answers of 401, 403 or 429, for any request and any reason. The check whether a channel
  exists may be answered by a 403, and a list of threads is one of many.

A limit that is lower than believed refuses all requests in flight once, which is below the second
bound. Afterwards there are successes in between. The limiter holds shared and global limits, and
slows down by itself, so these count toward the second bound only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from raysync.errors import RunStoppedError
from raysync.models.refusal import Refusal, Scope

UNEXPLAINED: Final = 20
"""Number of unexplained refusals that stops a run."""
IN_A_ROW: Final = 100
"""Number of refusals of any kind, without a success in between, that stops a run."""
CHANNELS: Final = 10
"""Least number of channels that the refusals must concern."""
WITHIN_S: Final = 60.0
"""Seconds within which the refusals must lie."""
_REMEMBERED: Final = 4096
_PAGES: Final = "GET /channels/{channel_id}/messages"

_REASONS: Final = {
    401: "it rejects the token (401)",
    403: "the bot has no access (403)",
    429: "too many requests (429), though the budget was kept",
}
_ADVICE: Final = {
    401: "Copy the token again (Discord Developer Portal, your application, Bot, Reset Token), and",
    403: (
        "Check with `raysync doctor` whether the bot is still in the server, with its role. Then "
        "read the channels that were given up again with `raysync dead-letters retry`, and"
    ),
    429: (
        "Look for other programs that use this token or this address, and for a proxy or firewall "
        "on the way to Discord. Wait ten minutes, and"
    ),
}


@dataclass(frozen=True, slots=True)
class _Refused:
    at_s: float
    channel: str
    status: int
    is_explained: bool


class CommonCause:
    """The refusals of one client since its last success, by route."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._refused: dict[str, deque[_Refused]] = {}
        self._let_through_s: dict[tuple[str, str], float] = {}
        self._why: str | None = None

    def note(
        self, route: str, channel: str | None, status: int, refusal: Refusal | None = None
    ) -> None:
        """Record an answer; *refusal* is the meaning of a 429."""
        key, now_s = (route, channel or ""), self._clock_s()
        if 200 <= status < 300 or status == 404:  # a message that does not exist is an answer, too
            self._note_success(key, now_s)
        elif status in (401, 403, 429) and (refusal is None or refusal.scope is not Scope.BAN):
            is_explained = refusal is not None and self._explains(refusal, key, now_s)
            refused = self._refused.setdefault(route, deque(maxlen=IN_A_ROW))
            refused.append(_Refused(now_s, channel or "", status, is_explained))
            most = UNEXPLAINED if route == _PAGES else IN_A_ROW
            self._why = self._why or _judge(refused, now_s, most)

    def require(self) -> None:
        """Raise RunStoppedError where no more requests may be sent."""
        if self._why is not None:
            raise RunStoppedError(self._why)

    def _note_success(self, key: tuple[str, str], now_s: float) -> None:
        if key[0] == _PAGES:
            self._refused.clear()  # messages can be read, so other refusals have no common cause
        self._refused.pop(key[0], None)
        self._let_through_s[key] = now_s
        if len(self._let_through_s) > _REMEMBERED:
            gone_s = now_s - WITHIN_S
            self._let_through_s = {
                key: at_s for key, at_s in self._let_through_s.items() if at_s > gone_s
            }

    def _explains(self, refusal: Refusal, key: tuple[str, str], now_s: float) -> bool:
        """Return whether a limit explains the 429: a shared one, or one of recent requests."""
        if refusal.scope is not Scope.USER:
            return True
        let_through_s = self._let_through_s.get(key)
        was_used = let_through_s is not None and now_s - let_through_s <= WITHIN_S
        return refusal.is_known and was_used


def _judge(refused: deque[_Refused], now_s: float, most_unexplained: int) -> str | None:
    recent = [refusal for refusal in refused if refusal.at_s > now_s - WITHIN_S]
    for status in _REASONS:
        alike = [
            refusal for refusal in recent if refusal.status == status and not refusal.is_explained
        ]
        if len(alike) >= most_unexplained and _channels(alike) >= CHANNELS:
            return _sentences(alike, status)
    if len(recent) >= IN_A_ROW and _channels(recent) >= CHANNELS:
        return _sentences(recent, recent[-1].status)
    return None


def _channels(refused: list[_Refused]) -> int:
    return len({refusal.channel for refusal in refused})


def _sentences(refused: list[_Refused], status: int) -> str:
    return (
        f"Discord refused {len(refused)} requests one after another, in {_channels(refused)} "
        f"channels, without a success in between: {_REASONS[status]}. They have one cause, and "
        "refusals lead to a ban of this address, so no more requests are sent. "
        f"{_ADVICE[status]} run the command again: it continues where it stopped."
    )
