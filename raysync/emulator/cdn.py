"""The CDN: addresses signed for a day, and the bytes behind them."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from raysync.emulator.messages import CDN_BYTE, CDN_MARK

_ENCODED_PATH: Final = re.compile(CDN_BYTE + rb"([^" + CDN_BYTE + rb"]*)" + CDN_BYTE)
_STORED_PATH: Final = re.compile(re.escape(CDN_MARK) + "(.*?)" + re.escape(CDN_MARK))


@dataclass(slots=True)
class Cdn:
    """Signs paths and checks signatures; an address lives *lifetime_s*."""

    base_url: str = "https://cdn.discordapp.com"
    lifetime_s: int = 86_400
    secret: bytes = field(default=b"raysync emulator", repr=False)

    def sign(self, path: str, now_s: int) -> str:
        """Return the address of a path (no leading slash), signed now."""
        expires_s = now_s + self.lifetime_s
        signature = self._signature(path, expires_s, now_s)
        return f"{self.base_url}/{path}?ex={expires_s:x}&is={now_s:x}&hm={signature}&"

    def sign_encoded(self, body: bytes, now_s: int) -> bytes:
        """Put signed addresses in place of the marked paths of an encoded answer."""
        if CDN_BYTE not in body:
            return body
        return _ENCODED_PATH.sub(lambda m: self.sign(m[1].decode(), now_s).encode(), body)

    def plain_encoded(self, body: bytes) -> bytes:
        """Put unsigned addresses in place of the marked paths: what stays the same."""
        base = self.base_url.encode() + b"/"
        return _ENCODED_PATH.sub(lambda m: base + m[1], body)

    def admits(self, path: str, query: dict[str, list[str]], now_s: int) -> bool:
        """Say whether an address is signed by us and alive."""
        try:
            expires_s, issued_s = (int(query[name][0], 16) for name in ("ex", "is"))
            given = query["hm"][0]
        except (KeyError, ValueError):
            return False
        wanted = self._signature(path, expires_s, issued_s)
        return now_s < expires_s and hmac.compare_digest(wanted, given)

    def refreshed(self, url: str, now_s: int) -> str | None:
        """Return an attachment's address signed anew; None for an address not of the CDN."""
        try:
            path = urlsplit(url).path.lstrip("/")
        except ValueError:  # no address at all
            return None
        return self.sign(path, now_s) if path.startswith("attachments/") else None

    def _signature(self, path: str, expires_s: int, issued_s: int) -> str:
        text = f"{path}?{expires_s:x}&{issued_s:x}".encode()
        return hmac.digest(self.secret, text, "sha256").hex()


def attachment_bytes(attachment_id: int, size_bytes: int) -> bytes:
    """Return an attachment's content: any bytes, always the same."""
    block = hashlib.blake2b(str(attachment_id).encode()).digest()
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def stored_path(text: str) -> str:
    """Return the path inside a stored payload's marked address."""
    return _STORED_PATH.sub(r"\1", text)


def parse_query(query: str) -> dict[str, list[str]]:
    """Split a query string, empty values kept."""
    return parse_qs(query, keep_blank_values=True)
