"""JSON in a text, as bots and AutoMod write it: its ids change, and nothing else of the text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from raysync.discord_api.people.key_kinds import ROOT, Kind, is_of_things, kind_of
from raysync.discord_api.people.whose_ids import WhoseIds

_TOKEN: Final = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")(?P<is_key>\s*:)?|(?P<number>-?[0-9][0-9.eE+-]*)'
    r"|(?P<open>[{\[])|(?P<close>[}\]])",
    re.DOTALL,
)


def rewritten_json(text: str, rewrite: Callable[[str], str], ids: WhoseIds) -> str | None:
    """Rewrite the ids in a JSON text and keep it valid; return None for any other text.

    Names stay: they are text like what is around them.
    """
    try:
        if not isinstance(json.loads(text), (dict, list)):
            return None
    except (ValueError, RecursionError):
        return None
    return _TOKEN.sub(_Rewriting(rewrite, ids), text)


class _Rewriting:
    """One pass over the tokens of a JSON text."""

    def __init__(self, rewrite: Callable[[str], str], ids: WhoseIds) -> None:
        self._rewrite = rewrite
        self._ids = ids
        self._around: list[str] = []  # the keys that lead to the object or list
        self._key = ""

    def __call__(self, found: re.Match[str]) -> str:
        token = found[0]
        match found.lastgroup:
            case "is_key":
                self._key = json.loads(found["text"])
                return _as_json(self._rewrite(self._key), found["text"]) + found["is_key"]
            case "text":
                value = json.loads(token)
                if value.isascii() and value.isdigit() and self._is_thing():
                    return _as_json(self._ids.unless_met(value), token)
                return _as_json(self._rewrite(value), token)
            case "number":
                return self._number(token)
            case "open":
                self._around.append(self._key)
            case _:
                self._key = self._around.pop()
        return token

    def _number(self, token: str) -> str:
        value = json.loads(token)
        if isinstance(value, int) and self._is_thing():
            ref = self._ids.unless_met(str(value))
            return token if ref == str(value) else json.dumps(ref)
        ref_or_none = self._ids.person_of(value)
        return token if ref_or_none is None else json.dumps(ref_or_none)

    def _is_thing(self) -> bool:
        """Return whether the value stands in the place of a thing's id."""
        kind = kind_of(self._key)
        around = self._around[-1] if self._around else ROOT
        return kind is Kind.THING or (kind is Kind.ID and around != ROOT and is_of_things(around))


def _as_json(value: str, token: str) -> str:
    """Encode *value*, or return *token*, its former encoding, if nothing changed."""
    if json.loads(token) == value:
        return token
    try:
        return json.dumps(value, ensure_ascii=token.isascii()).encode().decode()
    except UnicodeEncodeError:  # half a surrogate pair, which was an escape
        return json.dumps(value)
