"""What is said of a connection that does not come to be."""

from __future__ import annotations

import errno
import socket
import ssl
from types import SimpleNamespace

import aiohttp
import discord
import pytest
from aiohttp.client_reqrep import ConnectionKey

from raysync.discord_api.address import DISCORD_API_URL
from raysync.discord_api.errors import translate

KEY = ConnectionKey("discord.com", 443, True, True, None, None, None)
ELSEWHERE = "http://someone:hunter2@emulator.example:8000/api/v10"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(socket.EAI_NONAME, "x")),
            "name not known",
            id="name",
        ),
        pytest.param(
            aiohttp.ClientConnectorError(KEY, OSError(errno.ENETUNREACH, "x")),
            "network is unreachable",
            id="network",
        ),
        pytest.param(
            aiohttp.ClientConnectorError(KEY, OSError("Multiple exceptions")),
            "no connection",
            id="several-addresses",
        ),
        pytest.param(
            aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("x")),
            "its certificate is not trusted",
            id="certificate",
        ),
        pytest.param(
            aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "x")), "no TLS", id="tls"
        ),
    ],
)
def test_who_cannot_be_reached_is_named_with_the_reason(error: Exception, reason: str) -> None:
    told = str(translate(error, "login", DISCORD_API_URL))

    assert told == f"login: cannot reach discord.com ({reason}). Is this machine online?"


def test_an_address_that_is_not_discords_is_named_without_its_password() -> None:
    refused = aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "x"))
    told = str(translate(refused, "login", ELSEWHERE))

    assert told == (
        "login: cannot reach emulator.example:8000 (connection refused). "
        "RAYSYNC_DISCORD_API_URL is http://emulator.example:8000/api/v10."
    )


def test_a_connection_that_breaks_off_shows_no_class_of_pythons() -> None:
    told = str(translate(aiohttp.ServerDisconnectedError(), "login", DISCORD_API_URL))

    assert told == "login: the connection to discord.com broke off."


@pytest.mark.parametrize("status", [401, None])
def test_a_rejected_token_is_told_with_where_it_was_asked(status: int | None) -> None:
    error: Exception = discord.LoginFailure("x")
    if status is not None:
        answer = SimpleNamespace(status=status, reason="no", headers={})
        error = discord.HTTPException(answer, None)  # type: ignore[arg-type]

    assert "asked at" not in str(translate(error, "login", DISCORD_API_URL))
    assert str(translate(error, "login", ELSEWHERE)).startswith(
        "Discord rejects the token (asked at http://emulator.example:8000/api/v10, "
        "RAYSYNC_DISCORD_API_URL). Copy a new one: "
    )
