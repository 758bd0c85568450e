"""Which proxy an address is asked through, by the variables that everybody uses."""

from __future__ import annotations

import os

import pytest

from raysync.discord_api.proxies import Proxies, asked_directly, is_loopback
from raysync.errors import ConfigurationError

API = "https://discord.com/api/v10"
PROXY = "http://proxy.example:3128"


def way(url: str = API, **variables: str) -> tuple[str, str] | None:
    found = Proxies.of(variables).way_to(url)
    return None if found is None else (found.url, found.variable)


@pytest.mark.parametrize(
    ("variables", "of_https", "of_http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": PROXY}, "HTTPS_PROXY", None),
        ({"https_proxy": PROXY}, "https_proxy", None),
        ({"HTTP_PROXY": PROXY}, None, "HTTP_PROXY"),
        ({"http_proxy": PROXY}, None, "http_proxy"),
        ({"ALL_PROXY": PROXY}, "ALL_PROXY", "ALL_PROXY"),
        ({"all_proxy": PROXY}, "all_proxy", "all_proxy"),
        ({"ALL_PROXY": "http://other:1", "HTTPS_PROXY": PROXY}, "HTTPS_PROXY", None),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, "https_proxy", None),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, "HTTPS_PROXY", None),
        ({"HTTPS_PROXY": "  "}, None, None),
        ({"HTTPS_PROXY": f" {PROXY}\n"}, "HTTPS_PROXY", None),
        ({"FTP_PROXY": PROXY, "WS_PROXY": PROXY}, None, None),
    ],
)
def test_a_variable_is_for_its_scheme(
    variables: dict[str, str], of_https: str | None, of_http: str | None
) -> None:
    of_both = [way(url, **variables) for url in (API, "http://discord.com/api/v10")]
    expected = [each and (PROXY, each) for each in (of_https, of_http)]

    assert [each if each and each[0] == PROXY else None for each in of_both] == expected


@pytest.mark.parametrize(
    ("value", "url", "shown"),
    [
        ("proxy.example:3128", PROXY, PROXY),
        ("proxy.example", "http://proxy.example", "http://proxy.example"),
        ("HTTP://Proxy.Example:3128/", PROXY, PROXY),
        ("https://proxy.example:3129", "https://proxy.example:3129", "https://proxy.example:3129"),
        ("http://[::1]:3128", "http://[::1]:3128", "http://[::1]:3128"),
        ("me:hunter2@proxy.example:3128", "http://me:hunter2@proxy.example:3128", PROXY),
        ("http://me@proxy.example:3128", "http://me:@proxy.example:3128", PROXY),
        (
            "http://m%40e:h%3Aunter%2F2@proxy.example:3128",
            "http://m%40e:h%3Aunter%2F2@proxy.example:3128",
            PROXY,
        ),
    ],
)
def test_a_proxy_is_named_as_in_curl_and_shown_without_its_password(
    value: str, url: str, shown: str
) -> None:
    found = Proxies.of({"HTTPS_PROXY": value}).way_to(API)

    assert found is not None
    assert (found.url, found.shown) == (url, shown)
    assert "hunter" not in repr(found)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:hunter2@proxy:1080", "socks5h://proxy", "ftp://proxy", "http://", "http://:80",
        "http://me:hunter2@", "http://proxy:0", "http://proxy:99999", "http://pr oxy:1",
        "hunter2 x", "me:hunter2@http://proxy:1",
        "http://[::1", "[]@", "http://[]@/", "://proxy",
        "http://me:hunter2\u20ac@proxy:1", "http://m%3Ae:hunter2@proxy:1",
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_a_sentence(value: str) -> None:
    proxies = Proxies.of({"https_proxy": value})
    with pytest.raises(ConfigurationError) as caught:
        proxies.way_to(API)

    assert str(caught.value).startswith("https_proxy ")
    assert "Set https_proxy to http://HOST:PORT" in str(caught.value)
    assert "hunter2" not in str(caught.value) + repr(proxies)
    assert proxies.way_to("http://discord.com/api") is None, "it is not for this one"


