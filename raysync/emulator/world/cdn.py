"""CDN: URLs signed for a day, and the bytes behind them."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from raysync.emulator.world.messages import CDN_BYTE

_ENCODED_PATH: Final = re.compile(CDN_BYTE + rb"([^" + CDN_BYTE + rb"]*)" + CDN_BYTE)


@dataclass(slots=True)
class Cdn:
    """Signer of CDN paths. A URL is valid for *lifetime_s* seconds."""

    base_url: str = "https://cdn.discordapp.com"
    lifetime_s: int = 86_400
    secret: bytes = field(default=b"raysync emulator", repr=False)

    def sign(self, path: str, now_s: int) -> str:
        """Return the URL of a path (without a leading slash), signed at *now_s*."""
        expires_s = now_s + self.lifetime_s
        signature = self._signature(path, expires_s, now_s)
        return f"{self.base_url}/{path}?ex={expires_s:x}&is={now_s:x}&hm={signature}&"

    def sign_encoded(self, body: bytes, now_s: int) -> bytes:
        """Replace the marked paths of an encoded answer with signed URLs."""
        if CDN_BYTE not in body:
            return body
        return _ENCODED_PATH.sub(lambda m: self.sign(m[1].decode(), now_s).encode(), body)

    def plain_encoded(self, body: bytes) -> bytes:
        """Replace the marked paths with unsigned URLs, which do not change over time."""
        base = self.base_url.encode() + b"/"
        return _ENCODED_PATH.sub(lambda m: base + m[1], body)

    def admits(self, path: str, query: dict[str, list[str]], now_s: int) -> bool:
        """Return whether a URL has our signature and is not expired."""
        try:
            expires_s, issued_s = (int(query[name][0], 16) for name in ("ex", "is"))
            given = query["hm"][0]
        except (KeyError, ValueError):
            return False
        wanted = self._signature(path, expires_s, issued_s)
        return now_s < expires_s and hmac.compare_digest(wanted, given)

    def refreshed(self, url: str, now_s: int) -> str | None:
        """Return an attachment's URL with a new signature, or None for a URL outside the CDN."""
        try:
            path = urlsplit(url).path.lstrip("/")
        except ValueError:  # not a URL
            return None
        return self.sign(path, now_s) if path.startswith("attachments/") else None

    def _signature(self, path: str, expires_s: int, issued_s: int) -> str:
        text = f"{path}?{expires_s:x}&{issued_s:x}".encode()
        return hmac.digest(self.secret, text, "sha256").hex()


def attachment_bytes(attachment_id: int, size_bytes: int) -> bytes:
    """Return an attachment's content: arbitrary bytes, the same at every call."""
    block = hashlib.blake2b(str(attachment_id).encode()).digest()
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def parse_query(query: str) -> dict[str, list[str]]:
    """Split a query string. Keep empty values."""
    return parse_qs(query, keep_blank_values=True)
