"""Faults on demand: ordered rules, each saying which request and what happens to it."""

import base64
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Self

from raysync.emulator.entities import Bot
from raysync.emulator.limits import Refusals
from raysync.emulator.messages import Payload
from raysync.emulator.refusals import Scope
from raysync.emulator.routing import Match


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came in; *path* is without the /api/v10, of a CDN's whole."""

    method: str
    path: str
    query: str
    address: str
    authorization: str | None
    user_agent: str
    body: bytes = b""
    cdn: bool = False


class Action(StrEnum):
    """What happens to a request that a rule takes.

    Those of the first kind answer before the limits see the request; those of the second
    spoil the true answer.
    """

    ANSWER = "answer"  #: *status* with *body*
    HTML = "html"  #: *status* with a page as proxies make them
    BAN = "ban"  #: Cloudflare's answer to a banned address, JSON
    BAN_HTML = "ban-html"  #: the same as a page
    REDIRECT = "redirect"  #: *status*, or 302 where that is no redirect's, to *location*
    BAN_CODE = "ban-code"  #: the same as the text `error code: 1015`, with a Retry-After
    REFUSE = "refuse"  #: Discord's own 429 of *scope* with *retry_after_s*, in *shape*
    SHARED = "shared"  #: 429 of the shared scope with *retry_after_s*
    RESET = "reset"  #: the connection is reset
    HANG = "hang"  #: no answer for *delay_s* (0: ever), then the connection closes
    PASS = "pass"  # noqa: S105  #: the true answer; for *delay_s* and edits alone
    TRUNCATE = "truncate"  #: only *keep_bytes* of the body, then the connection closes
    MALFORMED = "malformed"  #: the body cut to *keep_bytes*, its length telling so
    NULL = "null"  #: `null` in place of the body
    EMPTY = "empty"  #: `[]` in place of the body
    CONTENT_TYPE = "content-type"  #: the true body under *content_type*
    DRIP = "drip"  #: the true answer, *keep_bytes* of its body at a time, *delay_s* apart


_WHOLE: Final = ("every", "status", "keep_bytes", "pad_bytes", "seed")
_NUMBERS: Final = ("probability", "retry_after_s", "delay_s")
_TEXTS: Final = ("method", "route", "path", "token", "content_type", "location", "body_base64")
ENCODINGS: Final = ("gzip", "deflate")
"""Content encodings an answer can be sent in, one on the other."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def _are_headers(value: Any) -> bool:
    """Say whether an answer can carry them."""
    if not isinstance(value, Mapping):
        return False
    texts = [*value]
    for each in value.values():
        texts += each if isinstance(each, list) else [] if each is None else [each]
    return all(isinstance(each, str) and each.isprintable() for each in texts) and all(value)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Takes requests that fit every condition given; the first fitting rule wins.

    *route* is a template (`GET /channels/{channel_id}/messages`), *path* a regular expression.
    With *cdn* it is about requests to the CDN alone, else about those to the API.
    Of the fitting requests it takes the *nth* ones (1 is the first), every *every*-th, those
    that *probability* picks (repeatably, by *seed*), and at most *times* in all.
    *before* and *after* are edits (see `Edits.apply`) made around the answer. *headers* take the
    place of those that the answer would have, whatever the action: a text, several, or None for
    none of that name. Whatever is answered, its body is padded with blanks in front to
    *pad_bytes*, which leaves JSON the same, and sent in *encodings*, the first one innermost.
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
    body: Any = None  #: text as it is, anything else as JSON
    body_base64: str | None = None  #: instead of *body*, where it is no text
    content_type: str | None = None  #: None: what goes with the body
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

    @classmethod
    def from_json(cls, rule: Mapping[str, Any]) -> Self:
        """Read a rule of a script; ValueError names what is wrong with it."""
        known = {each.name for each in fields(cls)}
        unknown = rule.keys() - known
        if unknown:
            raise ValueError(f"unknown in a fault rule: {', '.join(sorted(unknown))}")
        values = dict(rule)
        values["action"] = Action(values.get("action", Action.PASS))
        values["scope"] = Scope(values.get("scope", Scope.USER))
        values["shape"] = Refusals(values.get("shape", Refusals.USUAL))
        if values.get("channel_id") is not None:
            values["channel_id"] = int(values["channel_id"])
        for name in ("nth", "before", "after", "encodings"):
            values[name] = tuple(values.get(name, ()))
        made = cls(**values)
        made._require_sense()
        return made

    def _require_sense(self) -> None:
        """Raise ValueError where a value cannot be what it is for: a server cannot answer so."""
        wrong = [
            name
            for name in _WHOLE
            if not _is_number(getattr(self, name)) or getattr(self, name) % 1
        ]
        wrong += [name for name in _NUMBERS if not _is_number(getattr(self, name))]
        wrong += [name for name in _TEXTS if not isinstance(getattr(self, name), str | None)]
        if not wrong and not (self.every >= 1 and 200 <= self.status <= 599):
            wrong = ["every", "status"]
        if not set(self.encodings) <= set(ENCODINGS):
            wrong.append("encodings")
        if not _are_headers(self.headers):
            wrong.append("headers")
        if wrong:
            raise ValueError(f"cannot be used in a fault rule: {', '.join(wrong)}")
        try:
            base64.b64decode(self.body_base64 or "", validate=True)
        except ValueError:
            raise ValueError("cannot be used in a fault rule: body_base64") from None
        try:
            re.compile(self.path or "")
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from None

    def fits(self, incoming: Incoming, match: Match | None, bot: Bot | None) -> bool:
        """Say whether a request meets the conditions."""
        if self.cdn != incoming.cdn:
            return False
        if self.method is not None and incoming.method != self.method:
            return False
        if self.route is not None and (match is None or match.route.name != self.route):
            return False
        if self.path is not None and not re.search(self.path, incoming.path):
            return False
        if self.token is not None and (bot is None or bot.token != self.token):
            return False
        channel = match.values.get("channel_id") if match else None
        return self.channel_id is None or channel == str(self.channel_id)


@dataclass(slots=True)
class _Progress:
    fitting: int = 0
    taken: int = 0
    dice: random.Random = field(default_factory=random.Random)


class FaultScript:
    """Rules with how far each has come."""

    def __init__(self, *rules: FaultRule) -> None:
        self.rules = rules
        self._progress = [_Progress(dice=random.Random(rule.seed)) for rule in rules]  # noqa: S311

    @property
    def taken(self) -> list[int]:
        """Return how many requests each rule has taken."""
        return [progress.taken for progress in self._progress]

    def choose(self, incoming: Incoming, match: Match | None, bot: Bot | None) -> FaultRule | None:
        """Return the rule that takes this request."""
        for rule, progress in zip(self.rules, self._progress, strict=True):
            if rule.fits(incoming, match, bot) and _takes(rule, progress):
                return rule
        return None


def _takes(rule: FaultRule, progress: _Progress) -> bool:
    if rule.times is not None and progress.taken >= rule.times:
        return False
    progress.fitting += 1
    chosen = progress.fitting in rule.nth if rule.nth else progress.fitting % rule.every == 0
    if not chosen or progress.dice.random() >= rule.probability:
        return False
    progress.taken += 1
    return True
