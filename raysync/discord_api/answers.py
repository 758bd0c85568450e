"""The reading of an answer: its status first, then its body, up to a bound.

discord.py parses a body before it looks at the status, and knows one spelling of one content type.
So its reading of an odd body is not believed. The status decides the kind of answer, and the body
only adds Discord's own code.
"""

from __future__ import annotations

import json
import math
from json import JSONDecodeError
from typing import Any, Final, NoReturn, cast

import aiohttp
import discord
import orjson

from raysync.discord_api import lenient_json

MAX_BYTES: Final = 16 << 20
"""Longest body of an answer, decompressed. A hundred full messages take a tenth of it."""
MAX_ERROR_BYTES: Final = 1 << 20
"""Longest body of an error. Discord's have a few hundred bytes; proxies send web pages."""
_EXACT_JSON: Final = "application/json"
"""The only content type whose body discord.py parses."""
_MAX_TEXT: Final = 1_000
_MAX_CODE: Final = 1 << 31
_BYTE_ORDER_MARK: Final = "\ufeff"
_INT64: Final = range(-(1 << 63), 1 << 64)


class AnswerTooLongError(aiohttp.ClientPayloadError):
    """The body is longer than any answer may be; the rest was not read."""


class UnreadFailureError(discord.HTTPException):
    """A failure whose body is unknown, since it was cut short or too long."""


class NotJsonError(ValueError):
    """The content type is not JSON, so the answer is hardly Discord's."""


class _BoundedContent:
    """aiohttp's stream of a body, which raises where the body is too long."""

    def __init__(self, content: aiohttp.StreamReader, max_bytes: int) -> None:
        self._content = content
        self._left = max_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, n: int = -1) -> bytes:
        """Read up to *n* bytes, or all bytes in pieces.

        aiohttp would inflate all bytes at once. In pieces, it inflates 256 kB at a time.
        """
        if n >= 0:
            return self._counted(await self._content.read(n))
        pieces = []
        while piece := await self._content.readany():
            pieces.append(self._counted(piece))
        return b"".join(pieces)

    def _counted(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            raise AnswerTooLongError("the body is too long")
        return piece


async def bounded(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Bound the reading of an answer's body, as a client middleware of aiohttp."""
    response = await handler(request)
    max_bytes = MAX_BYTES if is_success(response) else MAX_ERROR_BYTES
    content = _BoundedContent(response.content, max_bytes)
    response.content = cast("aiohttp.StreamReader", content)
    return response


def is_success(response: aiohttp.ClientResponse) -> bool:
    """Return whether the status is a success."""
    return 200 <= response.status < 300


def value_of(response: aiohttp.ClientResponse, found: Any) -> Any:
    """Return the JSON of an answer that discord.py has read as *found*.

    Raises:
        NotJsonError: the content type is another one.
        ValueError: the body is no JSON in spite of its content type.
    """
    if isinstance(found, str) and response.headers.get("content-type") != _EXACT_JSON:
        if not _is_json(response):
            raise NotJsonError("the content type is another")
        return _parsed(found)
    return found


def value_in(error: ValueError, response: aiohttp.ClientResponse) -> Any:
    """Return the JSON of an answer that discord.py, which parses by orjson, refused with *error*.

    Half a surrogate pair is JSON to Discord and to Python, but not to orjson. Bytes that are no
    text are kept in a list of records only, since a list is never an error's answer.

    Raises:
        ValueError: the body is no JSON.
    """
    match error:
        case JSONDecodeError():
            return _parsed(error.doc)
        case UnicodeDecodeError() if _is_json(response):
            body = bytes(error.object)
            if body.removeprefix(_BYTE_ORDER_MARK.encode()).lstrip().startswith(b"["):
                return _parsed(body.decode(errors="surrogateescape"))
    raise error


async def failure_of(response: aiohttp.ClientResponse) -> discord.HTTPException:
    """Return the failure that the status of *response* stands for.

    Its code and text are Discord's where the body is Discord's JSON. Otherwise it has no code, and
    its text is the beginning of the body.
    """
    try:
        text = await response.text(encoding="utf-8", errors="replace")
    except (aiohttp.ClientError, OSError, RuntimeError):  # cut short, or too long
        return UnreadFailureError(response, "")
    if response.status == 429:  # the whole body distinguishes a rate limit from a ban
        return discord.HTTPException(response, text)
    body = _object_in(text) if _is_json(response) else None
    if body is None:
        return discord.HTTPException(response, text[:_MAX_TEXT])
    message = body.get("message")
    shown = message[:_MAX_TEXT] if isinstance(message, str) else ""
    return discord.HTTPException(response, {"code": _as_code(body.get("code")), "message": shown})


def code_of(error: discord.HTTPException) -> int:
    """Return Discord's code of a failure, or 0 where the value is none."""
    return _as_code(error.code)


def _object_in(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text.removeprefix(_BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _as_code(found: object) -> int:
    is_code = isinstance(found, int) and not isinstance(found, bool) and 0 < found < _MAX_CODE
    return cast("int", found) if is_code else 0


def _is_json(response: aiohttp.ClientResponse) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == _EXACT_JSON or (kind.startswith("application/") and kind.endswith("+json"))


def _parsed(text: str) -> Any:
    """Parse *text* as orjson would, but allow halves of surrogate pairs.

    A value that no parser accepts is lost alone, without its record or object. A byte order mark is
    ignored.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    try:
        return orjson.loads(text)
    except JSONDecodeError:
        pass
    try:
        return json.loads(
            text, parse_constant=_refuse, parse_float=_finite, parse_int=_as_orjson_does
        )
    except (RecursionError, ValueError):
        found = lenient_json.parse(text)
    if _holds_records(found):
        return found
    raise ValueError("these are no records")


def _holds_records(found: Any) -> bool:
    return isinstance(found, dict) or (
        isinstance(found, list) and any(isinstance(record, dict) for record in found)
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number beyond all bounds")
    return number


def _as_orjson_does(digits: str) -> int | float:
    number = int(digits)
    return number if number in _INT64 else _finite(digits)
