"""What an answer of 429 means: a limit of Discord's own, or a ban by what stands before it.

Discord's own 429 is JSON with `retry_after`, and mostly carries `Via` and `X-RateLimit-*`. Any one
of these may be missing: Discord leaves headers out, proxies drop `Via` and write `Retry-After` as
a date. Cloudflare blocks an address in three shapes: JSON that says "You are being blocked"; a
page, "error 1015"; and the text `error code: 1015`. Each comes with or without `Retry-After`, and
none with `X-RateLimit-*` or `retry_after`. So no single header tells one from the other, and
`Refusal.read` weighs all of them. It is the only place that does.

Discord's own words are never taken for a ban. Where nothing speaks for Discord, it is a ban: a
pause costs time, and asking in a ban prolongs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Any, Final

from raysync.errors import BAN_S
from raysync.models.header_values import bounded_wait, seconds_in, values_of, waits_of

BODY_BYTES: Final = 4096
"""How much of a body is looked at: what tells one from the other stands at its beginning."""
SHORTEST_BAN_S: Final = 60.0


class Scope(StrEnum):
    """Whose limit refused a request."""

    USER = "user"  #: the bucket's
    GLOBAL = "global"  #: the token's
    SHARED = "shared"  #: the resource's, whoever asks; does not count toward a ban
    BAN = "ban"  #: none of Discord's: the address is blocked


LONGEST_PAUSE_S: Final[Mapping[Scope, float]] = MappingProxyType(
    {
        Scope.USER: 600.0,  # the longest window of any route; those that read have seconds
        Scope.GLOBAL: 600.0,
        Scope.SHARED: 3600.0,  # Discord documents 1,337 s
        Scope.BAN: 86_400.0,  # bans of an hour to a day were seen
    }
)
"""The longest pause that is believed of each scope. Beyond, it is this long, and then one asks."""

_BLOCKED: Final = "you are being blocked"
_LIMITED: Final = ("you are being rate limited", "the resource is being rate limited")
_CLOUDFLARE: Final = re.compile(r"error(?:[ _]code)?\W{0,3}\s*10\d\d\b|cloudflare", re.IGNORECASE)
_DISCORDS: Final = re.compile(
    r'"retry_after"\s*:|"message"\s*:\s*"(?:you are|the resource is) being rate limited',
    re.IGNORECASE,
)
_GLOBAL: Final = re.compile(r'"global"\s*:\s*true')
_BUCKET: Final = ("limit", "remaining", "reset", "reset-after", "bucket", "global")
_KEPT: Final = ("date", *(f"x-ratelimit-{each}" for each in _BUCKET if each != "global"))


class _Body(Enum):
    """What a body says by itself."""

    LIMIT = auto()  #: Discord's own words
    BAN = auto()  #: Cloudflare's, or Discord's of a block
    JSON = auto()  #: an object that says neither
    PAGE = auto()  #: a page of somebody's
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer of 429, as it is understood."""

    scope: Scope
    retry_after_s: float | None = None  #: believable; None where nothing is asked for
    is_known: bool = True  #: Discord's own words or headers; False: a limit by the looks of it

    @classmethod
    def read(
        cls, headers: Mapping[str, str], body: bytes = b"", now: datetime | None = None
    ) -> Refusal:
        """Understand a 429 by its headers and the beginning of its body.

        *headers* must ignore case or be in lower case. *now* is for a `Retry-After` that is a
        date, where the answer has no `Date`.
        """
        text = body[:BODY_BYTES].decode("utf-8", "replace").strip("\ufeff \t\r\n")
        says, document = _read_body(text)
        waits = [*waits_of(headers, now), *_waits_in(document)]
        is_known = says is _Body.LIMIT or (says is not _Body.BAN and _has_bucket(headers))
        if not is_known and not _looks_like_limit(says, headers, waits):
            return cls.asking(Scope.BAN, waits)
        return replace(cls.asking(_scope(headers, text), waits), is_known=is_known)

    @classmethod
    def asking(cls, scope: Scope, waits: Iterable[float]) -> Refusal:
        """Return a refusal that asks for *waits*, within bounds."""
        wait_s = bounded_wait(waits, LONGEST_PAUSE_S[scope])
        if wait_s is not None and scope is Scope.BAN:
            wait_s = max(wait_s, SHORTEST_BAN_S)
        return cls(scope, wait_s)

    @property
    def pause_s(self) -> float:
        """How long to ask nothing, at least."""
        if self.retry_after_s is not None:
            return self.retry_after_s
        return BAN_S if self.scope is Scope.BAN else 1.0

    def headers(self, answered: Mapping[str, str]) -> dict[str, str]:
        """Return the headers *answered*, as Discord would have sent them with this refusal.

        `Refusal.read` makes the same of them without the body.
        """
        kept = {name: values_of(answered, name) for name in _KEPT}
        told = {name: values[0] for name, values in kept.items() if len(set(values)) == 1}
        if self.scope is Scope.BAN:
            told = {name: told[name] for name in ("date",) if name in told}
        else:
            told["x-ratelimit-scope"] = self.scope.value
        if self.retry_after_s is not None:
            told["retry-after"] = str(self.retry_after_s)
        return told


