"""One spelling of the API's address, and what cannot be one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysync.credentials import resolve_token
from raysync.discord_api.address import DISCORD_API_URL, elsewhere, is_same, normalized
from raysync.errors import ConfigurationError, TokenUnavailableError
from raysync.settings import read_settings

OF_DISCORD = [
    "https://discord.com/api/v10",
    "https://discord.com/api/v10/",
    "https://discord.com/api/v10//",
    "HTTPS://Discord.COM/api/v10",
    "https://discord.com:443/api/v10",
    "https://discord.com:0443/api/v10",
    "https://discord.com:/api/v10",
    "https://discord.com./api/v10",
    "  https://discord.com/api/v10\n",
    "https://discord.com//api///v10",
    "https://discord.com/api/./v10/.",
    "https://discord.com/api/v9/../v10",
    "https://discord.com/api/%7610",
    "https://discord.com/%61pi/%2e/v10",
    "https://ｄｉｓｃｏｒｄ.com/api/v10",
]


@pytest.mark.parametrize("spelled", OF_DISCORD)
def test_however_discords_own_address_is_spelled_it_is_discords(spelled: str) -> None:
    assert normalized(spelled) == DISCORD_API_URL
    assert elsewhere(spelled) is None


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("http://LocalHost:8806/api/v10", "http://localhost:8806/api/v10"),
        ("http://discord.com/api/v10", "http://discord.com/api/v10"),
        ("https://discord.com:80/api/v10", "https://discord.com:80/api/v10"),
        ("http://127.0.0.1:80/api/v10/", "http://127.0.0.1/api/v10"),
        ("http://[0:0:0:0:0:0:0:1]:8806/api", "http://[::1]:8806/api"),
        ("http://[::1]:80/api", "http://[::1]/api"),
        ("http://[2001:DB8::A]/api", "http://[2001:db8::a]/api"),
        ("http://bücher.example/api", "http://xn--bcher-kva.example/api"),
        ("http://XN--bcher-kva.example/api", "http://xn--bcher-kva.example/api"),
        ("http://my_host-1:9/API", "http://my_host-1:9/API"),
        ("http://host", "http://host"),
        ("http://host/", "http://host"),
        ("http://host/a/%2F/b", "http://host/a/%2F/b"),
        ("http://host/{x}", "http://host/%7Bx%7D"),
    ],
)
def test_an_address_has_one_spelling(spelled: str, expected: str) -> None:
    assert normalized(spelled) == expected
    assert is_same(spelled, expected)
    assert elsewhere(spelled) is not None


@pytest.mark.parametrize(
    "address",
    [
        "", " ", "discord.com/api/v10", "ftp://discord.com", "https:/discord.com", "https:discord",
        "https://", "https:///api", "https://:443/api", "https://./api", "https://a..b/api",
        "https://h:0/api", "https://h:65536/api", "https://h:x/api", "https://h:-1/api",
        "https://[::1/api", "https://[]@/", "https://[]@",
        "https://[1::2::3]/api", "https://[::g]/api", "https://::1/api",
        "https://h/api?", "https://h/api?v=10", "https://h/api#", "https://h/api#v10",
        "https://user@h/api", "https://user:hunter2@h/api", "https://:hunter2@h/api",
        "https://h /api", "https://h/a pi", "https://h\t/api", "https://h/a\npi", "https://h\\x/api",
        "https://di%73cord.com/api", "https://h\x00/api", "https://h/\u202eapi", "https://ex\xadample/",
    ],
)  # fmt: skip
def test_what_is_no_address_is_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^(must|is not)") as caught:
        normalized(address)

    assert "hunter2" not in str(caught.value)
    if address and "\x00" not in address:
        monkeypatch.setenv("RAYSYNC_DISCORD_API_URL", address)
        with pytest.raises(ConfigurationError) as told:
            read_settings()
        assert str(told.value) == (
            f"The environment variable RAYSYNC_DISCORD_API_URL cannot be used: it {caught.value}."
        )
        assert told.value.exit_code == 2


@given(
    st.sampled_from(["http://", "https://", "HTTP://"]),
    st.text(max_size=12) | st.sampled_from(["h", "[::1]", "h:80", "H.", "127.1", "a.b:443"]),
    st.text(alphabet=st.sampled_from("/.%2eE5cfF?#@:aA~é {}\\\0"), max_size=16),
)
def test_an_address_is_normal_at_once(scheme: str, host: str, path: str) -> None:
    try:
        found = normalized(f"{scheme}{host}{path}")
    except ValueError:
        return
    assert normalized(found) == found


@pytest.mark.parametrize("spelled", ["HTTP://LocalHost:80/api/v10/", "http://localhost/api//v10"])
def test_the_demos_token_goes_with_its_discord_however_that_is_spelled(spelled: str) -> None:
    with pytest.raises(TokenUnavailableError, match="no usable token"):  # nothing is stored here
        resolve_token("demo:http://localhost/api/v10", None, b"0" * 16, spelled)
    with pytest.raises(TokenUnavailableError, match="demo's Discord has ended"):
        resolve_token("demo:http://localhost:81/api/v10", None, b"0" * 16, spelled)
