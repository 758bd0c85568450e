"""Addresses of Discord's CDN: signed for a day, and signed anew with every answer."""

from __future__ import annotations

from typing import Any, Final

_SIGNATURE: Final = ("ex=", "is=", "hm=")


def unsigned_url(text: str) -> str:
    """*text* without its signature if it is a signed address; otherwise *text* itself."""
    if "hm=" not in text or "ex=" not in text or not text.startswith(("http://", "https://")):
        return text
    address, mark, query = text.partition("?")
    if not mark or " " in text:
        return text
    kept = [
        each for each in query.split("&") if each.strip("=") and not each.startswith(_SIGNATURE)
    ]
    return f"{address}?{'&'.join(kept)}" if kept else address


def unsigned(value: Any) -> Any:
    """A copy of a payload's part, all addresses in it without their signatures."""
    if isinstance(value, str):
        return unsigned_url(value)
    if isinstance(value, list):
        return [unsigned(each) for each in value] if value else value
    if isinstance(value, dict):
        return {key: unsigned(each) for key, each in value.items()}
    return value
