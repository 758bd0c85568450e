"""Answers on the wire: Discord's headers, the CDN's files, and broken connections."""

import asyncio
import gzip
import re
import secrets
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from aiohttp import web

from raysync.emulator.api.replies import PLAIN_TEXT, Reply
from raysync.emulator.faults.rules import Action, FaultRule
from raysync.emulator.world.attachments import find_attachment
from raysync.emulator.world.cdn import attachment_bytes, parse_query
from raysync.emulator.world.world import World

CUTTING_ACTIONS: Final = frozenset({Action.RESET, Action.HANG, Action.TRUNCATE})
_GZIP_LEVEL: Final = 1
_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
_PIECE_BYTES: Final = 1 << 18
_MEDIA_BYTES: Final = 4096
_RANGE: Final = re.compile(r"bytes=(\d+)-")
_WIRE: Final = {
    "via": "1.1 google",
    "server": "cloudflare",
    "cf-cache-status": "DYNAMIC",
    "alt-svc": 'h3=":443"; ma=86400',
}


def respond(reply: Reply, *, banned: bool = False, gzipped: bool = False) -> web.Response:
    """Return the HTTP response of an answer. A ban comes from Cloudflare, without Via."""
    body = gzip.compress(reply.body, _GZIP_LEVEL) if gzipped else reply.body
    headers = wire_headers(reply, banned=banned)
    if gzipped:
        headers.append(("content-encoding", "gzip"))
    return web.Response(status=reply.status, body=body, headers=headers)


async def respond_in_pieces(
    request: web.BaseRequest, reply: Reply, rule: FaultRule
) -> web.StreamResponse:
    """Send an answer in chunks: padded, encoded or slowly, as the rule says."""
    response = web.StreamResponse(status=reply.status, headers=wire_headers(reply))
    if rule.encodings:
        response.headers["content-encoding"] = ", ".join(rule.encodings)
    response.enable_chunked_encoding()
    await response.prepare(request)
    is_slow = rule.action is Action.DRIP
    pieces = _padded(reply.body, rule.pad_bytes, rule.keep_bytes if is_slow else _PIECE_BYTES)
    for encoding in rule.encodings:
        pieces = _encoded(pieces, encoding)
    with suppress(ConnectionResetError):  # the client may stop reading a large answer
        for piece in pieces:
            await response.write(piece)
            if is_slow:
                await asyncio.sleep(rule.delay_s)
        await response.write_eof()
    return response


def _padded(body: bytes, pad_bytes: int, piece_bytes: int) -> Iterator[bytes]:
    blanks = b" " * piece_bytes
    for left in range(pad_bytes - len(body), 0, -piece_bytes):
        yield blanks[:left]
    for at in range(0, len(body), piece_bytes):
        yield body[at : at + piece_bytes]


def _encoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    encoder = zlib.compressobj(_GZIP_LEVEL, wbits=_WINDOW_BITS[encoding])
    for piece in pieces:
        if encoded := encoder.compress(piece):
            yield encoded
    yield encoder.flush()


def wire_headers(reply: Reply, *, banned: bool = False) -> list[tuple[str, str]]:
    """Return the headers of an answer. A name may occur more than once."""
    headers = _WIRE | reply.headers
    if banned:
        del headers["via"]
    headers["content-type"] = reply.content_type
    headers["date"] = formatdate(usegmt=True)
    headers["cf-ray"] = f"{secrets.token_hex(8)}-FRA"
    overrides = {name.lower(): values for name, values in reply.overrides.items()}
    sent = [(name, value) for name, value in headers.items() if name not in overrides]
    for name, values in overrides.items():
        listed = [values] if isinstance(values, str) else values or ()
        sent += [(name, value) for value in listed]
    return sent


def attachment_reply(world: World, path: str, query: str, range_header: str | None) -> Reply:
    """Return the CDN's answer. The URL needs a signature that is valid and not expired."""
    now_s = world.clock.now_ms() // 1000
    if not world.cdn.admits(path, parse_query(query), now_s):
        return Reply(404, b"This content is no longer available.", PLAIN_TEXT)
    found = find_attachment(world, path.removeprefix("media/"))
    if found is None:
        return Reply(404, b"404: Not Found", PLAIN_TEXT)
    body = attachment_bytes(int(found["id"]), int(found.get("size", _MEDIA_BYTES)))
    content_type = found.get("content_type") or "application/octet-stream"
    range_ = _RANGE.fullmatch(range_header or "")
    if range_ is None:
        return Reply(200, body, content_type, {"accept-ranges": "bytes"})
    start, size = int(range_[1]), len(body)
    if start >= size:
        return Reply(416, b"", content_type, {"content-range": f"bytes */{size}"})
    headers = {"accept-ranges": "bytes", "content-range": f"bytes {start}-{size - 1}/{size}"}
    return Reply(206, body[start:], content_type, headers)


async def cut_connection(
    request: web.BaseRequest, rule: FaultRule, reply: Reply
) -> web.StreamResponse:
    """Close the connection: at once, with a reset, or in the middle of the body."""
    response = web.StreamResponse(status=reply.status)
    if rule.action is Action.TRUNCATE:
        response.headers.extend(wire_headers(reply))
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: rule.keep_bytes])
    elif rule.action is Action.RESET:
        _reset_on_close(request)
    if request.transport is not None:
        request.transport.close()
    return response


def _reset_on_close(request: web.BaseRequest) -> None:
    """Make the kernel send RST instead of FIN when the socket closes."""
    raw = request.transport.get_extra_info("socket") if request.transport else None
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
