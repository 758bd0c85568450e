"""Attachments' bytes: from addresses that live a day, and never an error page instead of them.

The CDN is outside of the API's limits, and never gets the token.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from raysync.discord_api.errors import by_proxy, refused_by_proxy
from raysync.discord_api.fields import UNREADABLE, mapping, snowflake, text
from raysync.discord_api.gate import PROXY_WANTS_PASSWORD
from raysync.discord_api.guilds import readable
from raysync.discord_api.proxies import Proxy
from raysync.discord_api.reactors import HEAD_START_OF_EXTRAS_S
from raysync.discord_api.transport import Transport
from raysync.errors import (
    AttachmentBrokenError,
    AttachmentGoneError,
    PermanentError,
    RetryableError,
    RouteMissingError,
    UnknownMessageError,
)
from raysync.models.extras import MissingFile
from raysync.models.header_values import bounded_wait, waits_of
from raysync.models.ids import ChannelId, MessageId

_CHUNK_BYTES: Final = 1 << 16
_SILENCE_S: Final = 30.0
_CONNECT_S: Final = 15.0
_SLOWEST_BYTES_PER_S: Final = 4096
"""Slowest accepted download after the first minute: a slower one might never end."""
_MIN_DOWNLOAD_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 60.0
_GONE: Final = frozenset({403, 404, 410})
_PASSING: Final = frozenset({408, 425, 429})
_HTML: Final = "text/html"
_PLAIN: Final = "identity"


class AttachmentSource:
    """The files of attachments, from Discord's CDN. Satisfies the engine's `FileSource`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._session: aiohttp.ClientSession | None = None

    async def sign_anew(
        self, channel_id: ChannelId, files: Sequence[MissingFile]
    ) -> Mapping[int, str]:
        """Return fresh addresses by attachment; deleted attachments are missing."""
        urls = await self._signed([file.url for file in files])
        if urls is not None:
            return {file.attachment_id: urls[file.url] for file in files if file.url in urls}
        found: dict[int, str] = {}
        for message_id in sorted({file.message_id for file in files}):
            found |= await self._of_message(channel_id, message_id)
        return found

    async def _signed(self, urls: Sequence[str]) -> Mapping[str, str] | None:
        """Return a fresh address for each address; None where Discord no longer offers that."""
        body = {"attachment_urls": [url for url in urls if url]}
        if not body["attachment_urls"]:
            return {}
        try:
            answer = await self._transport.request(
                "POST",
                "/attachments/refresh-urls",
                head_start_s=HEAD_START_OF_EXTRAS_S,
                json=body,
            )
            return dict(readable(mapping(answer)["refreshed_urls"], _fresh))
        except (PermanentError, *UNREADABLE):  # the route is not documented
            return None

    async def look_up(self, channel_id: ChannelId, file: MissingFile) -> str | None:
        """Return a fresh address from the file's message; None where either was deleted.

        It is needed where the file's name contains a user's id, since the stored address then
        differs from the CDN's.
        """
        try:
            found = await self._of_message(channel_id, file.message_id)
        except RouteMissingError as error:
            raise AttachmentGoneError(f"Discord has no address of it that works. {error}") from None
        return found.get(file.attachment_id)

    async def _of_message(self, channel_id: ChannelId, message_id: MessageId) -> dict[int, str]:
        """Return the addresses in the message; none where it was deleted."""
        path = "/channels/{channel_id}/messages/{message_id}"
        ids: dict[str, Any] = {"channel_id": channel_id, "message_id": message_id}
        try:
            answer = await self._transport.request(
                "GET", path, head_start_s=HEAD_START_OF_EXTRAS_S, **ids
            )
            return dict(readable(mapping(answer)["attachments"], _address))
        except (UnknownMessageError, *UNREADABLE):
            return {}

    async def download(self, url: str, file: MissingFile, start: int) -> AsyncIterator[bytes]:
        """Yield the file's bytes from *start* on; without an error, they are complete.

        Raises:
            AttachmentGoneError: the address leads nowhere, or is no longer valid.
            AttachmentBrokenError: the content is not the file; start again from 0.
            RetryableError: the answer was cut short; continue from there.
            ConfigurationError: the proxy cannot be used.
        """
        wanted = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        session, proxy = self._opened(), None
        slowest_s = _MIN_DOWNLOAD_S + (file.size - start) / _SLOWEST_BYTES_PER_S
        until_s = asyncio.get_running_loop().time() + slowest_s
        try:
            proxy = self._transport.proxies.way_to(url)
            through = None if proxy is None else proxy.url
            async with session.get(
                url, headers=wanted, allow_redirects=False, proxy=through
            ) as response:
                at = _begin_of(response, file, start, proxy)
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    new = chunk[max(start - at, 0) :]
                    at += len(chunk)
                    if at > file.size:
                        raise AttachmentBrokenError("The CDN sends more than the file holds.")
                    if asyncio.get_running_loop().time() > until_s:
                        raise AttachmentBrokenError("The CDN sends the file too slowly.")
                    if new:
                        yield new
        except (aiohttp.ClientError, LookupError, OSError, ValueError) as error:
            if (
                proxy is not None
                and (failure := by_proxy(error, "An attachment", proxy)) is not None
            ):
                raise failure from None
            raise RetryableError(f"The CDN's answer broke off ({type(error).__name__}).") from None
        if at != file.size:
            raise AttachmentBrokenError("The CDN sends less than the file holds.")

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            silence = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S
            )
            self._session = aiohttp.ClientSession(timeout=silence)
        return self._session


def _fresh(payload: Any) -> tuple[str, str]:
    """Return an address and its fresh form."""
    original, refreshed = text(payload["original"]), text(payload["refreshed"])
    if not refreshed:
        raise ValueError("an address is not empty")
    return original, refreshed


def _address(payload: Any) -> tuple[int, str]:
    """Return an attachment's id and its address."""
    return snowflake(payload["id"]), text(payload["url"])


def _begin_of(
    response: aiohttp.ClientResponse, file: MissingFile, start: int, proxy: Proxy | None = None
) -> int:
    """Return the offset in the file at which the answer begins. Raises if it is not the file."""
    status = response.status
    if proxy is not None and status == PROXY_WANTS_PASSWORD:
        raise refused_by_proxy(status, "An attachment", proxy)
    if status in _GONE:
        raise AttachmentGoneError(f"The CDN answers {status}: it has no such file any more.")
    if status >= 500 or status in _PASSING:
        raise RetryableError(f"The CDN answers {status}.", _pause_s(response))
    if response.content_type == _HTML and not (file.content_type or _HTML).startswith(_HTML):
        raise AttachmentBrokenError(f"The CDN answers {status} with a web page.")
    is_plain = response.headers.get("Content-Encoding", _PLAIN).strip().lower() == _PLAIN
    length = response.content_length if is_plain else None  # else of the compressed bytes
    if (
        status == 206
        and is_plain
        and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    ):
        begin = start
    elif status == 200:
        begin = 0
    else:
        raise AttachmentBrokenError(f"The CDN answers {status}.")
    if length is not None and begin + length != file.size:
        raise AttachmentBrokenError("The CDN's answer has another length than the file.")
    return begin


def _pause_s(response: aiohttp.ClientResponse) -> float | None:
    """Return the pause that the CDN names, within a bound: other files wait behind this one."""
    return bounded_wait(waits_of(response.headers, datetime.now(UTC)), _LONGEST_PAUSE_S)
