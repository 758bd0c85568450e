"""Addresses of Discord's CDN, which are signed for a day, and signed anew with every answer.

The signature is three parameters, ``ex``, ``is`` and ``hm``. Other sites use such names as well. So
a signature is removed from the CDN's own addresses only, in fields that lead to files and pictures,
and never from text that a person wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self
from urllib.parse import urlsplit

_SIGNATURE: Final = frozenset({"ex", "is", "hm"})
_HEXADECIMAL: Final = re.compile("[0-9a-fA-F]+").fullmatch
_TIME_CHARACTERS, _HASH_CHARACTERS = 8, 64
_OF_CDN: Final = re.compile(
    r"(?:[a-z0-9-]+\.)+discordapp\.(?:com|net)|(?:cdn|media)[a-z0-9-]*\.discord\.com"
).fullmatch
_EXTERNAL: Final = re.compile(r"/external/[^/]+/(?:[^/]*/)??https?/([^/?#]+)")
_LINK_BUTTON: Final = 2


_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 as it is called
_HOSTS: Final = r"discord(?:app)?\.(?:com|net|gg|media|dev)"
_PATH: Final = r"""(?::[0-9]+)?(?P<path>/[^\s<>"'`()\[\]{}|\\^]*)"""


@dataclass(frozen=True)
class Places:
    """The hosts of Discord, and those of another API with its CDN."""

    others: tuple[str, ...] = ()  #: hosts with ports, where the API is not Discord's

    @classmethod
    def of_api(cls, api_url: str) -> Self:
        """Return the places of an API at *api_url*."""
        try:
            parts = urlsplit(api_url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return cls()
        if not host or re.search(rf"(?:^|\.){_HOSTS}$", host) is not None:
            return cls()
        names = _THIS_MACHINE if host in _THIS_MACHINE else (host,)
        hosts = (f"[{name}]" if ":" in name else name for name in names)
        return cls(tuple(host if port is None else f"{host}:{port}" for host in hosts))

    def are_in(self, text: str) -> bool:
        """Return whether *text* may contain an address of Discord's."""
        return "discord" in text or any(host in text for host in self.others)

    @cached_property
    def addresses(self) -> re.Pattern[str]:
        """Return a pattern that finds Discord's addresses, from the last labels of the host on."""
        discords = rf"(?<![\w-])(?:{_HOSTS}|discord://-){_PATH}"
        if not self.others:
            return re.compile(discords)
        others = rf"(?<![\w.-]){self._others}{_PATH.replace('<path>', '<other_path>')}"
        return re.compile(f"{discords}|{others}")

    @property
    def _others(self) -> str:
        return f"(?:{'|'.join(map(re.escape, self.others))})"

    @cached_property
    def files(self) -> Callable[[str], re.Match[str] | None]:
        """Return a matcher of plain addresses of files, signed or not, with no id in the name."""
        hosts = r"(?:cdn|media)\.discordapp\.(?:com|net)"
        hosts = f"(?:{hosts}|{self._others})" if self.others else hosts
        name = r"(?![^/?#]*[0-9]{17})[\w.()\[\]~!+-]*"
        hexadecimal = "[0-9a-f]+"
        return re.compile(
            rf"(https?://{hosts}/(?:media/)?attachments/([0-9]+)/([0-9]+)/{name})"
            rf"(\?ex={hexadecimal}&is={hexadecimal}&hm={hexadecimal}&?)?",
            re.ASCII,
        ).fullmatch


DISCORD: Final = Places()
"""Discord's own hosts alone."""

_ADDRESS: Final = re.compile(r"https?://([^/?#\s\\]+)(/[^?#\s]*)\?([^#\s]*)(#\S*)?", re.IGNORECASE)


def unsigned_url(text: str, places: Places = DISCORD) -> str:
    """Return a signed address of the CDN without its signature, and any other text as it is."""
    if "hm=" not in text or "ex=" not in text:
        return text
    usual = places.files(text)
    if usual is not None:
        return usual[1]
    found = _ADDRESS.fullmatch(text)
    if found is None or not _is_of_cdn(found[1].lower(), found[2], places):
        return text
    pairs = [pair.partition("=") for pair in found[3].split("&")]
    signature = {name: value for name, _, value in pairs if name in _SIGNATURE}
    if signature.keys() != _SIGNATURE or not _is_signature(signature, found[2], places):
        return text
    kept = [f"{name}{mark}{value}" for name, mark, value in pairs if name not in _SIGNATURE]
    query = "&".join(pair for pair in kept if pair.strip("="))
    address = text[: found.start(3) - 1]
    return f"{address}{'?' * bool(query)}{query}{found[4] or ''}"


def _is_of_cdn(host: str, path: str, places: Places) -> bool:
    if host in places.others:
        return path.startswith(("/attachments/", "/ephemeral-attachments/", "/media/"))
    return _OF_CDN(host) is not None


def _is_signature(values: Mapping[str, str], path: str, places: Places) -> bool:
    """Return whether a signature is Discord's. A proxied site may use such names as well."""
    if not all(map(_HEXADECIMAL, values.values())):
        return False
    proxied = _EXTERNAL.match(path)
    if proxied is None or _is_of_cdn(proxied[1].lower(), "", places):
        return True
    times = {len(values["ex"]), len(values["is"])}
    return times == {_TIME_CHARACTERS} and len(values["hm"]) == _HASH_CHARACTERS


def is_link(key: str) -> bool:
    """Return whether *key* contains the address of a file or a picture, and no text."""
    return key == "url" or key.endswith(("_url", "Url", "URL"))


def is_link_button(part: Mapping[str, Any]) -> bool:
    """Return whether *part* is a link button, whose address was written by its maker."""
    return part.get("type") == _LINK_BUTTON and "style" in part


def unsigned(value: Any, places: Places = DISCORD) -> Any:
    """Copy a part of a payload without the signatures of file addresses."""
    if isinstance(value, list):
        return [unsigned(item, places) for item in value] if value else value
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        if isinstance(item, str):
            is_signed = "hm=" in item and is_link(key) and not is_link_button(value)
            kept[key] = unsigned_url(item, places) if is_signed else item
        else:
            kept[key] = unsigned(item, places) if item else item
    return kept
