"""Who may control an emulator: programs on this machine, and no page that a browser shows.

A page of a stranger can send requests to loopback, and by a name that resolves to 127.0.0.1 read
the answers. Browsers say for which name and from which page a request is, and ask first before they
send JSON: so a request is taken only for a loopback name with the right port, from no other page,
and with JSON where something changes.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("127.0.0.1", "::1")
_NAMES: Final = (*LOOPBACK, "localhost")
_JSON: Final = "application/json"
_DEFAULT_PORT: Final = 80
_OWN_PAGES: Final = ("same-origin", "none")
"""What Sec-Fetch-Site says where no page has asked, or one of ours."""


def refusal(
    method: str, headers: Mapping[str, str], address: str, port: int, has_body: bool
) -> tuple[int, str] | None:
    """Return why a request may not control the emulator at *port*, with a status; None: it may."""
    if address not in LOOPBACK:
        return 403, "only from this machine"
    if not _is_loopback(f"//{headers.get('Host', '')}", port):
        return 403, f"only for 127.0.0.1:{port}, [::1]:{port} or localhost:{port}"
    origin = headers.get("Origin")
    if origin is not None and not (origin.startswith("http://") and _is_loopback(origin, port)):
        return 403, "not from a web page"
    if headers.get("Sec-Fetch-Site", "none") not in _OWN_PAGES:
        return 403, "not from a web page"
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if (method == "POST" or has_body) and content_type != _JSON:
        return 415, f"only with content-type: {_JSON}"
    return None


def _is_loopback(url: str, port: int) -> bool:
    """Whether it names this machine, and the emulator's own port."""
    try:
        parts = urlsplit(url)
        named, at = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        return False
    is_bare = parts.username is None and not parts.path and not parts.query
    return is_bare and named in _NAMES and at == port
