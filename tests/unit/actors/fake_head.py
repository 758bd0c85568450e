"""Head of a Ray cluster that answers only what a process asks before it joins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from ray.core.generated import gcs_service_pb2 as messages
from ray.core.generated import gcs_service_pb2_grpc as stubs


class FakeHead(stubs.NodeInfoGcsServiceServicer, stubs.InternalKVGcsServiceServicer):
    """Head with a token and versions; it records the tokens that it was sent."""

    def __init__(self, token: str | None, ray_version: str, python_version: str | None) -> None:
        self.token = token
        self.ray_version = ray_version
        self.python_version = python_version
        self.was_sent: list[str | None] = []

    def CheckAlive(self, request: Any, context: Any) -> Any:  # noqa: N802 the service's name
        self._admit(context)
        return messages.CheckAliveReply(ray_version=self.ray_version)

    def InternalKVGet(self, request: Any, context: Any) -> Any:  # noqa: N802 the service's name
        self._admit(context)
        assert (request.namespace, request.key) == (b"cluster", b"CLUSTER_METADATA")
        if self.python_version is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
        versions = {"ray_version": self.ray_version, "python_version": self.python_version}
        return messages.InternalKVGetReply(value=json.dumps(versions).encode())

    def _admit(self, context: Any) -> None:
        sent = dict(context.invocation_metadata()).get("authorization")
        self.was_sent.append(sent)
        if self.token is not None and sent != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")


@contextmanager
def serving(head: FakeHead) -> Iterator[str]:
    """Serve the head; yield its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    stubs.add_NodeInfoGcsServiceServicer_to_server(head, server)
    stubs.add_InternalKVGcsServiceServicer_to_server(head, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
