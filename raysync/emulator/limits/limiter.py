"""Limiter: counts requests against the limits, and refuses as Discord does."""

import hashlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from raysync.emulator.api.replies import Reply
from raysync.emulator.api.routing import Match
from raysync.emulator.limits.buckets import Bucket, Verdict, make_bucket
from raysync.emulator.limits.refusals import GLOBAL, SHARED, USER, ban_reply, rate_limited
from raysync.emulator.limits.settings import Headers, Limits, RouteLimit

_MASK: Final = Verdict(1000, 999, 1.0)


@dataclass(frozen=True, slots=True)
class Admission:
    """The limiter's decision on a request: a refusal, or the headers of its answer."""

    refusal: Reply | None
    headers: Mapping[str, str] = field(default_factory=dict)


_ADMITTED: Final = Admission(None)


class Limiter:
    """State of all limits. A server has one, and replaces it when the limits change."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._globals: dict[str, Bucket] = {}
        self._buckets: dict[tuple[str, str, str | None], Bucket] = {}
        self._invalid_s: dict[str, deque[float]] = {}
        self._banned_until_s: dict[str, float] = {}

    def admit(self, token: str, match: Match) -> Admission:
        """Count a request against the token's global limit, then against the route's."""
        limits = self.limits
        if not limits.enabled:
            return _ADMITTED
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
            return _ADMITTED
        if not own.allowed:
            return Admission(self._refuse(own, USER, name))
        return Admission(None, self._headers(own, name))

    def banned(self, address: str) -> Reply | None:
        """Return Cloudflare's answer while the address is banned, else None.

        It has neither `Via` nor any of Discord's headers.
        """
        until_s = self._banned_until_s.get(address)
        if until_s is None or not self.limits.enabled:
            return None
        left_s = (until_s - self.limits.now_s()) / self.limits.speed
        if left_s <= 0:
            del self._banned_until_s[address]
            return None
        return ban_reply(self.limits.ban_body, left_s if self.limits.ban_retry_after else None)

    def count_invalid(self, address: str) -> None:
        """Count a 401, 403 or 429 against the address, and ban it at the limit."""
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
        limits = self.limits
        reply = rate_limited(retry_after_s, scope, limits.retry_header_extra_s, limits.refusals)
        if scope != GLOBAL and self.limits.headers is not Headers.NONE:
            reply.headers |= bucket_headers(verdict, bucket_hash(name), self.limits.speed)
        return reply


def bucket_headers(verdict: Verdict, bucket: str, speed: float) -> dict[str, str]:
    """Return the state of a bucket as headers."""
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
    """Return the hash by which Discord names a bucket."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
