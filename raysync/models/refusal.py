"""Meaning of a 429: a rate limit of Discord, or a ban by Cloudflare in front of it.

Discord's own 429 is JSON with `retry_after`, and mostly carries `Via` and `X-RateLimit-*`. Any one
of these may be missing: Discord omits headers, proxies drop `Via` and write `Retry-After` as a
date. Cloudflare blocks an address in three forms: JSON that says "You are being blocked"; a page,
"error 1015"; and the text `error code: 1015`. Each comes with or without `Retry-After`, and none
with `X-RateLimit-*` or `retry_after`. So no single header distinguishes the two, and `Refusal.read`
weighs all of them. It is the only place that does.

Discord's own words never count as a ban. Without any sign of Discord, a 429 counts as a ban: a
pause only costs time, but requests during a ban prolong it.
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
"""Length of the part of a body that is examined: the decisive words stand at its beginning."""
SHORTEST_BAN_S: Final = 60.0
"""Minimum pause after a ban, in seconds."""


class Scope(StrEnum):
    """Owner of the limit that refused a request."""

    USER = "user"  #: the bucket
    GLOBAL = "global"  #: the token
    SHARED = "shared"  #: the resource, for all users; does not count toward a ban
    BAN = "ban"  #: no limit of Discord: the address is blocked


LONGEST_PAUSE_S: Final[Mapping[Scope, float]] = MappingProxyType(
    {
        Scope.USER: 600.0,  # the longest window of any route; routes that read have seconds
        Scope.GLOBAL: 600.0,
        Scope.SHARED: 3600.0,  # Discord documents 1,337 s
        Scope.BAN: 86_400.0,  # bans of an hour to a day were seen
    }
)
"""Longest credible pause of each scope, in seconds. A longer one is cut to this length."""

_BLOCKED: Final = "you are being blocked"
_LIMITED: Final = ("you are being rate limited", "the resource is being rate limited")
_CLOUDFLARE: Final = re.compile(r"error(?:[ _]code)?\W{0,3}\s*10\d\d\b|cloudflare", re.IGNORECASE)
_DISCORDS: Final = re.compile(
    r'"retry_after"\s*:|"message"\s*:\s*"(?:you are|the resource is) being rate limited',
    re.IGNORECASE,
)
_GLOBAL: Final = re.compile(r'"global"\s*:\s*true')
_BUCKET: Final = ("limit", "remaining", "reset", "reset-after", "bucket", "global")
_KEPT: Final = ("date", *(f"x-ratelimit-{name}" for name in _BUCKET if name != "global"))


class _Body(Enum):
    """Kind of a body, by its text alone."""

    LIMIT = auto()  #: Discord's words for a rate limit
    BAN = auto()  #: words of Cloudflare, or of Discord on a block
    JSON = auto()  #: an object with neither
    PAGE = auto()  #: an HTML page of unknown origin
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Interpretation of one 429."""

    scope: Scope
    retry_after_s: float | None = None  #: within the scope's bounds; None if no pause is asked for
    is_known: bool = True  #: by Discord's own words or headers; False: a guess

    @classmethod
    def read(
        cls, headers: Mapping[str, str], body: bytes = b"", now: datetime | None = None
    ) -> Refusal:
        """Interpret a 429 by its headers and the beginning of its body.

        *headers* must ignore case or be in lower case. *now* serves a `Retry-After` that is a date,
        if the answer has no `Date` header.
        """
        text = body[:BODY_BYTES].decode("utf-8", "replace").strip("\ufeff \t\r\n")
        kind, document = _read_body(text)
        waits = [*waits_of(headers, now), *_waits_in(document)]
        is_known = kind is _Body.LIMIT or (kind is not _Body.BAN and _has_bucket(headers))
        if not is_known and not _looks_like_limit(kind, headers, waits):
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
        """Minimum pause before the next request, in seconds."""
        if self.retry_after_s is not None:
            return self.retry_after_s
        return BAN_S if self.scope is Scope.BAN else 1.0

    def headers(self, answered: Mapping[str, str]) -> dict[str, str]:
        """Return the headers *answered*, as Discord would have sent them with this refusal.

        `Refusal.read` interprets them in the same way, without the body.
        """
        values = {name: values_of(answered, name) for name in _KEPT}
        kept = {name: found[0] for name, found in values.items() if len(set(found)) == 1}
        if self.scope is Scope.BAN:
            kept = {name: kept[name] for name in ("date",) if name in kept}
        else:
            kept["x-ratelimit-scope"] = self.scope.value
        if self.retry_after_s is not None:
            kept["retry-after"] = str(self.retry_after_s)
        return kept


def _read_body(text: str) -> tuple[_Body, Mapping[str, Any]]:
    """Return the kind of *text*, and its JSON object, empty if it is none."""
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
    """Return whether there are headers that only Discord sends."""
    return bool(_named_scope(headers)) or any(
        value.strip() for name in _BUCKET for value in values_of(headers, f"x-ratelimit-{name}")
    )


def _looks_like_limit(kind: _Body, headers: Mapping[str, str], waits: list[float]) -> bool:
    """Return whether a 429 without Discord's words or headers is a rate limit nevertheless.

    Answers of Discord's servers pass through Google's, and bans are made before that. So with
    Google in `Via`, JSON is a limit, and so is any other body but a page if it asks for a wait.
    Without, only JSON that asks for a wait is a limit.
    """
    has_passed = any("google" in value.lower() for value in values_of(headers, "via"))
    types = (value.lower() for value in values_of(headers, "content-type"))
    is_json = kind is _Body.JSON or any(value.startswith("application/json") for value in types)
    if kind not in (_Body.JSON, _Body.NOTHING):
        return False
    return (has_passed and (is_json or bool(waits))) or (kind is _Body.JSON and bool(waits))


def _named_scope(headers: Mapping[str, str]) -> Scope | None:
    """Return the scope that a header names; None without one, or if two headers differ."""
    names = {value.strip().lower() for value in values_of(headers, "x-ratelimit-scope")}
    known = {scope.value: scope for scope in (Scope.USER, Scope.GLOBAL, Scope.SHARED)}
    return known.get(names.pop()) if len(names) == 1 else None


def _scope(headers: Mapping[str, str], text: str) -> Scope:
    named = _named_scope(headers)
    if named is Scope.SHARED:
        return named
    flags = {value.strip().lower() for value in values_of(headers, "x-ratelimit-global")}
    if named is Scope.GLOBAL or "true" in flags or _GLOBAL.search(text):
        return Scope.GLOBAL
    return Scope.USER
