"""Ray's token, asked for by a dashboard that answers as Ray's does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import ray

from raysync.errors import ConfigurationError
from raysync.submission.jobs import ClusterJobs
from tests.unit.actors.conftest import keep_token, reread, sends_token

pytestmark = pytest.mark.usefixtures("own_home")

TOKEN = "the-token-of-this-cluster-" + "x" * 20
OTHER = "the-token-of-another-cluster-" + "x" * 20


@contextmanager
def dashboard(token: str | None) -> Iterator[tuple[str, list[str | None]]]:
    """Serve a dashboard; yield its address, and what it was sent as authorization."""
    was_sent: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.headers.get("Authorization")
            was_sent.append(sent)
            refusal = 401 if sent is None else 403
            body = json.dumps({"ray_version": ray.__version__, "version": "4"}).encode()
            self.send_response(200 if token is None or sent == f"Bearer {token}" else refusal)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", was_sent
        finally:
            server.shutdown()


def test_a_dashboard_that_asks_for_the_token_gets_it(own_home: Path) -> None:
    keep_token(own_home, TOKEN)
    with dashboard(TOKEN) as (address, was_sent):
        jobs = ClusterJobs.at(address)

    assert was_sent[0] is None, "it is asked without one first"
    assert set(was_sent) == {None, f"Bearer {TOKEN}"}
    assert jobs.command("stop", "x") == f"RAY_AUTH_MODE=token ray job stop --address {address} x"


def test_a_dashboard_that_does_not_ask_gets_none(own_home: Path) -> None:
    keep_token(own_home, TOKEN)
    with dashboard(None) as (address, was_sent):
        jobs = ClusterJobs.at(address)

    assert set(was_sent) == {None}
    assert jobs.command("stop", "x") == f"ray job stop --address {address} x"
    assert not sends_token()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        pytest.param({}, "here there is none", id="none"),
        pytest.param({"RAY_AUTH_MODE": "token"}, "here there is none", id="none-to-send"),
        pytest.param({"RAY_AUTH_TOKEN": OTHER}, "refuses the token in RAY_AUTH_TOKEN", id="other"),
        pytest.param(
            {"RAY_AUTH_TOKEN": TOKEN, "RAY_AUTH_MODE": "disabled"},
            "RAY_AUTH_MODE is disabled",
            id="disabled",
        ),
    ],
)
def test_a_token_that_is_not_here_is_a_sentence_and_no_line_of_rays(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    environ: dict[str, str],
    sentence: str,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    reread()
    with (
        dashboard(TOKEN) as (address, _),
        pytest.raises(ConfigurationError, match=f"cluster at {address} .*{sentence}"),
    ):
        ClusterJobs.at(address)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://10.0.0.1:10001", "an address of Ray Client, .*--address http://HOST:8265"),
        ("ray://me:hush@10.0.0.1:10001", "^ray://10.0.0.1:10001 is an address of Ray Client"),
        ("mine://10.0.0.1:8265", "no address of a dashboard"),
    ],
)
def test_an_address_of_another_kind_is_refused_without_a_connection(
    address: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        ClusterJobs.at(address)
