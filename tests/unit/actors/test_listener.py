"""The check that a server listens, before Ray's clients wait for it."""

from __future__ import annotations

import socket

from raysync.actors.listener import reason_unreachable


def test_a_server_that_listens_is_reachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert reason_unreachable(*server.getsockname()) is None


def test_a_closed_port_and_an_impossible_one_have_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

    assert reason_unreachable(*address) == "Connection refused"
    assert reason_unreachable("127.0.0.1", 70_000) is not None
