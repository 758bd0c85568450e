"""A lenient parser of Discord's answers: one odd record must not cost the others.

orjson refuses half a surrogate pair, NaN, numbers beyond a float's range and more than 1,024
levels. Python's own parser takes the first three, and refuses about 1,000 levels and numbers of
more than 4,300 digits. What both refuse is read in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecodeError, loads
from typing import Any, Final

_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)
"""A string, a separator of values, or the beginning of a string without an end."""
_CLOSING: Final = {"[": "]", "{": "}"}
_LEVELS_IN_PIECES: Final = 5
"""Levels read in pieces: an answer, its list, a record, a field of it, and a list in it."""


class Pieced(dict[str, Any]):
    """An object with at least one unreadable value, at this level or below."""


class _Unparsed:
    """The type of `UNPARSED`."""

    def __repr__(self) -> str:
        return "UNPARSED"


UNPARSED: Final = _Unparsed()
"""Substitute for a value that could not be read. No reader accepts it."""


def parse(document: str) -> Any:
    """Return the value of *document*.

    A list's records are read one by one if necessary. An error's answer is never a list, and an
    answer that was cut off closes none of its brackets.

    Raises:
        JSONDecodeError: the document is no JSON, or was cut off.
    """
    try:
        return loads(document)
    except JSONDecodeError:
        if not document.lstrip().startswith("["):
            raise
    except (RecursionError, ValueError):
        pass
    found, _ = _pieces(document, _LEVELS_IN_PIECES)
    return found


def _pieces(text: str, levels: int) -> tuple[Any, bool]:
    """Return a value, and whether all of it was read."""
    try:
        return loads(text), True
    except (RecursionError, ValueError):
        pass
    text = text.strip()
    kind = text[:1]
    if not levels or kind not in _CLOSING:
        return UNPARSED, False
    parts = list(_parts(text, kind))
    if kind == "[":
        return [_pieces(part, levels - 1)[0] for part in parts], False
    return _object(parts, levels), False


def _object(parts: list[str], levels: int) -> Pieced:
    found = Pieced()
    for part in parts:
        key = _TOKEN.match(part.lstrip())
        if key is None or not key[0].startswith('"'):
            continue
        _, colon, value = part.lstrip()[key.end() :].partition(":")
        try:
            name = loads(key[0])
        except ValueError:
            continue
        if colon:
            found[name] = _pieces(value, levels - 1)[0]
    return found


def _parts(text: str, kind: str) -> Iterator[str]:
    """Yield the texts between the commas of one level.

    Raises JSONDecodeError if the level is not closed.
    """
    open_, start = [], 1
    for token in _TOKEN.finditer(text):
        mark, at = token[0], token.start()
        if mark == '"':
            raise JSONDecodeError("a text has no end", text[:0], 0)
        if mark in _CLOSING:
            open_.append(_CLOSING[mark])
        elif mark in ("]", "}"):
            if not open_ or mark != open_.pop():
                raise JSONDecodeError("a bracket is not closed", text[:0], 0)
            if not open_:
                if text[at + 1 :].strip():
                    raise JSONDecodeError("something follows", text[:0], 0)
                if text[start:at].strip():
                    yield text[start:at]
                return
        elif mark == "," and len(open_) == 1:
            yield text[start:at]
            start = at + 1
    raise JSONDecodeError(f"a {kind} is not closed", text[:0], 0)
