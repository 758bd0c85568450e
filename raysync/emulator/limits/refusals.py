"""Refusals: Discord's own 429 in every shape, and Cloudflare's bans."""

import math
import time
from collections.abc import Mapping
from email.utils import formatdate
from enum import StrEnum
from json import dumps
from typing import Any, Final

from raysync.emulator.api.replies import Reply, json_reply
from raysync.emulator.limits.settings import BanBody, Refusals


class Scope(StrEnum):
    """Scope of the limit behind a 429."""

    USER = "user"
    GLOBAL = "global"
    SHARED = "shared"


USER: Final = Scope.USER.value
GLOBAL: Final = Scope.GLOBAL.value
SHARED: Final = Scope.SHARED.value
_MESSAGES: Final[Mapping[str, str]] = {
    USER: "You are being rate limited.",
    GLOBAL: "You are being rate limited.",
    SHARED: "The resource is being rate limited.",
}
_HUGE_S: Final = 1_000_000_000.0
BAN_MESSAGE: Final = (
    "You are being blocked from accessing our API temporarily due to exceeding our rate limits "
    "frequently. Please read our docs at https://discord.com/developers/docs/topics/rate-limits "
    "to prevent this moving forward."
)
_BAN_HTML: Final = (
    b'<!doctype html>\n<html lang="en-US"><head><title>Access denied | discord.com used '
    b"Cloudflare to restrict access</title></head><body><h1>Error 1015</h1>"
    b"<h2>You are being rate limited</h2></body></html>\n"
)
_BAN_CODE: Final = b"error code: 1015"


def rate_limited(
    retry_after_s: float,
    scope: str,
    header_extra_s: float = 0.0,
    shape: Refusals = Refusals.USUAL,
) -> Reply:
    """Return a 429 of a scope, without the headers of a bucket."""
    retry_after_s = max(0.001, math.ceil(retry_after_s * 1000) / 1000)
    header = str(math.ceil(retry_after_s + header_extra_s))
    body: dict[str, Any] = {
        "message": _MESSAGES[scope],
        "retry_after": retry_after_s,
        "global": scope == GLOBAL,
    }
    reply = Reply(429, b"")
    match shape:
        case Refusals.HEADER_ONLY:
            del body["retry_after"]
        case Refusals.DATE:
            header = formatdate(time.time() + float(header), usegmt=True)
        case Refusals.NEGATIVE:
            header, body["retry_after"] = "-1", -retry_after_s
        case Refusals.NAN:
            header, body["retry_after"] = "NaN", math.nan
        case Refusals.HUGE:
            header, body["retry_after"] = str(int(_HUGE_S)), _HUGE_S
        case Refusals.NO_VIA:
            reply.overrides["via"] = None
    reply.body = dumps(body, separators=(",", ":")).encode()  # orjson writes NaN as null
    if shape is not Refusals.BODY_ONLY:
        reply.headers["retry-after"] = header
    reply.headers["x-ratelimit-scope"] = Scope(scope).value
    if scope == GLOBAL:
        reply.headers["x-ratelimit-global"] = "true"
    return reply


def ban_reply(body: BanBody, retry_after_s: float | None = None) -> Reply:
    """Return Cloudflare's answer to a banned address.

    With *retry_after_s* it has a Retry-After, and `error code: 1015` instead of JSON.
    """
    if body is BanBody.HTML:
        reply = Reply(429, _BAN_HTML, "text/html; charset=UTF-8")
    elif retry_after_s is not None:
        reply = Reply(429, _BAN_CODE, "text/plain; charset=UTF-8")
    else:
        reply = json_reply({"code": 0, "message": BAN_MESSAGE}, 429)
    if retry_after_s is not None:
        reply.headers["retry-after"] = str(math.ceil(retry_after_s))
    return reply
