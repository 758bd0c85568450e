"""Addresses without their signatures."""

import orjson
import pytest

from raysync.discord_api.cdn import DISCORD, Places, unsigned_url
from raysync.discord_api.convert import channel_from, message_from
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.models.ids import GuildId, UserId
from tests.unit.discord_api.payloads import CHANNEL_ID, message

BASE = "https://cdn.discordapp.com/attachments/1/2/a.png"
SIGNATURE = "ex=66aa&is=66a9&hm=0f1e"
WHOLE = f"ex=66aab1c2&is=66a9b1c2&hm={'0f1e' * 16}"
SHOP = "https://shop.example/p?is=5&index=1&hm=2&x=3"
SIGNED = f"{BASE}?{WHOLE}&"
API = "http://127.0.0.1:8750/api/v10"
BOTH = pytest.mark.parametrize("people", [FullIdentity(), Pseudonymizer(b"k" * 32)])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (BASE, BASE),
        (f"{BASE}?{SIGNATURE}&", BASE),
        (f"{BASE}?{SIGNATURE}&=&format=webp&width=64", f"{BASE}?format=webp&width=64"),
        (f"{BASE}?size=64&{SIGNATURE}", f"{BASE}?size=64"),
        (f"{BASE}?{SIGNATURE}#part", f"{BASE}#part"),
        ("https://example.org/?index=1", "https://example.org/?index=1"),
        (f"see {BASE}?{SIGNATURE}&", f"see {BASE}?{SIGNATURE}&"),
        (f"{BASE}?{SIGNATURE}& is nice", f"{BASE}?{SIGNATURE}& is nice"),
    ],
)
def test_only_a_whole_addresses_signature_goes(given, expected):
    assert unsigned_url(given) == expected


@pytest.mark.parametrize(
    "host",
    [
        "cdn.discordapp.com",
        "media.discordapp.net",
        "images-ext-1.discordapp.net",
        "images-ext-12.discordapp.net",
        "CDN.Discordapp.com",
        "cdn.discord.com",
    ],
)
def test_every_host_of_the_cdn_signs(host):
    assert unsigned_url(f"https://{host}/attachments/1/2/a?{WHOLE}&").endswith("/attachments/1/2/a")


@pytest.mark.parametrize(
    "others",
    [
        SHOP,
        f"https://shop.example/p?{SIGNATURE}",
        f"https://shop.example/p?{WHOLE}&",
        f"https://cdn.discordapp.com.evil.example/a?{WHOLE}",
        f"https://cdn.discordapp.com@evil.example/a?{WHOLE}",
        f"https://evil.example/cdn.discordapp.com/attachments/1/2/a?{WHOLE}",
        f"https://notdiscordapp.com/attachments/1/2/a?{WHOLE}",
        f"{BASE}?index=1&issue=2&hmm=3",
        f"{BASE}?is=5&index=1&hm=2&x=3",  # it is not a whole signature
        f"{BASE}?ex=soon&is=never&hm=maybe",
        "https://images-ext-1.discordapp.net/external/H-_4/https/shop.example/p?is=5&ex=1&hm=2&x=3",
        "https://images-ext-1.discordapp.net/external/H-_4/%3Fis%3D5%26ex%3D1%26hm%3D2/https/s.ex/p",
        f"http://127.0.0.1:8750/attachments/1/2/a?{WHOLE}",
        f"ftp://cdn.discordapp.com/a?{WHOLE}",
        "https://[?ex=1&is=2&hm=3",
    ],
)
def test_what_is_not_the_cdns_stays_as_it_is(others):
    assert unsigned_url(others) == others


def test_the_proxys_signature_goes_and_what_is_the_users_stays():
    proxied = "https://images-ext-1.discordapp.net/external/H-_4/%3Fis%3D5/https/shop.example/p"
    own = "https://images-ext-2.discordapp.net/external/H-_4/https/cdn.discordapp.com/attachments/1/2/a"

    assert unsigned_url(f"{proxied}?format=webp&{WHOLE}") == f"{proxied}?format=webp"
    assert unsigned_url(f"{own}?{SIGNATURE}") == own


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"])
def test_another_api_has_its_own_cdn(host):
    places = Places.of_api(API.replace("127.0.0.1", host))
    for path in ("attachments/1/2/a.png", "media/attachments/1/2/a.png"):
        address = f"http://127.0.0.1:8750/{path}"
        assert unsigned_url(f"{address}?{WHOLE}&", places) == address
    for other in ("http://127.0.0.1:8751/attachments/1/2/a", "http://127.0.0.1:8750/p"):
        assert unsigned_url(f"{other}?{WHOLE}", places) == f"{other}?{WHOLE}"
    assert unsigned_url(SIGNED, places) == BASE


