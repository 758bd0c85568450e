"""JSON inside a text, as bots and AutoMod write it. Only the ids in it change."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from raysync.discord_api.people.id_classifier import IdClassifier
from raysync.discord_api.people.key_kinds import ROOT, Kind, is_of_things, kind_of

_TOKEN: Final = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")(?P<is_key>\s*:)?|(?P<number>-?[0-9][0-9.eE+-]*)'
    r"|(?P<open>[{\[])|(?P<close>[}\]])",
    re.DOTALL,
)


def rewritten_json(text: str, rewrite: Callable[[str], str], ids: IdClassifier) -> str | None:
    """Rewrite the ids in a JSON text and keep it valid. Return None for any other text.

    Names stay, as they do in any other text.
    """
    try:
        if not isinstance(json.loads(text), (dict, list)):
            return None
    except (ValueError, RecursionError):
        return None
    return _TOKEN.sub(_Rewriting(rewrite, ids), text)


class _Rewriting:
    """Pass over the tokens of a JSON text."""

    def __init__(self, rewrite: Callable[[str], str], ids: IdClassifier) -> None:
        self._rewrite = rewrite
        self._ids = ids
        self._parents: list[str] = []  # keys on the path to the current object or list
        self._key = ""

    def __call__(self, matched: re.Match[str]) -> str:
        token = matched[0]
        match matched.lastgroup:
            case "is_key":
                self._key = json.loads(matched["text"])
                return _as_json(self._rewrite(self._key), matched["text"]) + matched["is_key"]
            case "text":
                value = json.loads(token)
                if value.isascii() and value.isdigit() and self._is_thing():
                    return _as_json(self._ids.thing_id(value), token)
                return _as_json(self._rewrite(value), token)
            case "number":
                return self._number(token)
            case "open":
                self._parents.append(self._key)
            case _:
                self._key = self._parents.pop()
        return token

    def _number(self, token: str) -> str:
        value = json.loads(token)
        if isinstance(value, int) and self._is_thing():
            kept_id = self._ids.thing_id(str(value))
            return token if kept_id == str(value) else json.dumps(kept_id)
        ref = self._ids.number_ref(value)
        return token if ref is None else json.dumps(ref)

    def _is_thing(self) -> bool:
        """Return whether the value is in the place of a thing's id."""
        kind = kind_of(self._key)
        parent = self._parents[-1] if self._parents else ROOT
        return kind is Kind.THING or (kind is Kind.ID and parent != ROOT and is_of_things(parent))


def _as_json(value: str, token: str) -> str:
    """Encode *value*. Return *token*, its former encoding, if the value is the same."""
    if json.loads(token) == value:
        return token
    try:
        return json.dumps(value, ensure_ascii=token.isascii()).encode().decode()
    except UnicodeEncodeError:  # a lone surrogate, which was an escape
        return json.dumps(value)
