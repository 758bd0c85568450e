"""The address of Discord's API: its one spelling in raysync, and its form for people."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

DISCORD_API_URL: Final = "https://discord.com/api/v10"
VARIABLE: Final = "RAYSYNC_DISCORD_API_URL"
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_SLASHES: Final = re.compile("/{2,}")


def parsed(text: str) -> URL:
    """Return *text* as a URL. Raises ValueError, and no other error, where it is none."""
    try:
        return URL(text)
    except LookupError:  # raised for what looks like an IPv6 address
        raise ValueError("not a URL") from None


def normalized(address: str) -> str:
    """Return the canonical spelling of an address of the API, to compare requests with.

    Case, default ports, IDNA, the forms of an IPv6 address, dots and slashes at the end, doubled
    slashes and dot segments do not matter.

    Raises:
        ValueError: it is no such address. The message continues a sentence, and does not quote the
            address, which may contain a password.
    """
    typed = address.strip()
    if not typed.lower().startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if any(char.isspace() or not char.isprintable() for char in typed):
        raise ValueError("must not hold blanks or control characters")
    if "?" in typed or "#" in typed:
        raise ValueError("must end with its path: no query, no fragment")
    try:
        url = parsed(typed)
        host = _host_in_url(url.raw_host or "")
    except ValueError:
        raise ValueError(f"is not an address such as {DISCORD_API_URL}") from None
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("must not hold a user or a password: the token is all that is sent")
    if url.port == 0:
        raise ValueError("must not name port 0: nothing can listen there")
    port = "" if url.is_default_port() else f":{url.port}"
    path = _SLASHES.sub("/", url.raw_path).rstrip("/")
    return str(parsed(f"{url.scheme}://{host}{port}{path}")).rstrip("/")


def _host_in_url(raw: str) -> str:
    """Return a host as URLs spell it. Raises ValueError where it is no host."""
    if ":" in raw:
        return f"[{IPv6Address(raw).compressed}]"
    host = raw.removesuffix(".")
    if not _NAME.fullmatch(host):
        raise ValueError(raw)
    return host


def is_same(one: str, other: str) -> bool:
    """Return whether two addresses lead to the same API, however they are spelled."""
    try:
        return normalized(one) == normalized(other)
    except ValueError:
        return one == other


def host_of(url: str) -> str:
    """Return the host, with its port where one is named; never a user or a password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def api_of(url: str) -> str:
    """Return the name that identifies an API: its address without a password."""
    return elsewhere(url.rstrip("/")) or DISCORD_API_URL


def elsewhere(url: str) -> str | None:
    """Return the address without a password, or None where it is Discord's own."""
    if is_same(url, DISCORD_API_URL):
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}"
