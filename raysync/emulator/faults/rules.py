"""Fault rules: conditions on a request, and the action on a request that meets them."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Self

from raysync.emulator.api.requests import Incoming
from raysync.emulator.api.routing import Match
from raysync.emulator.faults.patterns import compiled
from raysync.emulator.limits.refusals import Scope
from raysync.emulator.limits.settings import Refusals
from raysync.emulator.world.entities import Bot
from raysync.emulator.world.messages import Payload


class Action(StrEnum):
    """Action of a rule on a request.

    The actions up to `HANG` answer before the limits count the request. The others spoil the true
    answer.
    """

    ANSWER = "answer"  #: *status* with *body*
    HTML = "html"  #: *status* with a proxy's HTML page
    BAN = "ban"  #: Cloudflare's answer to a banned address, JSON
    BAN_HTML = "ban-html"  #: that ban as an HTML page
    REDIRECT = "redirect"  #: a redirect to *location*, with *status* if that is 3xx, else 302
    BAN_CODE = "ban-code"  #: that ban as the text `error code: 1015`, with Retry-After
    REFUSE = "refuse"  #: Discord's own 429 with *scope*, *retry_after_s* and *shape*
    SHARED = "shared"  #: a 429 of the shared scope with *retry_after_s*
    RESET = "reset"  #: the connection is reset
    HANG = "hang"  #: no answer for *delay_s* (0: a day), then the connection closes
    PASS = "pass"  # noqa: S105  #: the true answer, for rules with *delay_s* or edits only
    TRUNCATE = "truncate"  #: *keep_bytes* of the body, then the connection closes
    MALFORMED = "malformed"  #: the body cut to *keep_bytes*, with a matching length
    NULL = "null"  #: `null` instead of the body
    EMPTY = "empty"  #: `[]` instead of the body
    CONTENT_TYPE = "content-type"  #: the true body under *content_type*
    DRIP = "drip"  #: the true answer in pieces of *keep_bytes*, *delay_s* apart


MAX_EDITS: Final = 1_000
"""Edits before, or after, one answer."""
_LISTS: Final = ("nth", "before", "after")
_INTEGERS: Final = ("every", "status", "keep_bytes", "pad_bytes", "seed")
_NUMBERS: Final = ("probability", "retry_after_s", "delay_s")
_TEXTS: Final = ("method", "route", "path", "token", "content_type", "location", "body_base64")
ENCODINGS: Final = ("gzip", "deflate")
"""Content encodings of an answer. They can be nested."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def _are_headers(value: Any) -> bool:
    """Return whether *value* holds headers that an answer can have."""
    if not isinstance(value, Mapping):
        return False
    texts = [*value]
    for header in value.values():
        texts += header if isinstance(header, list) else [] if header is None else [header]
    return all(isinstance(text, str) and text.isprintable() for text in texts) and all(value)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Rule that takes requests that meet all its conditions. The first matching rule wins.

    *route* is a template (`GET /channels/{channel_id}/messages`), *path* a regular expression
    without look-around, back references and flags (see `patterns`). A rule with *cdn* concerns
    requests to the CDN, any other those to the API.

    A rule takes the *nth* matching requests (1 is the first) or every *every*-th, of these a random
    share of *probability* (repeatable by *seed*), and at most *times* in total.

    *before* and *after* are edits (see `Edits.apply`) around the answer. *headers* replace those of
    any answer: a value, several, or None to leave the header out. Any body is padded in front with
    spaces to *pad_bytes*, which keeps JSON equal, and sent in *encodings*, the first one innermost.
    """

    action: Action = Action.PASS
    method: str | None = None
    route: str | None = None
    path: str | None = None
    cdn: bool = False
    channel_id: int | None = None
    token: str | None = None
    nth: tuple[int, ...] = ()
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    times: int | None = None
    status: int = 500
    body: Any = None  #: a text as it is, any other value as JSON
    body_base64: str | None = None  #: replaces *body* if that is not text
    content_type: str | None = None  #: None for the type that fits the body
    location: str = "https://elsewhere.invalid/"
    pad_bytes: int = 0
    encodings: tuple[str, ...] = ()
    retry_after_s: float = 1.0
    scope: Scope = Scope.USER
    shape: Refusals = Refusals.USUAL
    headers: Mapping[str, str | list[str] | None] = field(default_factory=dict)
    delay_s: float = 0.0
    keep_bytes: int = 20
    before: tuple[Payload, ...] = ()
    after: tuple[Payload, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a path that is not a pattern, or could hang the server."""
        if isinstance(self.path, str):
            try:
                compiled(self.path)
            except ValueError as error:
                raise ValueError(f"path cannot be used in a fault rule: {error}") from None

    @classmethod
    def from_json(cls, rule: Mapping[str, Any]) -> Self:
        """Read a rule of a script. Raise ValueError that names the invalid fields."""
        known = {attribute.name for attribute in fields(cls)}
        unknown = rule.keys() - known
        if unknown:
            names = ", ".join(sorted(unknown))
            raise ValueError(f"unknown fields of a fault rule: {names}; known: {sorted(known)}")
        values = dict(rule)
        values["action"] = Action(values.get("action", Action.PASS))
        values["scope"] = Scope(values.get("scope", Scope.USER))
        values["shape"] = Refusals(values.get("shape", Refusals.USUAL))
        if values.get("channel_id") is not None:
            values["channel_id"] = int(values["channel_id"])
        for name in ("nth", "before", "after", "encodings"):
            values[name] = tuple(values.get(name, ()))
        made = cls(**values)
        made._validate()
        return made

    def _validate(self) -> None:
        """Raise ValueError for values with which a server cannot answer."""
        invalid = [
            name
            for name in _INTEGERS
            if not _is_number(getattr(self, name)) or getattr(self, name) % 1
        ]
        invalid += [name for name in _NUMBERS if not _is_number(getattr(self, name))]
        invalid += [name for name in _TEXTS if not isinstance(getattr(self, name), str | None)]
        if not invalid and not (self.every >= 1 and 200 <= self.status <= 599):
            invalid = ["every", "status"]
        if not set(self.encodings) <= set(ENCODINGS):
            invalid.append("encodings")
        if not _are_headers(self.headers):
            invalid.append("headers")
        invalid += [name for name in _LISTS if len(getattr(self, name)) > MAX_EDITS]
        if invalid:
            raise ValueError(f"invalid fields of a fault rule: {', '.join(invalid)}")
        try:
            base64.b64decode(self.body_base64 or "", validate=True)
        except ValueError:
            raise ValueError("invalid fields of a fault rule: body_base64") from None

    def matches(self, incoming: Incoming, match: Match | None, bot: Bot | None) -> bool:
        """Return whether a request meets all conditions, counts aside."""
        if self.cdn != incoming.cdn:
            return False
        if self.method is not None and incoming.method != self.method:
            return False
        if self.route is not None and (match is None or match.route.name != self.route):
            return False
        if self.path is not None and not compiled(self.path).search(incoming.path):
            return False
        if self.token is not None and (bot is None or bot.token != self.token):
            return False
        channel = match.values.get("channel_id") if match else None
        return self.channel_id is None or channel == str(self.channel_id)
