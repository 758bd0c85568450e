"""What an answer of the API says: its status first, then as much of its body as is bounded.

discord.py parses a body before it looks at the status, and knows one spelling of one content type.
So what it makes of an odd body is not believed: the status says what kind of answer it is, and the
body only adds Discord's own code.
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

MOST_BYTES: Final = 16 << 20
"""Of an answer's body, decompressed. A hundred messages with everything take a tenth of it."""
MOST_ERROR_BYTES: Final = 1 << 20
"""Of the body of an error, which needs a few hundred bytes; web pages of proxies are longer."""
_EXACT_JSON: Final = "application/json"
"""The only content type whose body discord.py parses."""
_LONGEST_TEXT: Final = 1_000
_MOST_CODE: Final = 1 << 31
_BYTE_ORDER_MARK: Final = "\ufeff"
_INT64: Final = range(-(1 << 63), 1 << 64)


class AnswerTooLongError(aiohttp.ClientPayloadError):
    """The body exceeds what an answer may have; the rest of it was not read."""


class UnreadFailureError(discord.HTTPException):
    """A failure of whose body nothing is known: it is cut short, or too long."""


class NotJsonError(ValueError):
    """The content type is not that of JSON, so whoever answered is hardly Discord."""


class _BoundedContent:
    """aiohttp's stream of a body, which breaks off where the body is too long."""

    def __init__(self, content: aiohttp.StreamReader, most_bytes: int) -> None:
        self._content = content
        self._left = most_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, n: int = -1) -> bytes:
        """Read up to *n* bytes, or all: what is there at a time.

        Asked for all, aiohttp would inflate it at once. So it inflates 256 kB, and waits.
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
    """Bound what is read of an answer's body. A client middleware of aiohttp's."""
    response = await handler(request)
    most_bytes = MOST_BYTES if is_success(response) else MOST_ERROR_BYTES
    content = _BoundedContent(response.content, most_bytes)
    response.content = cast("aiohttp.StreamReader", content)
    return response


def is_success(response: aiohttp.ClientResponse) -> bool:
    """Say whether the status is one that comes with what was asked for."""
    return 200 <= response.status < 300


def value_of(response: aiohttp.ClientResponse, found: Any) -> Any:
    """Return the JSON of an answer that discord.py has read as *found*.

    Raises:
        NotJsonError: it is something else.
        ValueError: it is no JSON in spite of its content type.
    """
    if isinstance(found, str) and response.headers.get("content-type") != _EXACT_JSON:
        if not _is_json(response):
            raise NotJsonError("the content type is another")
        return _parsed(found)
    return found


def value_in(error: ValueError, response: aiohttp.ClientResponse) -> Any:
    """Return the JSON of an answer that discord.py, which parses by orjson, refused with *error*.

    Half a surrogate pair is JSON to Discord and to Python, and not to orjson. Bytes that are no
    text are kept in a list of records alone: of one it is known that it is no error's answer.

    Raises:
        ValueError: it is no JSON.
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
    """Return the failure that the status of *response* tells.

    Its code and text are Discord's where the body is Discord's JSON. Else it has no code, and its
    text is the body's beginning.
    """
    try:
        text = await response.text(encoding="utf-8", errors="replace")
    except (aiohttp.ClientError, OSError, RuntimeError):  # cut short, or too long
        return UnreadFailureError(response, "")
    if response.status == 429:  # what is in it, and what is not, tells a limit from a ban
        return discord.HTTPException(response, text)
    body = _object_in(text) if _is_json(response) else None
    if body is None:
        return discord.HTTPException(response, text[:_LONGEST_TEXT])
    message = body.get("message")
    told = message[:_LONGEST_TEXT] if isinstance(message, str) else ""
    return discord.HTTPException(response, {"code": _as_code(body.get("code")), "message": told})


def code_of(error: discord.HTTPException) -> int:
    """Return Discord's code of a failure, or 0: what stands in its place may be anything."""
    return _as_code(error.code)


def _object_in(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text.removeprefix(_BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _as_code(found: object) -> int:
    is_code = isinstance(found, int) and not isinstance(found, bool) and 0 < found < _MOST_CODE
    return cast("int", found) if is_code else 0


def _is_json(response: aiohttp.ClientResponse) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == _EXACT_JSON or (kind.startswith("application/") and kind.endswith("+json"))


def _parsed(text: str) -> Any:
    """Return *text* as orjson would, but with halves of surrogate pairs.

    Of records, or of an object, what no parser takes costs itself alone. A byte order mark says
    nothing.
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
        isinstance(found, list) and any(isinstance(each, dict) for each in found)
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
