"""Holds the limits against the requests, and writes the refusals as Discord does."""

import hashlib
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from raysync.emulator.buckets import Bucket, Verdict, make_bucket
from raysync.emulator.limits import BanBody, Headers, Limits, RouteLimit
from raysync.emulator.replies import Reply, json_reply
from raysync.emulator.routing import Match

USER: Final = "user"
GLOBAL: Final = "global"
SHARED: Final = "shared"
_MASK: Final = Verdict(1000, 999, 1.0)
_MESSAGES: Final = {
    USER: "You are being rate limited.",
    GLOBAL: "You are being rate limited.",
    SHARED: "The resource is being rate limited.",
}
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


@dataclass(frozen=True, slots=True)
class Admission:
    """The limiter's word on a request: a refusal, or the headers its answer carries."""

    refusal: Reply | None
    headers: Mapping[str, str] = field(default_factory=dict)


_FREE: Final = Admission(None)


class Limiter:
    """The state of all limits. One per server; replaced when the limits change."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._globals: dict[str, Bucket] = {}
        self._buckets: dict[tuple[str, str, str | None], Bucket] = {}
        self._invalid_s: dict[str, deque[float]] = {}
        self._banned_until_s: dict[str, float] = {}

    def admit(self, token: str, match: Match) -> Admission:
        """Count a request against the token's global limit, then against its route's."""
        limits = self.limits
        if not limits.enabled:
            return _FREE
        now_s = limits.now_s()
        verdict = self._global(token).take(now_s)
        if not verdict.allowed:
            return Admission(self._refuse(verdict, GLOBAL, ""))
        name = match.route.name
        shared = self._take(limits.shared_routes, name, match, "", now_s)
        if shared is not None and not shared.allowed:
            return Admission(self._refuse(shared, SHARED, name))
        own = self._take(limits.routes, name, match, token, now_s)
        if own is None:
            return _FREE
        if not own.allowed:
            return Admission(self._refuse(own, USER, name))
        return Admission(None, self._headers(own, name))

    def banned(self, address: str) -> Reply | None:
        """Return the ban's answer while the address is banned: no Via, no Retry-After."""
        until_s = self._banned_until_s.get(address)
        if until_s is None or not self.limits.enabled:
            return None
        if self.limits.now_s() >= until_s:
            del self._banned_until_s[address]
            return None
        return ban_reply(self.limits.ban_body)

    def count_invalid(self, address: str) -> None:
        """Count a 401, 403 or 429 against the address; too many ban it."""
        limits = self.limits
        if not limits.enabled:
            return
        now_s = limits.now_s()
        times_s = self._invalid_s.setdefault(address, deque())
        times_s.append(now_s)
        while times_s[0] <= now_s - limits.invalid_window_s:
            times_s.popleft()
        if len(times_s) >= limits.invalid_limit:
            times_s.clear()
            self._banned_until_s[address] = now_s + limits.ban_s

    def _global(self, token: str) -> Bucket:
        bucket = self._globals.get(token)
        if bucket is None:
            limits = self.limits
            bucket = make_bucket(limits.global_form, limits.global_limit, limits.global_window_s)
            self._globals[token] = bucket
        return bucket

    def _take(
        self,
        table: Mapping[str, RouteLimit],
        name: str,
        match: Match,
        owner: str,
        now_s: float,
    ) -> Verdict | None:
        route = table.get(name)
        if route is None:
            return None
        key = (name, owner, match.major_id if route.by_major else None)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = make_bucket(self.limits.bucket_form, route.limit, route.window_s)
            self._buckets[key] = bucket
        return bucket.take(now_s)

    def _headers(self, verdict: Verdict, name: str) -> dict[str, str]:
        if self.limits.headers is Headers.NONE:
            return {}
        if self.limits.headers is Headers.MASKED:
            return bucket_headers(_MASK, bucket_hash(f"masked {name}"), 1.0)
        return bucket_headers(verdict, bucket_hash(name), self.limits.speed)

    def _refuse(self, verdict: Verdict, scope: str, name: str) -> Reply:
        retry_after_s = verdict.retry_after_s / self.limits.speed
        reply = rate_limited(retry_after_s, scope, self.limits.retry_header_extra_s)
        if scope != GLOBAL and self.limits.headers is not Headers.NONE:
            reply.headers |= bucket_headers(verdict, bucket_hash(name), self.limits.speed)
        return reply


def rate_limited(retry_after_s: float, scope: str, header_extra_s: float = 0.0) -> Reply:
    """Return a 429 of a scope, without the bucket's own headers."""
    retry_after_s = max(0.001, math.ceil(retry_after_s * 1000) / 1000)
    body = {
        "message": _MESSAGES[scope],
        "retry_after": retry_after_s,
        "global": scope == GLOBAL,
    }
    reply = json_reply(body, 429)
    reply.headers["retry-after"] = str(math.ceil(retry_after_s + header_extra_s))
    reply.headers["x-ratelimit-scope"] = scope
    if scope == GLOBAL:
        reply.headers["x-ratelimit-global"] = "true"
    return reply


def ban_reply(body: BanBody) -> Reply:
    """Return what Cloudflare answers a banned address."""
    if body is BanBody.HTML:
        return Reply(429, _BAN_HTML, "text/html; charset=UTF-8")
    return json_reply({"code": 0, "message": BAN_MESSAGE}, 429)


def bucket_headers(verdict: Verdict, bucket: str, speed: float) -> dict[str, str]:
    """Return a bucket's state as headers."""
    reset_after_s = verdict.reset_after_s / speed
    return {
        "x-ratelimit-bucket": bucket,
        "x-ratelimit-limit": str(verdict.limit),
        "x-ratelimit-remaining": str(verdict.remaining),
        "x-ratelimit-reset": f"{time.time() + reset_after_s:.3f}",
        "x-ratelimit-reset-after": f"{reset_after_s:.3f}",
    }


@lru_cache(maxsize=256)
def bucket_hash(name: str) -> str:
    """Return the hash Discord names a bucket by."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
