"""Many refusals with one cause: a run that is refused everywhere stops, and says so once.

One refusal is its channel's, and the channel is given up. The same refusal in channel after
channel, with no answer let through between, is no channel's: the bot lost its role, a firewall
answers in Discord's place, or Discord refuses for a reason that nobody knows. Each refusal counts
toward a ban of the address, so nothing more is asked.

Two bounds, each within a minute, on one route and in ten channels at least:

* `UNEXPLAINED` pages refused with 401, with 403, or with a 429 that no limit explains: it is not
  in Discord's words, or refuses the first request in its channel for a minute. Permissions are
  computed before a page is asked for, and buckets are kept, so none of these is expected.
* `IN_A_ROW` answers of 401, 403 or 429, whatever was asked for and whatever their reason. Whether
  a channel exists is asked where a 403 is an answer, and a list of threads is one of many.

A limit that is lower than believed refuses all requests under way once, which is below the second
bound. Where it goes on, answers are let through between. What is shared or global is held by the
limiter, and slows down by itself, so it counts toward the second bound alone.
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
IN_A_ROW: Final = 100
CHANNELS: Final = 10
WITHIN_S: Final = 60.0
_REMEMBERED: Final = 4096
_PAGES: Final = "GET /channels/{channel_id}/messages"

_REASONS: Final = {
    401: "it rejects the token (401)",
    403: "the bot has no access (403)",
    429: "too many requests (429), though the budget was kept",
}
_ADVICE: Final = {
    401: "Copy the token anew (Discord Developer Portal, your application, Bot, Reset Token), and",
    403: (
        "Look whether the bot is still in the server, with its role: `raysync doctor`. Then read "
        "the channels that were given up with `raysync dead-letters retry`, and"
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
    """Counts the refusals of one client since an answer was last let through, by route."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._refused: dict[str, deque[_Refused]] = {}
        self._let_through_s: dict[tuple[str, str], float] = {}
        self._why: str | None = None

    def note(
        self, route: str, channel: str | None, status: int, refusal: Refusal | None = None
    ) -> None:
        """Take in an answer; *refusal* is what it means where it is a 429."""
        key, now_s = (route, channel or ""), self._clock_s()
        if 200 <= status < 300 or status == 404:  # that is an answer, too
            self._note_success(key, now_s)
        elif status in (401, 403, 429) and (refusal is None or refusal.scope is not Scope.BAN):
            is_explained = refusal is not None and self._explains(refusal, key, now_s)
            refused = self._refused.setdefault(route, deque(maxlen=IN_A_ROW))
            refused.append(_Refused(now_s, channel or "", status, is_explained))
            most = UNEXPLAINED if route == _PAGES else IN_A_ROW
            self._why = self._why or _judge(refused, now_s, most)

    def require(self) -> None:
        """Raise RunStoppedError where nothing more is to be asked."""
        if self._why is not None:
            raise RunStoppedError(self._why)

    def _note_success(self, key: tuple[str, str], now_s: float) -> None:
        if key[0] == _PAGES:
            self._refused.clear()  # messages are read: what else is refused is no common cause
        self._refused.pop(key[0], None)
        self._let_through_s[key] = now_s
        if len(self._let_through_s) > _REMEMBERED:
            gone_s = now_s - WITHIN_S
            self._let_through_s = {
                each: at_s for each, at_s in self._let_through_s.items() if at_s > gone_s
            }

    def _explains(self, refusal: Refusal, key: tuple[str, str], now_s: float) -> bool:
        """Whether a limit explains the 429: somebody's, or of what was asked there lately."""
        if refusal.scope is not Scope.USER:
            return True
        let_through_s = self._let_through_s.get(key)
        was_used = let_through_s is not None and now_s - let_through_s <= WITHIN_S
        return refusal.is_known and was_used


def _judge(refused: deque[_Refused], now_s: float, most_unexplained: int) -> str | None:
    lately = [each for each in refused if each.at_s > now_s - WITHIN_S]
    for status in _REASONS:
        alike = [each for each in lately if each.status == status and not each.is_explained]
        if len(alike) >= most_unexplained and _channels(alike) >= CHANNELS:
            return _sentences(alike, status)
    if len(lately) >= IN_A_ROW and _channels(lately) >= CHANNELS:
        return _sentences(lately, lately[-1].status)
    return None


def _channels(refused: list[_Refused]) -> int:
    return len({each.channel for each in refused})


def _sentences(refused: list[_Refused], status: int) -> str:
    return (
        f"Discord refused {len(refused)} requests one after another, in {_channels(refused)} "
        f"channels, and let none through: {_REASONS[status]}. That is one cause, and refusals "
        f"lead to a ban of this address, so nothing more is asked. {_ADVICE[status]} run it again: "
        "it goes on where it stopped."
    )
