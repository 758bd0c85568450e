"""Where Discord's API is, and how to tell of it where it is somewhere else."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

DISCORD_API_URL: Final = "https://discord.com/api/v10"
VARIABLE: Final = "RAYSYNC_DISCORD_API_URL"


def host_of(url: str) -> str:
    """The host, with its port where one is named; never a user or a password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def api_of(url: str) -> str:
    """The API's own name, by which it is told from others: its address as it may be shown."""
    return elsewhere(url.rstrip("/")) or DISCORD_API_URL


def elsewhere(url: str) -> str | None:
    """The address as it may be shown, or None where it is Discord's own."""
    if url.rstrip("/") == DISCORD_API_URL:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}"
