"""Access control of the control endpoint: programs on this machine, but no web page.

A foreign web page can send requests to loopback. With a name that resolves to 127.0.0.1 (DNS
rebinding) it can also read the answers. Browsers send the name (Host) and the page (Origin,
Sec-Fetch-Site) of a request, and send JSON only after a preflight request. So a request needs a
loopback name with the right port, no foreign page, and JSON if it changes something.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("127.0.0.1", "::1")
_NAMES: Final = (*LOOPBACK, "localhost")
_JSON: Final = "application/json"
_DEFAULT_PORT: Final = 80
_OWN_PAGES: Final = ("same-origin", "none")
"""Values of Sec-Fetch-Site without a page, or with a page of the emulator itself."""


def refusal(
    method: str, headers: Mapping[str, str], address: str, port: int, has_body: bool
) -> tuple[int, str] | None:
    """Return a status and the reason to refuse a control request, or None to admit it."""
    if address not in LOOPBACK:
        return 403, "only programs on this machine may control the emulator"
    if not _is_loopback(f"//{headers.get('Host', '')}", port):
        return 403, f"the Host must be 127.0.0.1:{port}, [::1]:{port} or localhost:{port}"
    origin = headers.get("Origin")
    if origin is not None and not (origin.startswith("http://") and _is_loopback(origin, port)):
        return 403, "a web page may not control the emulator"
    if headers.get("Sec-Fetch-Site", "none") not in _OWN_PAGES:
        return 403, "a web page may not control the emulator"
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if (method == "POST" or has_body) and content_type != _JSON:
        return 415, f"the content-type must be {_JSON}"
    return None


def _is_loopback(url: str, port: int) -> bool:
    """Return whether a URL names this machine and the emulator's port."""
    try:
        parts = urlsplit(url)
        name, url_port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        return False
    is_bare = parts.username is None and not parts.path and not parts.query
    return is_bare and name in _NAMES and url_port == port
