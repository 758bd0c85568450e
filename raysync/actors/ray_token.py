"""Ray's authentication token: which token this process uses, and whether it sends one.

Ray reads RAY_AUTH_MODE at its import. Without it, Ray's client sends no token to a named address,
and reports only a failed connection, half a minute later. So raysync asks the cluster first, which
takes milliseconds, and sets the mode by the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ray._raylet

from raysync.credentials import write_secret_once
from raysync.errors import ConfigurationError

TOKEN_FILE: Final = "ray_auth_token"  # noqa: S105 a name
"""Name of the file, under RAYSYNC_HOME, with the token of local Rays."""
_MODE: Final = "RAY_AUTH_MODE"
_TOKEN: Final = "RAY_AUTH_TOKEN"  # noqa: S105 a variable's name
_TOKEN_PATH: Final = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 a variable's name
_DEFAULT_PATH: Final = "~/.ray/auth_token"


def use_own_token(home: Path) -> None:
    """Protect a local Ray by a token of raysync's, unless RAY_AUTH_MODE is disabled.

    Ray itself would write `~/.ray/auth_token`, which turns on authentication for every later
    `ray start` of the user.

    Raises:
        ConfigurationError: the token cannot be stored under *home*.
    """
    if _mode() == "disabled":
        return
    path = home / TOKEN_FILE
    try:
        write_secret_once(path)
        is_usable = bool(path.read_bytes().strip())
    except OSError as error:
        raise ConfigurationError(
            f"Cannot store the token of a local Ray in {path}: {error.strerror}. Set RAYSYNC_HOME "
            "to a directory of your own."
        ) from None
    if not is_usable:
        raise ConfigurationError(f"{path} holds no token. Delete it, and the next run writes one.")
    os.environ.pop(_TOKEN, None)  # Ray prefers it to the file
    os.environ[_TOKEN_PATH] = str(path)
    _send()


def follow_cluster(address: str, accepts: Callable[[str | None], bool]) -> str | None:
    """Send Ray's token from now on if the cluster requires it; return the token that is sent.

    *accepts* asks the cluster with that token, or without any.

    Raises:
        ConfigurationError: the cluster requires a token that is not here, or accepts none.
    """
    if accepts(None):
        if _mode() == "token":
            raise ConfigurationError(
                f"The Ray cluster at {address} uses no token, but RAY_AUTH_MODE is token: its "
                "actors would refuse to work. Unset RAY_AUTH_MODE, or start the cluster with a "
                "token (docs/cluster.md)."
            )
        return None
    token = _own_token()
    if token is None or _mode() == "disabled" or not accepts(token):
        raise ConfigurationError(about_token(address))
    _send()
    return token


def send_if_undecided() -> bool:
    """Send this machine's token from now on; return False if there is none, or a mode is set."""
    if _mode() or _own_token() is None:
        return False
    _send()
    return True


def about_token(address: str) -> str:
    """Return an error text for a cluster that got no token, or refused the one it got."""
    if _mode() == "disabled":
        return (
            f"The Ray cluster at {address} requires its token, but RAY_AUTH_MODE is disabled, so "
            "none is sent. Unset RAY_AUTH_MODE."
        )
    if _own_token() is not None:
        return (
            f"The Ray cluster at {address} refuses the token in {source()}. Use the token that the "
            "cluster was started with (`ray get-auth-token` shows it there)."
        )
    path = os.environ.get(_TOKEN_PATH)
    where = f"RAY_AUTH_TOKEN_PATH names no readable token ({path})" if path else "there is none"
    return (
        f"The Ray cluster at {address} requires its token, and here {where}. Put the token into "
        f"{path or _DEFAULT_PATH} or RAY_AUTH_TOKEN (`ray get-auth-token` shows it on the cluster)."
    )


def source() -> str:
    """Return the variable or the file from which Ray takes its token."""
    if os.environ.get(_TOKEN):
        return _TOKEN
    return os.environ.get(_TOKEN_PATH) or _DEFAULT_PATH


def is_sent() -> bool:
    """Return whether this process uses Ray's token."""
    return _mode() == "token"


def _mode() -> str:
    return os.environ.get(_MODE, "").lower()


def _send() -> None:
    """Use the token from now on: Ray has read the mode at its import, and may know a token."""
    os.environ[_MODE] = "token"
    raylet: Any = ray._raylet  # noqa: SLF001 Ray's own setup of tokens does the same
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _own_token() -> str | None:
    """Return the token that Ray finds on this machine."""
    if token := os.environ.get(_TOKEN):
        return token.strip()
    path = Path(os.environ.get(_TOKEN_PATH) or _DEFAULT_PATH).expanduser()
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return token or None
