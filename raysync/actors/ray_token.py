"""Ray's authentication token: whether a cluster requires it, and whether this process sends it.

Without RAY_AUTH_MODE, Ray's client sends no token to a named address, and reports only a failed
connection, half a minute later. So raysync asks the cluster first, which takes milliseconds.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any, Final

import ray._raylet

from raysync.errors import ConfigurationError

ANSWER_S: Final = 5.0
_MODE: Final = "RAY_AUTH_MODE"
_TOKEN_VARIABLES: Final = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_TOKEN_FILE: Final = "~/.ray/auth_token"  # noqa: S105 a path
_CHANNEL_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


def require_token(address: str) -> None:
    """Configure this process to send Ray's token if the cluster at *address* requires one.

    A cluster on this machine gets it automatically; another one only with RAY_AUTH_MODE=token.

    Raises:
        ConfigurationError: the cluster requires a token that is not sent, or accepts none.
    """
    is_required = _refuses(address, None)
    if is_required is None:
        return
    mode = os.environ.get(_MODE, "").lower()
    if not is_required and mode == "token":
        raise ConfigurationError(
            f"The Ray cluster at {address} uses no token, but RAY_AUTH_MODE is token: its actors "
            "would refuse to work. Unset RAY_AUTH_MODE, or start the cluster with a token "
            "(docs/cluster.md)."
        )
    if not is_required:
        return
    token = _own_token()
    is_sent = mode == "token" or (not mode and _is_here(address))
    if not is_sent or token is None or _refuses(address, token):
        raise ConfigurationError(about_token(address))
    if not mode:
        os.environ[_MODE] = "token"
        config: Any = ray._raylet  # noqa: SLF001 it has read the variable at its import
        config.Config.initialize("")


def _refuses(address: str, token: str | None) -> bool | None:
    """Return whether the cluster refuses that token; None where it gives no answer."""
    if "://" in address or not address.rpartition(":")[2].isdecimal():
        return None
    import grpc  # here, because a local run does not need it
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    messages: Any = gcs_service_pb2  # generated: without types
    stubs: Any = gcs_service_pb2_grpc
    sent = () if token is None else (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        stub = stubs.NodeInfoGcsServiceStub(channel)
        try:
            stub.CheckAlive(messages.CheckAliveRequest(), timeout=ANSWER_S, metadata=sent)
        except grpc.RpcError as error:
            is_refusal = error.code() == grpc.StatusCode.UNAUTHENTICATED
            return True if is_refusal else None
    return False


def _is_here(address: str) -> bool:
    """Return whether *address* is of this machine: sockets bind to no other address."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return host == "localhost"
    with socket.socket(family, socket.SOCK_STREAM) as own:
        try:
            own.bind((host, 0))
        except OSError:
            return False
    return True


def _own_token() -> str | None:
    """Return the token that Ray finds on this machine."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN_FILE).expanduser()
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return token or None


def about_token(address: str) -> str:
    """Return an error text for a cluster that got no token, or refused the one it got."""
    if os.environ.get(_MODE, "").lower() != "token":
        return (
            f"The Ray cluster at {address} requires its token. Set RAY_AUTH_MODE=token, and put "
            "the token into ~/.ray/auth_token or RAY_AUTH_TOKEN (`ray get-auth-token` shows it on "
            "the cluster)."
        )
    sources = [name for name in _TOKEN_VARIABLES if os.environ.get(name)]
    if _own_token() is None:
        return (
            f"RAY_AUTH_MODE is token, but there is no token for the Ray cluster at {address}. Put "
            "it into ~/.ray/auth_token or RAY_AUTH_TOKEN (`ray get-auth-token` shows it on the "
            "cluster)."
        )
    return (
        f"The Ray cluster at {address} refuses the token in {(*sources, _TOKEN_FILE)[0]}. Use the "
        "token that the cluster was started with."
    )