@pytest.mark.parametrize(
    ("listed", "url", "is_exempt"),
    [
        ("discord.com", API, True),
        ("DISCORD.com", API, True),
        ("discord.com.", API, True),
        (".discord.com", API, True),
        ("*.discord.com", API, True),
        ("com", API, True),
        ("a, b ,discord.com", API, True),
        ("a discord.com", API, True),
        ("*", API, True),
        ("a,*", API, True),
        ("discord.com:443", API, True),
        ("discord.com:80", API, False),
        ("discord.com:8443", "https://discord.com:8443/api", True),
        ("discord.com", "https://ptb.discord.com/api", True),
        ("scord.com", API, False),
        ("cdn.discord.com", API, False),
        ("discord.comm", API, False),
        ("", API, False),
        (",,", API, False),
        ("127.0.0.1", "https://127.0.0.1:8806/api", True),
        ("127.0.0.1:8806", "https://127.0.0.1:8806/api", True),
        ("127.0.0.1:80", "https://127.0.0.1:8806/api", False),
        ("0.0.1", "https://127.0.0.1:8806/api", False),
        ("127.0.0.0/8", "https://127.0.0.1:8806/api", True),
        ("10.0.0.0/8", "https://127.0.0.1:8806/api", False),
        ("10.0.0.0/8", API, False),
        ("10.0.0.0/800", "https://10.1.1.1/api", False),
        ("localhost", "https://127.0.0.1/api", False),
        ("::1", "https://[::1]:8806/api", True),
        ("0:0::1", "https://[::1]:8806/api", True),
        ("[::1]", "https://[::1]:8806/api", True),
        ("[::1]:8806", "https://[::1]:8806/api", True),
        ("[::1]:80", "https://[::1]:8806/api", False),
        ("fe80::/10", "https://[fe80::1]/api", True),
        ("bücher.example", "https://xn--bcher-kva.example/api", True),
        ("xn--bcher-kva.example", "https://bücher.example/api", True),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_what_no_proxy_lists_is_asked_directly(
    variable: str, listed: str, url: str, is_exempt: bool
) -> None:
    proxies = Proxies.of({"HTTPS_PROXY": PROXY, variable: listed})

    assert (proxies.way_to(url) is None) == is_exempt
    assert proxies.exempting(url) == (variable if is_exempt else None)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"HTTPS_PROXY": "me:hunter2@proxy:1"}, "through the proxy http://proxy:1 (HTTPS_PROXY)."),
        ({"HTTP_PROXY": PROXY}, "directly: no variable names a proxy for https:// addresses."),
        ({"NO_PROXY": "*"}, "directly: no variable names a proxy for https:// addresses."),
        (
            {"all_proxy": PROXY, "no_proxy": "discord.com"},
            "directly: no_proxy exempts discord.com from all_proxy.",
        ),
    ],
)
def test_the_way_out_in_words(variables: dict[str, str], told: str) -> None:
    assert Proxies.of(variables).in_words(API, "It") == f"It is asked {told}"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    return monkeypatch


def proxy_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper().endswith("_PROXY")}


@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        ({}, {}),
        ({"NO_PROXY": "a"}, {"NO_PROXY": "a"}),
        ({"http_proxy": PROXY}, {"NO_PROXY": "here,::1", "no_proxy": "here,::1"}),
        (
            {"HTTPS_PROXY": PROXY, "NO_PROXY": "a, here"},
            {"NO_PROXY": "a,here,::1", "no_proxy": "a,here,::1"},
        ),
        (
            {"ALL_PROXY": PROXY, "no_proxy": "a", "NO_PROXY": "b"},
            {"NO_PROXY": "a,here,::1", "no_proxy": "a,here,::1"},
        ),
        ({"ALL_PROXY": PROXY, "no_proxy": "*"}, {"no_proxy": "*"}),
    ],
)
def test_hosts_are_asked_directly_for_a_while(
    environ: pytest.MonkeyPatch, before: dict[str, str], meanwhile: dict[str, str]
) -> None:
    for name, value in before.items():
        environ.setenv(name, value)
    with asked_directly(["here", "::1"]):
        assert proxy_variables() == before | meanwhile

    assert proxy_variables() == before


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("LocalHost.", True), ("a.localhost", True), ("127.0.0.1", True),
        ("127.9.9.9", True), ("::1", True), ("0.0.0.0", True), ("10.0.0.1", False),
        ("localhost.example", False), ("discord.com", False),
    ],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
