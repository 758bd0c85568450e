"""Whether this process can join a cluster, asked of a head that answers as Ray's does."""

from __future__ import annotations

import os
import socket
import stat
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import ray
from ray._raylet import AuthenticationTokenLoader

from raysync.actors import joining
from raysync.actors.joining import Head, require_joinable
from raysync.actors.ray_token import TOKEN_FILE, about_token, source, use_own_token
from raysync.errors import ConfigurationError
from raysync.settings import read_settings
from tests.unit.actors.conftest import keep_token, sends_token
from tests.unit.actors.fake_head import FakeHead, serving

TOKEN = "the-token-of-this-cluster-" + "x" * 20
OTHER = "the-token-of-another-cluster-" + "x" * 20
pytestmark = pytest.mark.usefixtures("own_home")

PYTHON = ".".join(map(str, sys.version_info[:3]))


def head(
    token: str | None = None, ray_version: str = ray.__version__, python: str | None = PYTHON
) -> FakeHead:
    return FakeHead(token, ray_version, python)


def test_a_head_without_a_token_is_joined_and_is_sent_none(own_home: Path) -> None:
    keep_token(own_home, TOKEN)
    fake = head()
    with serving(fake) as address:
        assert require_joinable(address) == Head(address, ray.__version__, PYTHON)

    assert set(fake.was_sent) == {None}
    assert not sends_token()


def test_a_head_with_a_token_gets_it_from_now_on(own_home: Path) -> None:
    keep_token(own_home, TOKEN)
    fake = head(TOKEN)
    with serving(fake) as address:
        assert require_joinable(address) == Head(address, ray.__version__, PYTHON)

    assert fake.was_sent == [None, f"Bearer {TOKEN}", f"Bearer {TOKEN}"], "asked without it first"
    assert sends_token()
    loader = AuthenticationTokenLoader.instance()
    assert loader.get_token_for_http_header() == {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        pytest.param({}, "here there is none.*into ~/.ray/auth_token", id="none"),
        pytest.param(
            {"RAY_AUTH_MODE": "token"}, "here there is none.*into ~/.ray/auth_token", id="no-file"
        ),
        pytest.param(
            {"RAY_AUTH_TOKEN_PATH": "/nowhere/token"},
            r"RAY_AUTH_TOKEN_PATH names no readable token \(/nowhere/token\)",
            id="no-readable-file",
        ),
        pytest.param({"RAY_AUTH_TOKEN": OTHER}, "refuses the token in RAY_AUTH_TOKEN", id="other"),
        pytest.param(
            {"RAY_AUTH_TOKEN": TOKEN, "RAY_AUTH_MODE": "disabled"},
            "RAY_AUTH_MODE is disabled.*Unset RAY_AUTH_MODE",
            id="disabled",
        ),
    ],
)
def test_a_token_that_is_not_here_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], sentence: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with serving(head(TOKEN)) as address, pytest.raises(ConfigurationError) as refused:
        require_joinable(address)

    refused.match(f"cluster at {address} .*{sentence}")
    assert OTHER not in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_head_without_a_token_refuses_a_mode_that_insists_on_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    with (
        serving(head()) as address,
        pytest.raises(ConfigurationError, match=r"uses no token.*Unset RAY_AUTH_MODE"),
    ):
        require_joinable(address)


@pytest.mark.parametrize(
    ("ray_version", "python", "there"),
    [
        ("2.59.1", None, "Ray 2.59.1, and"),
        (ray.__version__, "3.8.2", f"Ray {ray.__version__} with Python 3.8.2, and"),
        (
            ray.__version__,
            f"{PYTHON}9",
            f"Ray {ray.__version__} with Python {PYTHON}9, and",
        ),
    ],
)
def test_other_versions_are_named_with_what_is_needed(
    ray_version: str, python: str | None, there: str
) -> None:
    fake = head(None, ray_version, python)
    with serving(fake) as address, pytest.raises(ConfigurationError) as refused:
        require_joinable(address)

    text = str(refused.value)
    assert there in text
    assert f"this is Ray {ray.__version__} with Python {PYTHON}." in text
    assert "the patch of Python's included" in text
    assert "raysync submit" in text


def test_a_patch_may_differ_where_rays_own_variable_allows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "minor")
    with serving(head(python=f"{PYTHON}9")) as address:
        assert require_joinable(address).python_version == f"{PYTHON}9"


def test_a_head_that_does_not_tell_its_python_is_left_to_ray() -> None:
    with serving(head(python=None)) as address:
        assert require_joinable(address) == Head(address, ray.__version__, None)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://10.0.0.1:10001", "Ray Client.*raysync submit"),
        ("http://10.0.0.1:8265", "dashboard.*raysync submit"),
        ("mine://10.0.0.1:8265", "no address of a Ray head.*raysync submit"),
        ("10.0.0.1", "no address of a Ray head. Set it to HOST:6379"),
    ],
)
def test_an_address_of_another_kind_is_refused_without_a_connection(
    address: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"RAY_ADDRESS is {address}, .*{sentence}"):
        require_joinable(address)


def test_a_server_that_is_no_head_is_a_sentence() -> None:
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ConfigurationError, match=r"does not answer as the head .*6379"):
            require_joinable(f"127.0.0.1:{server.server_port}")
        server.shutdown()


def test_a_head_too_busy_to_answer_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert require_joinable(address) == Head(address)


def test_a_local_ray_has_a_token_of_its_own(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", OTHER)
    home = own_home / "not/yet"
    use_own_token(home)
    token = (home / TOKEN_FILE).read_text()
    use_own_token(home)

    assert (home / TOKEN_FILE).read_text() == token
    assert stat.S_IMODE((home / TOKEN_FILE).stat().st_mode) == 0o600
    assert sends_token()
    assert AuthenticationTokenLoader.instance().get_raw_token() == token
    assert source() == str(home / TOKEN_FILE)
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert not (own_home / ".ray").exists()


@pytest.mark.parametrize(
    ("address", "joined"), [("local", None), ("", None), ("auto", "auto"), ("a:1", "a:1")]
)
def test_rays_word_for_a_local_ray_joins_nothing(
    monkeypatch: pytest.MonkeyPatch, address: str, joined: str | None
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)

    assert read_settings().ray_address == joined


def test_a_local_ray_has_no_token_where_none_is_wanted(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    use_own_token(own_home / "home")

    assert list(own_home.iterdir()) == []
    assert not sends_token()


def test_a_home_that_takes_no_token_is_a_sentence(own_home: Path) -> None:
    (own_home / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"Cannot store the token.*Set RAYSYNC_HOME"):
        use_own_token(own_home / "file")


def test_the_source_of_a_refused_token_is_the_one_that_ray_prefers(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_token(own_home, OTHER)
    assert "in ~/.ray/auth_token" in about_token("a:1")
    (own_home / "more").write_text(OTHER)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(own_home / "more"))
    assert f"in {own_home / 'more'}" in about_token("a:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", OTHER)
    assert "in RAY_AUTH_TOKEN." in about_token("a:1")
