"""Addresses without their signatures."""

import pytest

from raysync.discord_api.cdn import unsigned_url

BASE = "https://cdn.discordapp.com/attachments/1/2/a.png"
SIGNATURE = "ex=66aa&is=66a9&hm=0f1e"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (BASE, BASE),
        (f"{BASE}?{SIGNATURE}&", BASE),
        (f"{BASE}?{SIGNATURE}&=&format=webp&width=64", f"{BASE}?format=webp&width=64"),
        (f"{BASE}?size=64&{SIGNATURE}", f"{BASE}?size=64"),
        ("https://example.org/?index=1", "https://example.org/?index=1"),
        (f"see {BASE}?{SIGNATURE}&", f"see {BASE}?{SIGNATURE}&"),
        (f"{BASE}?{SIGNATURE}& is nice", f"{BASE}?{SIGNATURE}& is nice"),
    ],
)
def test_only_a_whole_addresses_signature_goes(given, expected):
    assert unsigned_url(given) == expected
