"""Check that this process can join a Ray cluster, before Ray itself tries.

Ray's own attempt takes up to half a minute, prints twenty lines, and ends with "Failed to connect".
The head answers a plain gRPC call in milliseconds: whether it requires a token, and its versions.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
import ray
from ray._common.tls_utils import load_certs_from_env
from ray._private import services
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from raysync.actors.listener import reason_unreachable
from raysync.actors.ray_token import follow_cluster
from raysync.errors import ConfigurationError
from raysync.reasons import reason_of

ANSWER_S: Final = 3.0
"""Timeout of each call to the head, in seconds."""
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)
_METADATA: Final = (b"cluster", b"CLUSTER_METADATA")
"""Namespace and key under which a head keeps its versions."""
_SCHEMES: Final = {
    "ray": "an address of Ray Client, over which raysync cannot run",
    "http": "an address of Ray's dashboard, which only takes submitted jobs",
    "https": "an address of Ray's dashboard, which only takes submitted jobs",
}
_SILENT: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_messages: Any = gcs_service_pb2  # generated: without types
_stubs: Any = gcs_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class Head:
    """Head of a cluster, as it describes itself."""

    address: str  #: host and port
    ray_version: str | None = None  #: None if the head did not answer in time
    python_version: str | None = None  #: None if the head does not say

    @property
    def versions(self) -> str:
        """The known versions, for a sentence."""
        python = f" with Python {self.python_version}" if self.python_version else ""
        return f"Ray {self.ray_version}{python}"


def require_joinable(named: str) -> Head:
    """Return the head at *named*, which this process can join; send Ray's token if required.

    A head that is too busy to answer is returned without versions: Ray waits longer for it.

    Raises:
        ConfigurationError: no head answers there, it requires another token, or it has other
            versions of Ray or Python.
    """
    address = _resolved(named)
    _require_listener(address)
    with _channel(address) as channel:
        head = _Calls(channel, address)
        try:
            token = follow_cluster(address, head.accepts)
        except TimeoutError:
            return Head(address)
        answer = Head(address, head.ray_version, head.python_version(token))
    _require_same_versions(answer)
    return answer


def is_alive(address: str) -> bool:
    """Return whether a head answers at *address*; a refusal is an answer, too."""
    with _channel(address) as channel:
        stub = _stubs.NodeInfoGcsServiceStub(channel)
        try:
            stub.CheckAlive(_messages.CheckAliveRequest(), timeout=ANSWER_S)
        except grpc.RpcError as error:
            return error.code() not in _SILENT
    return True


class _Calls:
    """Calls to one head."""

    def __init__(self, channel: Any, address: str) -> None:
        self._nodes = _stubs.NodeInfoGcsServiceStub(channel)
        self._values = _stubs.InternalKVGcsServiceStub(channel)
        self._address = address
        self.ray_version: str | None = None

    def accepts(self, token: str | None) -> bool:
        """Return whether the head answers a call with that token; note its version of Ray.

        Raises:
            ConfigurationError: whatever answers is no head of Ray.
            TimeoutError: nothing has answered in time.
        """
        request = _messages.CheckAliveRequest()
        try:
            reply = self._nodes.CheckAlive(request, timeout=ANSWER_S, metadata=_sent(token))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return False
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from None
            raise ConfigurationError(
                f"The server at {self._address} does not answer as the head of a Ray cluster: "
                f"{reason_of(error.details() or error.code().name)}. RAY_ADDRESS needs the head's "
                "own port, 6379 unless it was started with another one."
            ) from None
        self.ray_version = reply.ray_version or None
        return True

    def python_version(self, token: str | None) -> str | None:
        """Return the head's version of Python; None if it does not say."""
        namespace, key = _METADATA
        request = _messages.InternalKVGetRequest(namespace=namespace, key=key)
        try:
            reply = self._values.InternalKVGet(request, timeout=ANSWER_S, metadata=_sent(token))
            version = json.loads(reply.value)["python_version"]
        except (grpc.RpcError, ValueError, LookupError, TypeError):
            return None
        return version if isinstance(version, str) else None


def _sent(token: str | None) -> tuple[tuple[str, str], ...]:
    return () if token is None else (("authorization", f"Bearer {token}"),)


@contextmanager
def _channel(address: str) -> Iterator[Any]:
    """Open a channel to the head, over TLS if RAY_USE_TLS is set. No token goes along by itself."""
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        with grpc.insecure_channel(address, options=_OPTIONS) as channel:
            yield channel
        return
    try:
        chain, key, authority = load_certs_from_env()  # type: ignore[no-untyped-call]  # untyped in Ray
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"Cannot use RAY_USE_TLS: {reason_of(error)}.") from None
    credentials = grpc.ssl_channel_credentials(authority, key, chain)
    with grpc.secure_channel(address, credentials, options=_OPTIONS) as channel:
        yield channel


def _resolved(named: str) -> str:
    """Return host and port of the address that the user has given."""
    scheme, separator, _ = named.partition("://")
    if separator:
        what = _SCHEMES.get(scheme, "no address of a Ray head")
        raise ConfigurationError(
            f"RAY_ADDRESS is {named}, {what}. Run on the cluster: `raysync submit --address "
            "http://HOST:8265 -- start`; or, on a machine of the cluster, set RAY_ADDRESS to the "
            "head's own HOST:6379."
        )
    if named != "auto":
        if not named.rpartition(":")[2].isdecimal():
            raise ConfigurationError(
                f"RAY_ADDRESS is {named}, which is no address of a Ray head. Set it to HOST:6379."
            )
        return named
    try:
        found = services.canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError):
        found = None
    if found is None:
        raise ConfigurationError(
            "RAY_ADDRESS is auto, but no Ray cluster runs on this machine. Start one "
            "(`ray start --head`), or unset RAY_ADDRESS."
        )
    return str(found)


def _require_listener(address: str) -> None:
    """Raise ConfigurationError where no server listens; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    reason = reason_unreachable(host.strip("[]"), int(port))
    if reason is not None:
        raise ConfigurationError(
            f"Cannot connect to the Ray cluster at {address}: {reason}. Check that the cluster "
            "runs and that RAY_ADDRESS is correct."
        )


def _require_same_versions(head: Head) -> None:
    """Raise ConfigurationError where Ray would refuse this process for its versions."""
    ours = Head("", ray.__version__, ".".join(map(str, sys.version_info[:3])))
    level = os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "patch")
    parts = 2 if level == "minor" else 3
    is_same_python = head.python_version is None or (
        head.python_version.split(".")[:parts] == str(ours.python_version).split(".")[:parts]
    )
    if head.ray_version in (None, ours.ray_version) and is_same_python:
        return
    raise ConfigurationError(
        f"The Ray cluster at {head.address} runs {head.versions}, and this is {ours.versions}. "
        "Ray needs the same versions of both on all machines, the patch of Python's included. Use "
        "the cluster's versions here, or run on the cluster: `raysync submit` (docs/cluster.md)."
    )
