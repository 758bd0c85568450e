"""Ray's token: whether a cluster asks for it, and whether this process sends it.

Ray's own client sends none to a named address unless RAY_AUTH_MODE is set, and tells only that it
failed to connect, half a minute later. So the cluster is asked first, which takes milliseconds.
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
    """Have this process send Ray's token where the cluster at *address* asks for one.

    It goes to this machine by itself; to another one only where a user says so.

    Raises:
        ConfigurationError: it asks for a token that is not sent, or for none and one would be.
    """
    is_asked = _refuses(address, None)
    if is_asked is None:
        return
    mode = os.environ.get(_MODE, "").lower()
    if not is_asked and mode == "token":
        raise ConfigurationError(
            f"The Ray cluster at {address} asks for no token, and RAY_AUTH_MODE is token: its "
            "actors would refuse to work. Unset RAY_AUTH_MODE, or start the cluster with a token "
            "(docs/cluster.md)."
        )
    if not is_asked:
        return
    token = _own_token()
    is_sent = mode == "token" or (not mode and _is_here(address))
    if not is_sent or token is None or _refuses(address, token):
        raise ConfigurationError(about_token(address))
    if not mode:
        os.environ[_MODE] = "token"
        config: Any = ray._raylet  # noqa: SLF001 which has read the variable before
        config.Config.initialize("")


def _refuses(address: str, token: str | None) -> bool | None:
    """Whether the cluster refuses who comes with that token; None where it does not say."""
    if "://" in address or not address.rpartition(":")[2].isdecimal():
        return None
    import grpc  # here: a local run asks nobody
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
    """Whether it is an address of this machine: a socket can be bound to no other."""
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
    """The token that Ray finds on this machine."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN_FILE).expanduser()
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return token or None


def about_token(address: str) -> str:
    """What to do where a cluster refuses: no token was sent, or the wrong one."""
    if os.environ.get(_MODE, "").lower() != "token":
        return (
            f"The Ray cluster at {address} asks for its token: set RAY_AUTH_MODE=token, and put "
            "the token into ~/.ray/auth_token or RAY_AUTH_TOKEN (`ray get-auth-token` shows it on "
            "the cluster)."
        )
    named = [name for name in _TOKEN_VARIABLES if os.environ.get(name)]
    if _own_token() is None:
        return (
            f"RAY_AUTH_MODE is token, and there is none for the Ray cluster at {address}: put it "
            "into ~/.ray/auth_token or RAY_AUTH_TOKEN (`ray get-auth-token` shows it on the "
            "cluster)."
        )
    return (
        f"The Ray cluster at {address} refuses the token in {named[0] if named else _TOKEN_FILE}: "
        "it must be the one that the cluster was started with."
    )
