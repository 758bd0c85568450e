"""Rate limits and bans: settings, buckets, and the refusals they end in."""

from raysync.emulator.limits.settings import (
    OBSERVED_ROUTES,
    BanBody,
    Form,
    Headers,
    Limits,
    Refusals,
    RouteLimit,
)

__all__ = ["OBSERVED_ROUTES", "BanBody", "Form", "Headers", "Limits", "Refusals", "RouteLimit"]