def _read_body(text: str) -> tuple[_Body, Mapping[str, Any]]:
    """What *text* says, and the object it is, where it is one."""
    lower = text.lower()
    if _BLOCKED in lower:
        return _Body.BAN, _document(text)
    if text.startswith("{"):
        document = _document(text)
        if _CLOUDFLARE.search(text):
            return _Body.BAN, document
        return (_Body.LIMIT if _DISCORDS.search(text) else _Body.JSON), document
    if lower.rstrip(".") in _LIMITED:
        return _Body.LIMIT, {}
    if _CLOUDFLARE.search(text):
        return _Body.BAN, {}
    return (_Body.PAGE if text.startswith("<") else _Body.NOTHING), {}


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # cut off, or no JSON
        return {}
    return document if isinstance(document, dict) else {}


def _waits_in(document: Mapping[str, Any]) -> tuple[float, ...]:
    wait_s = seconds_in(document.get("retry_after"))
    return () if wait_s is None else (wait_s,)


def _has_bucket(headers: Mapping[str, str]) -> bool:
    """Whether there are headers that only Discord sends."""
    return bool(_told_scope(headers)) or any(
        value.strip() for name in _BUCKET for value in values_of(headers, f"x-ratelimit-{name}")
    )


def _looks_like_limit(says: _Body, headers: Mapping[str, str], waits: list[float]) -> bool:
    """Whether a 429 without Discord's words or headers is a limit all the same.

    What Discord's servers answer has passed Google's, and bans do not come that far: JSON from
    there is a limit, and so is anything but a page that says when to come back. Without that, it
    takes JSON that says when.
    """
    has_passed = any("google" in value.lower() for value in values_of(headers, "via"))
    types = (value.lower() for value in values_of(headers, "content-type"))
    is_json = says is _Body.JSON or any(each.startswith("application/json") for each in types)
    if says not in (_Body.JSON, _Body.NOTHING):
        return False
    return (has_passed and (is_json or bool(waits))) or (says is _Body.JSON and bool(waits))


def _told_scope(headers: Mapping[str, str]) -> Scope | None:
    """The scope that a header names; None without one, and where two contradict."""
    told = {each.strip().lower() for each in values_of(headers, "x-ratelimit-scope")}
    known = {each.value: each for each in (Scope.USER, Scope.GLOBAL, Scope.SHARED)}
    return known.get(told.pop()) if len(told) == 1 else None


def _scope(headers: Mapping[str, str], text: str) -> Scope:
    told = _told_scope(headers)
    if told is Scope.SHARED:
        return told
    flags = {each.strip().lower() for each in values_of(headers, "x-ratelimit-global")}
    if told is Scope.GLOBAL or "true" in flags or _GLOBAL.search(text):
        return Scope.GLOBAL
    return Scope.USER
