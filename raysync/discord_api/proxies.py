"""The proxies of the environment, by the usual variables.

``HTTPS_PROXY`` and ``HTTP_PROXY`` are for addresses of that scheme, ``ALL_PROXY`` is for both, and
``NO_PROXY`` lists hosts that need no proxy. Each may be in lower case, which wins as in curl.
aiohttp can read them itself, but it then reads ``.netrc``, too, whose password would replace the
token, and reads both again for every request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

from raysync.discord_api.address import parsed
from raysync.errors import ConfigurationError

_BY_SCHEME: Final = {"http": "HTTP_PROXY", "https": "HTTPS_PROXY"}
_ANY_SCHEME: Final = "ALL_PROXY"
_EXEMPT: Final = "NO_PROXY"
NAMES: Final = tuple(
    spelled
    for name in (*_BY_SCHEME.values(), _ANY_SCHEME, _EXEMPT)
    for spelled in (name.lower(), name)
)
"""All variables that are read; of two spellings, the first that is set counts."""
_PROXY_SCHEMES: Final = ("http", "https")
_EVERYTHING: Final = "*"
_SEPARATORS: Final = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy for requests to an address."""

    url: str = field(repr=False)  #: with user and password, as aiohttp expects them
    shown: str  #: without user and password
    variable: str  #: the variable that names it, as it is spelled


@dataclass(frozen=True, slots=True)
class Proxies:
    """The variables of one process; never shown, for some contain a password."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Proxies:
        """Return the proxy variables of an environment."""
        return cls({name: environ[name] for name in NAMES if environ.get(name, "").strip()})

    def way_to(self, url: str) -> Proxy | None:
        """Return the proxy for requests to *url*; None: they need none.

        Raises:
            ConfigurationError: the proxy cannot be used.
        """
        found = self._named(urlsplit(url).scheme)
        if found is None or self.exempting(url) is not None:
            return None
        return _proxy(*found)

    def exempting(self, url: str) -> str | None:
        """Return the variable that exempts *url* from proxies, as it is spelled, or None."""
        variable, _ = self._first(_EXEMPT) or (None, "")
        parts = urlsplit(url)
        host = _ascii((parts.hostname or "").rstrip("."))
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return variable if any(_covers(entry, host, port) for entry in self.exempt) else None

    def in_words(self, url: str, what: str) -> str:
        """Describe the way to *url*, which is *what*. Raises as `way_to` does."""
        proxy, exempting, scheme = self.way_to(url), self.exempting(url), urlsplit(url).scheme
        if proxy is not None:
            return f"{what} is asked through the proxy {proxy.shown} ({proxy.variable})."
        named = self._named(scheme)
        if exempting is not None and named is not None:
            host = urlsplit(url).hostname
            return f"{what} is asked directly: {exempting} exempts {host} from {named[0]}."
        return f"{what} is asked directly: no variable names a proxy for {scheme}:// addresses."

    @property
    def exempt(self) -> tuple[str, ...]:
        """The entries of NO_PROXY."""
        _, listed = self._first(_EXEMPT) or (None, "")
        return tuple(entry for entry in _SEPARATORS.split(listed) if entry)

    @property
    def are_set(self) -> bool:
        """True if any variable names a proxy."""
        return any(name.upper() != _EXEMPT for name in self.variables)

    @property
    def holding_password(self) -> frozenset[str]:
        """The variables that contain a password."""
        return frozenset(name for name, value in self.variables.items() if "@" in value)

    def _named(self, scheme: str) -> tuple[str, str] | None:
        if scheme not in _BY_SCHEME:
            return None
        return self._first(_BY_SCHEME[scheme]) or self._first(_ANY_SCHEME)

    def _first(self, name: str) -> tuple[str, str] | None:
        for spelled in (name.lower(), name):
            if spelled in self.variables:
                return spelled, self.variables[spelled].strip()
        return None


def proxies_here() -> Proxies:
    """Return the proxies of this process's environment."""
    return Proxies.of(os.environ)


@contextmanager
def asked_directly(hosts: Iterable[str]) -> Iterator[None]:
    """Exempt *hosts* from proxies, for this process and those it starts meanwhile.

    Without a proxy, nothing changes, since an exemption alone has a meaning, too.
    """
    here = proxies_here()
    listed = here.exempt
    if not here.are_set or _EVERYTHING in listed:  # some programs know the star only by itself
        yield
        return
    spelled = (_EXEMPT, _EXEMPT.lower())  # some programs read only one of the spellings
    before = {name: os.environ.get(name) for name in spelled}
    os.environ.update(dict.fromkeys(spelled, ",".join(dict.fromkeys((*listed, *hosts)))))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's loopback, which no proxy reaches."""
    address = _address(host)
    if address is None:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _proxy(variable: str, value: str) -> Proxy:
    """Return the proxy that a variable names; as in curl, ``host:port`` is one, too."""
    advice = (
        f"Set {variable} to http://HOST:PORT or http://USER:PASSWORD@HOST:PORT (special characters "
        f"as %XX), or unset it. {_EXEMPT} lists hosts that are asked directly."
    )
    url_like = value if "://" in value else f"http://{value}"
    scheme = url_like.partition("://")[0].lower()
    if scheme.isalnum() and scheme not in _PROXY_SCHEMES:
        raise ConfigurationError(
            f"{variable} names a {scheme} proxy, which raysync cannot use. {advice}"
        )
    try:
        url = parsed(url_like)
        host, user, password = url.raw_host, url.user or "", url.password or ""
        f"{user}:{password}".encode("latin-1")  # as aiohttp sends them
        is_usable = url.scheme in _PROXY_SCHEMES and host and url.port != 0 and ":" not in user
    except ValueError:
        is_usable = False
    if not is_usable or any(char.isspace() for char in url_like):
        raise ConfigurationError(f"{variable} is not the address of a proxy. {advice}")
    bare = url.origin()
    whole = bare.with_user(user).with_password(password) if user else bare
    return Proxy(str(whole), str(bare), variable)


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of NO_PROXY covers a host.

    An entry is ``*``, a name with all below it, an address, or a network; a port may follow.
    """
    if entry == _EVERYTHING:
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, of_port = _split(entry)
    if of_port and of_port != str(port):
        return False
    listed = _address(name)
    if listed is not None or address is not None:
        return listed == address
    name = _ascii(name.removeprefix("*").strip("."))
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, str]:
    """Split an entry of NO_PROXY into its host and its port, which may be missing."""
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    return host, port


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _ascii(name: str) -> str:
    """Return a name as URLs spell it."""
    try:
        return URL.build(scheme="http", host=name.lower()).raw_host or ""
    except ValueError:
        return ""