@pytest.mark.parametrize(
    "url",
    [
        "https://discord.com:443/api",
        "https://discord.com/api/v10",
        "https://canary.discord.com/api",
        "",
        "http://[",
        "x",
    ],
)
def test_discords_own_api_has_no_other_cdn(url):
    assert Places.of_api(url) == DISCORD


WRITTEN = {
    "content": {"content": SIGNED},
    "title": {"embeds": [{"title": SIGNED, "description": SIGNED}]},
    "field": {"embeds": [{"fields": [{"name": SIGNED, "value": SIGNED}]}]},
    "footer": {"embeds": [{"footer": {"text": SIGNED}, "author": {"name": SIGNED}}]},
    "layout": {"components": [{"type": 10, "content": SIGNED}]},
    "label": {"components": [{"type": 2, "style": 1, "label": SIGNED, "custom_id": SIGNED}]},
    "link-button": {"components": [{"type": 2, "style": 5, "label": "x", "url": SIGNED}]},
    "option": {"components": [{"options": [{"value": SIGNED, "description": SIGNED}]}]},
    "poll": {"poll": {"question": {"text": SIGNED}, "answers": [{"poll_media": {"text": SIGNED}}]}},
    "forward": {"message_snapshots": [{"message": {"content": SIGNED}}]},
    "quote": {"referenced_message": message(content=SIGNED)},
    "file": {
        "attachments": [{"id": "2", "filename": "a", "size": 1, "url": BASE, "title": SIGNED}]
    },
    "thread": {"thread": {"id": "8", "name": SIGNED}},
    "tomorrow": {"tomorrow": {"said": SIGNED}},
}


@BOTH
@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("text", [SIGNED, SHOP])
def test_what_a_person_wrote_is_not_touched(people, written, text):
    written = orjson.loads(orjson.dumps(written).replace(SIGNED.encode(), text.encode()))
    found = message_from(message(**written), people)
    raw = orjson.loads(found.raw)

    assert {key: raw[key] for key in written if key != "referenced_message"} == {
        key: written[key] for key in written if key != "referenced_message"
    }
    if "referenced_message" in written:
        assert raw["referenced_message"]["content"] == text
    assert found.content == written.get("content", "hello")


MEDIA = {
    "attachment": {"attachments": [{"id": "2", "filename": "a", "size": 1, "url": SIGNED}]},
    "embed": {"embeds": [{"url": SIGNED, "image": {"url": SIGNED, "proxy_url": SIGNED}}]},
    "embed-icons": {"embeds": [{"footer": {"icon_url": SIGNED, "proxy_icon_url": SIGNED}}]},
    "video": {"embeds": [{"video": {"url": SIGNED}, "thumbnail": {"proxy_url": SIGNED}}]},
    "gallery": {"components": [{"type": 12, "items": [{"media": {"url": SIGNED}}]}]},
    "file": {"components": [{"type": 13, "file": {"url": SIGNED, "proxy_url": SIGNED}}]},
    "thumbnail": {"components": [{"type": 9, "accessory": {"type": 11, "media": {"url": SIGNED}}}]},
    "forward": {"message_snapshots": [{"message": {"embeds": [{"image": {"url": SIGNED}}]}}]},
    "quote": {
        "referenced_message": message(
            attachments=[{"id": "2", "filename": "a", "size": 1, "url": SIGNED}]
        )
    },
    "quoted-forward": {
        "referenced_message": message(
            message_snapshots=[{"message": {"attachments": [{"id": "2", "url": SIGNED}]}}]
        )
    },
    "sticker": {"sticker_items": [{"id": "5", "name": "x", "url": SIGNED}]},
    "sound": {"soundboard_sounds": [{"sound_id": "5", "preview_url": SIGNED}]},
    "tomorrow": {"tomorrow": [{"media": {"url": SIGNED, "proxy_url": SIGNED}}]},
}


@BOTH
@pytest.mark.parametrize("media", MEDIA.values(), ids=MEDIA)
def test_what_leads_to_a_file_is_the_same_whenever_it_is_read(people, media):
    found = message_from(message(**media), people)

    assert b"hm=" not in found.raw
    assert BASE.encode() in found.raw


@BOTH
def test_a_channels_name_and_topic_are_not_touched(people):
    payload = {"id": CHANNEL_ID, "type": 0, "name": SHOP, "topic": SIGNED}
    found = channel_from(payload, GuildId(1), UserId(2), people)

    assert (found.name, found.metadata["topic"]) == (SHOP, SIGNED)


@BOTH
def test_the_files_of_another_api_are_told_from_its_signatures(people):
    url = "http://127.0.0.1:8750/attachments/603025117553754135/1103025117553754137/a.png"
    file = {"id": "1103025117553754137", "filename": "a.png", "size": 1, "url": f"{url}?{WHOLE}&"}
    found = message_from(message(attachments=[file]), people.at_api(API))

    assert found.attachments[0].url == url
