"""Ids of people where nobody expects them, and everything that is no person's id."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import orjson
import pytest

from raysync.discord_api.careful import read_message
from raysync.discord_api.convert import channel_from, message_from
from raysync.discord_api.people.id_classifier import Knowledge
from raysync.discord_api.people.pseudonyms import Pseudonymizer
from raysync.discord_api.people.scrubbing import without_people
from raysync.models.entities import Message
from raysync.models.ids import GuildId, UserId
from raysync.models.privacy import ERASED
from tests.unit.discord_api.payloads import ALICE_ID, BOB, BOB_ID, CHANNEL_ID, ROLE_ID, message

PEOPLE = Pseudonymizer(b"k" * 32)
CAROL_ID = "1003025117553754999"
"""Nothing says whose it is."""
CAROL = PEOPLE.author_ref(CAROL_ID)
NAME, HASH = "carol.unmistakable", "a_0123456789feedface"
GUILD_ID, OTHER_ID, EMOJI_ID = "503025117553754111", "1103025117553754000", "1203025117553754222"
CDN = "https://cdn.discordapp.com"


def kept(**more: Any) -> Message:
    return read_message(message(**more), PEOPLE)


def raw(**more: Any) -> Any:
    return orjson.loads(kept(**more).raw)


def everything(found: Message) -> str:
    return f"{found!r}{found.raw.decode()}{found.metadata.decode()}"


def field(name: str, value: str) -> dict[str, Any]:
    return {
        "embeds": [{"type": "auto_moderation_message", "fields": [{"name": name, "value": value}]}]
    }


PLACES: dict[str, dict[str, Any]] = {
    "unknown-key": {"by": CAROL_ID, "actor_id": CAROL_ID, "target_id": CAROL_ID},
    "number": {"moderator": int(CAROL_ID)},
    "list": {"seen": [[CAROL_ID, int(CAROL_ID)], {"deep": [CAROL_ID]}]},
    "key": {"votes": {CAROL_ID: 1, f"of {CAROL_ID}": 2}},
    "nameless": {"moderator": {"id": CAROL_ID}, "by": {"id": int(CAROL_ID)}},
    "named": {"by": {"id": CAROL_ID, "name": NAME, "tag": f"{NAME}#1", "avatar": HASH}},
    "bot-of-an-application": {
        "application_id": ALICE_ID,
        "application": {"id": ALICE_ID, "name": NAME},
    },
    "nicks": {"x": {"server_nick": NAME, "newNick": NAME, "n": 1}},
    "display-name": {"x": {"display_name": NAME, "userName": NAME, "Nickname": NAME, "n": 1}},
    "old-name": {"x": {"legacy_username": NAME, "user_tag": NAME, "real_name": {"first": NAME}}},
    "user-id": {"x": {"user_id": CAROL_ID, "name": NAME}},
    "idless": {"owner": {"name": NAME}, "creator": {"tag": NAME, "n": 1}},
    "pictures": {"x": {"avatar": HASH, "banner": HASH, "avatar_decoration_data": {"asset": HASH}}},
    "content": {"content": f"the id is {CAROL_ID}."},
    "footer": {"embeds": [{"footer": {"text": f"ID: {CAROL_ID}"}}]},
    "title": {"embeds": [{"title": f"@{CAROL_ID}", "description": f"({CAROL_ID})"}]},
    "button": {"components": [{"type": 2, "style": 1, "custom_id": f"ban:{CAROL_ID}:confirm"}]},
    "option": {"components": [{"type": 3, "options": [{"value": f"user_id={CAROL_ID}"}]}]},
    "poll": {"poll": {"question": {"text": f"{CAROL_ID}?"}, "answers": []}},
    "automod": field("interaction_user_id", CAROL_ID),
    "automod-json": field(
        "alert_actions_execution", f'{{"actions":{{"1":{{"actor":"{CAROL_ID}"}}}}}}'
    ),
    "automod-number": field("alert_actions_execution", f'{{"actor":{CAROL_ID}}}'),
    "avatar": {"embeds": [{"image": {"url": f"{CDN}/avatars/{CAROL_ID}/{HASH}.webp?size=64"}}]},
    "banner": {"embeds": [{"image": {"url": f"{CDN}/banners/{CAROL_ID}/{HASH}.png"}}]},
    "members-avatar": {
        "content": f"{CDN}/guilds/{GUILD_ID}/users/{CAROL_ID}/avatars/{HASH}.png and "
        f"{CDN}/guilds/{GUILD_ID}/users/{CAROL_ID}/banners/{HASH}.png"
    },
    "proxied": {
        "embeds": [
            {
                "author": {
                    "name": NAME,
                    "proxy_icon_url": "https://images-ext-1.discordapp.net/external/H-_4/"
                    f"%3Fsize%3D64/https/cdn.discordapp.com/avatars/{CAROL_ID}/{HASH}.webp",
                }
            }
        ]
    },
    "elsewhere": {"content": f"https://x.example/avatars/{CAROL_ID}/{HASH}.png?id={CAROL_ID}"},
    "in-a-query": {"content": f"https://x.example/?u=%2Favatars%2F{CAROL_ID}%2F{HASH}.png"},
    "profile": {"content": f"https://discord.com/users/{CAROL_ID}, discord.com/users/{CAROL_ID}"},
    "webhook": {"content": f"https://discord.com/api/webhooks/{CAROL_ID}/token"},
    "embed-author": {
        "embeds": [{"author": {"name": NAME, "icon_url": f"{CDN}/embed/avatars/3.png"}}]
    },
    "embed-link": {
        "embeds": [{"author": {"name": NAME, "url": f"https://discord.com/users/{CAROL_ID}"}}]
    },
    "file": {
        "attachments": [
            {
                "id": OTHER_ID,
                "filename": f"report-{CAROL_ID}.png",
                "size": 1,
                "url": f"{CDN}/attachments/{CHANNEL_ID}/{OTHER_ID}/report-{CAROL_ID}.png",
                "content_type": f"image/png; of={CAROL_ID}",
            }
        ]
    },
    "reaction": {"reactions": [{"emoji": {"id": EMOJI_ID, "name": f"c_{CAROL_ID}"}, "count": 1}]},
    "emoji": {"content": f"<:c_{CAROL_ID}:{EMOJI_ID}> </ban {CAROL_ID}:{EMOJI_ID}>"},
    "flags": {"flags": int(CAROL_ID), "pinned": CAROL_ID},
    "thread": {
        "thread": {"id": OTHER_ID, "name": f"about {CAROL_ID}", "member_ids_preview": [CAROL_ID]}
    },
    "tag": {"thread": {"id": OTHER_ID, "available_tags": [{"id": EMOJI_ID, "name": CAROL_ID}]}},
    "query-of-discord": {
        "content": f"https://discord.com/channels/{GUILD_ID}/{CHANNEL_ID}?u={CAROL_ID}#{CAROL_ID}"
    },
    "api": {"content": f"https://discord.com/api/v10/guilds/{GUILD_ID}/members/{CAROL_ID}"},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_may_be_a_persons_is_nowhere(place):
    found = kept(**place)

    json.loads(found.raw)
    for secret in (CAROL_ID, NAME, HASH):
        assert secret not in everything(found)


def wide(digits: str) -> str:
    return "".join(chr(0xFF10 + int(each)) for each in digits)


def arabic(digits: str) -> str:
    return "".join(chr(0x0660 + int(each)) for each in digits)


def escaped(digits: str) -> str:
    return "".join(f"%3{each}" for each in digits)


FORMS = {
    "words": f"id{CAROL_ID}x",
    "dots": f"a.{CAROL_ID}.b",
    "zeros": f"000{CAROL_ID}",
    "plus": f"+{CAROL_ID}",
    "minus": f"-{CAROL_ID}",
    "at": f"@{CAROL_ID}",
    "wide": wide(CAROL_ID),
    "arabic": f"({arabic(CAROL_ID)})",
    "mixed": wide(CAROL_ID[:9]) + CAROL_ID[9:],
    "raised": "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(each)] for each in CAROL_ID),
    "zero-width": "\u200b".join(CAROL_ID),
    "joined": f"{CAROL_ID[:5]}\u2060\ufeff{CAROL_ID[5:]}",
    "soft-hyphen": f"{CAROL_ID[:9]}\u00ad{CAROL_ID[9:]}",
    "controls": "\x01".join(CAROL_ID),
    "bullet": f"\u2460{CAROL_ID} 1\u200b{CAROL_ID}",
    "spaced-json": f" [{CAROL_ID}]",
    "struck-out": "\u0336".join(CAROL_ID),
    "underlined": "".join(f"{each}\u0332\u0333" for each in CAROL_ID),
    "keycaps": "".join(f"{each}\ufe0f\u20e3" for each in CAROL_ID),
    "escapes": f"https://x.example/{escaped(CAROL_ID)}/y",
    "some-escapes": f"https://x.example/{CAROL_ID[:4]}{escaped(CAROL_ID[4:])}",
    "escaped-escapes": f"https://x.example/?u={escaped(CAROL_ID).replace('%', '%25')}",
    "wide-escapes": "".join(f"%EF%BC%9{each}" for each in CAROL_ID),
    "after-a-space": f"https://x.example/?u=%20{CAROL_ID}%22",
    "after-a-mention": f"https://x.example/?u=%3C%40{CAROL_ID}%3E",
    "after-an-escaped-escape": f"https://x.example/?u=%2540{CAROL_ID}",
    "percent": f"50%{CAROL_ID}",
    "mention": f"<@{CAROL_ID}> <@!{CAROL_ID}> <@00{CAROL_ID}> <@{wide(CAROL_ID)}>",
    "unclosed": f"<#{CAROL_ID} <@&{CAROL_ID}x>",
    "wide-channel": f"<#{wide(CAROL_ID)}>",
    "json": f'{{"a": {CAROL_ID}, "{CAROL_ID}": [{CAROL_ID}, "{CAROL_ID}"]}}',
    "json-in-json": json.dumps({"a": json.dumps({"b": json.dumps([int(CAROL_ID)])})}),
    "json-escapes": '{"a": "' + "".join(f"\\u003{each}" for each in CAROL_ID) + '"}',
    "no-json": f'{{"a": {CAROL_ID}',
    "timestamp": f"<t:{CAROL_ID}>",
}


def digits_of_unicode() -> list[str]:
    """Every character that has the value of a digit, by script, without the ASCII ones."""
    return [
        each
        for each in map(chr, range(0x80, 0x110000))
        if unicodedata.digit(each, None) is not None
    ]


def test_all_that_is_a_digit_to_unicode_is_one_of_an_id() -> None:
    by_value: dict[int, list[str]] = {}
    for each in digits_of_unicode():
        by_value.setdefault(unicodedata.digit(each), []).append(each)
    for turn in range(max(map(len, by_value.values()))):
        written = "".join(by_value[int(each)][turn % len(by_value[int(each)])] for each in CAROL_ID)
        assert raw(content=f"see {written}!")["content"] == f"see {CAROL}!", written


@pytest.mark.parametrize("digits", ["⁰¹²³⁴⁵⁶⁷⁸⁹", "⓪①②③④⑤⑥⑦⑧⑨", "⓿❶❷❸❹❺❻❼❽❾", "०१२३४५६७८९"])
def test_two_ids_in_a_row_in_digits_of_two_kinds_are_two(digits: str) -> None:
    written = "".join(digits[int(each)] for each in CAROL_ID)

    assert raw(content=f"{CAROL_ID}{written}")["content"] == f"{CAROL}{CAROL}"
    assert raw(content=f"{written}{CAROL_ID}")["content"] == f"{CAROL}{CAROL}"


def traces(text: str) -> list[str]:
    """Of whom *text* tells, in whatever form."""
    digits = "".join(each for each in text if each.isdecimal() and each.isascii())
    wides = "".join(str(int(each)) for each in text if each.isdecimal())
    return [each for each in (text, digits, wides) if CAROL_ID in each]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_however_an_id_is_written_it_is_the_same_persons(form):
    text = kept(content=form).content

    assert CAROL in text
    assert traces(text) == []
    assert traces(raw(tomorrow={"said": form})["tomorrow"]["said"]) == []


@pytest.mark.parametrize("form", [FORMS["json"], FORMS["json-in-json"], FORMS["json-escapes"]])
def test_json_in_a_text_is_json_still(form):
    changed, before = json.loads(kept(content=form).content), json.loads(form)

    assert changed != before
    assert len(changed) == len(before)


def test_the_text_around_an_id_in_json_stays_to_the_letter():
    text = '{\n\t"n" :1.50, "who":\t"%s",\n  "é": "\\u00e9 \\/", "channel_id": "%s", "e": []}'

    assert kept(content=text % (CAROL_ID, OTHER_ID)).content == text % (CAROL, OTHER_ID)


NUMBERS = [
    f"{CAROL_ID}123456",
    f"123456{CAROL_ID}",
    "1234567890123456789012345",
    "+49 170 1234567",
    "4111 1111 1111 1111",
    "4111111111111111",
    "$1,999.99",
    "2026-11-30T12:00:00.123456789Z",
    "1796000000",
    "1796000000123",
    "1796000000123456",
    "0.30000000000000004",
    "99999999999999999999",
    "9999999999999999999",
    "order no. 702-1234567-1234567",
    "d41d8cd98f00b204e9800998ecf8427e",
    "0123456789abcdef12345678901234567fedcba9",
    "0x1F",
    "192.168.100.200",
    "<t:1796000000:R>",
    "{}",
    "100%",
    "{not json 17}",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_other_numbers_stay(number):
    for text in (number, f"see {number}, please", f"[{number}]"):
        assert kept(content=text).content == text
        assert raw(tomorrow=[text])["tomorrow"] == [text]


@pytest.mark.parametrize(
    "number",
    [0, -1, 7, 1.5, 123456789012345, 9_999_999_999_999_999, 2**62, -(2**62), 1e300, 1.0e15, True],
)
def test_other_numbers_stay_as_numbers(number):
    found = raw(tomorrow={"n": number})["tomorrow"]["n"]

    assert (found, type(found)) == (number, type(number))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (int(CAROL_ID), CAROL),
        (-int(CAROL_ID), f"-{CAROL}"),
        (float(BOB_ID), PEOPLE.author_ref(BOB_ID)),
        (10**24, 1e24),
        (-(10**24), -1e24),
    ],
)
def test_a_number_that_is_a_persons_id_is_their_pseudonym(number, expected):
    found = raw(mentions=[BOB], tomorrow={"n": number})

    assert found["tomorrow"]["n"] == expected


def test_a_rounded_id_is_no_number_any_more():
    assert isinstance(raw(tomorrow={"n": float(CAROL_ID)})["tomorrow"]["n"], str)


THINGS: dict[str, dict[str, Any]] = {
    "channel": {"channel_id": CHANNEL_ID, "guild_id": GUILD_ID},
    "number": {"x": {"channel_id": int(OTHER_ID), "message_id": int(EMOJI_ID)}},
    "reference": {
        "message_reference": {
            "type": 0,
            "message_id": OTHER_ID,
            "channel_id": CHANNEL_ID,
            "guild_id": GUILD_ID,
        }
    },
    "roles": {"mention_roles": [ROLE_ID, OTHER_ID]},
    "channels": {"mention_channels": [{"id": OTHER_ID, "guild_id": GUILD_ID, "name": "x"}]},
    "application": {"application_id": OTHER_ID, "application": {"id": OTHER_ID, "name": "x"}},
    "file": {"attachments": [{"id": OTHER_ID, "filename": "a.png", "size": 1, "url": f"{CDN}/x"}]},
    "emoji": {"reactions": [{"emoji": {"id": EMOJI_ID, "name": "x"}, "count": 1}]},
    "sticker": {
        "sticker_items": [{"id": OTHER_ID, "name": "x"}],
        "stickers": [{"id": OTHER_ID, "pack_id": EMOJI_ID, "guild_id": GUILD_ID, "name": "x"}],
    },
    "thread": {
        "thread": {"id": OTHER_ID, "parent_id": CHANNEL_ID, "name": "x", "applied_tags": [EMOJI_ID]}
    },
    "thread-member": {
        "thread": {"id": OTHER_ID, "member": {"id": OTHER_ID, "flags": 0, "user_id": "u_erased"}}
    },
    "command": {
        "interaction_metadata": {
            "id": OTHER_ID,
            "type": 3,
            "interacted_message_id": EMOJI_ID,
            "original_response_message_id": EMOJI_ID,
            "target_message_id": EMOJI_ID,
            "authorizing_integration_owners": {"0": GUILD_ID},
        }
    },
    "resolved": {
        "resolved": {
            "channels": {OTHER_ID: {"id": OTHER_ID, "name": "x", "parent_id": CHANNEL_ID}},
            "roles": {ROLE_ID: {"id": ROLE_ID, "name": "y", "icon": "hash"}},
        }
    },
    "subscription": {"role_subscription_data": {"role_subscription_listing_id": OTHER_ID}},
    "purchase": {"purchase_notification": {"guild_product_purchase": {"listing_id": OTHER_ID}}},
    "premium": {"components": [{"type": 2, "style": 6, "sku_id": OTHER_ID}]},
    "button": {"components": [{"type": 2, "style": 1, "emoji": {"id": EMOJI_ID, "name": "x"}}]},
    "menu": {
        "components": [
            {
                "default_values": [
                    {"type": "role", "id": ROLE_ID},
                    {"type": "channel", "id": OTHER_ID},
                ]
            }
        ]
    },
    "media": {"components": [{"type": 13, "file": {"id": OTHER_ID, "attachment_id": EMOJI_ID}}]},
    "poll": {
        "poll": {
            "question": {"text": "?"},
            "answers": [{"poll_media": {"emoji": {"id": EMOJI_ID}}}],
        }
    },
    "forward": {
        "message_snapshots": [
            {"message": {"mention_roles": [ROLE_ID], "content": f"<#{OTHER_ID}>"}}
        ]
    },
    "automod": field("channel_id", OTHER_ID),
    "automod-message": field("flagged_message_id", OTHER_ID),
    "logger": field("Channel ID", OTHER_ID),
    "nonce": {"nonce": OTHER_ID},
    "nonce-number": {"nonce": int(OTHER_ID)},
    "sound": {"soundboard_sounds": [{"sound_id": OTHER_ID, "name": "x", "guild_id": GUILD_ID}]},
    "event": {
        "x": {
            "guild_scheduled_event_id": OTHER_ID,
            "guild_scheduled_event": {"id": OTHER_ID, "name": "x"},
        }
    },
    "icon": {"thread": {"id": OTHER_ID, "icon_emoji": {"id": EMOJI_ID, "name": "party"}}},
    "gift": {"gift_info": {"sound": {"id": OTHER_ID, "name": "x"}, "emoji": {"id": EMOJI_ID}}},
    "permissions": {"x": {"permissions": str(1 << 55), "allow": str(1 << 54), "deny": "0"}},
    "sounds": {"soundboard_sounds": [OTHER_ID]},
    "camel": {"x": {"channelId": OTHER_ID, "messageIds": [OTHER_ID], "Guild-ID": GUILD_ID}},
    "nickless-guild": {"x": {"guild": {"id": GUILD_ID, "name": "x", "banner": "hash"}}},
    "by-the-payload": {
        "guild_id": GUILD_ID,
        "x": {"where": CHANNEL_ID, "at": GUILD_ID, "id": CHANNEL_ID, "name": "general"},
        "components": [{"type": 2, "style": 1, "custom_id": f"close:{CHANNEL_ID}"}],
    },
}


@pytest.mark.parametrize("things", THINGS.values(), ids=THINGS)
def test_what_is_no_persons_stays(things):
    found = raw(**things)

    assert {key: found[key] for key in things} == things


MARKUP = [
    f"<#{OTHER_ID}>",
    f"<@&{OTHER_ID}>",
    f"<:party:{OTHER_ID}> <a:party_2:{OTHER_ID}>",
    f"</ban:{OTHER_ID}> </ban all users:{OTHER_ID}>",
    f"https://discord.com/channels/{GUILD_ID}/{OTHER_ID}/{EMOJI_ID}",
    f"https://canary.discord.com/channels/@me/{OTHER_ID}/{EMOJI_ID}, and then",
    f"(https://ptb.discordapp.com/channels/{GUILD_ID}/{OTHER_ID})",
    f"[x](https://discord.com/channels/{GUILD_ID}/{OTHER_ID}/threads/{EMOJI_ID})",
    f"discord://-/channels/{GUILD_ID}/{OTHER_ID}!",
    f"<https://discord.com/events/{GUILD_ID}/{OTHER_ID}>",
    f"https://discord.gg/abc?event={OTHER_ID}",
    f"https://discord.com/oauth2/authorize?client_id={OTHER_ID}&permissions=8&guild_id={GUILD_ID}",
    f"https://discord.com/application-directory/{OTHER_ID}",
    f"{CDN}/attachments/{CHANNEL_ID}/{OTHER_ID}/a.png?size=64",
    f"https://media.discordapp.net/ephemeral-attachments/{OTHER_ID}/{EMOJI_ID}/a.png",
    f"{CDN}/emojis/{EMOJI_ID}.webp?size=48&animated=true",
    f"{CDN}/stickers/{OTHER_ID}.png",
    f"{CDN}/icons/{GUILD_ID}/a_hash.png",
    f"{CDN}/role-icons/{ROLE_ID}/hash.png",
    f"{CDN}/guild-events/{OTHER_ID}/hash.png",
    f"{CDN}/app-icons/{OTHER_ID}/hash.png",
    "<t:1796000000> <t:1796000000:R> <id:customize>",
]


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_and_addresses_of_things_stay(markup):
    assert kept(content=markup).content == markup
    assert raw(embeds=[{"description": markup}])["embeds"] == [{"description": markup}]


def test_a_guilds_banner_stays_where_the_guild_is_known():
    address = f"{CDN}/banners/{GUILD_ID}/hash.png"
    people = Pseudonymizer(b"k" * 32, known={GUILD_ID})

    assert message_from(message(content=address), people).content == address
    assert kept(content=address, guild_id=GUILD_ID).content == address
    assert "hash" not in kept(content=address).content


def test_the_guild_is_known_in_text():
    people = Pseudonymizer(b"k" * 32, known={GUILD_ID})

    assert message_from(message(content=GUILD_ID), people).content == GUILD_ID


BOB_REF = PEOPLE.author_ref(BOB_ID)


@pytest.mark.parametrize(
    "place",
    [
        {"channel_id": BOB_ID},
        {"message_reference": {"type": 0, "message_id": BOB_ID, "channel_id": int(BOB_ID)}},
        {"nonce": BOB_ID},
        {"mention_roles": [BOB_ID]},
        {"content": f"<#{BOB_ID}> <:x:{BOB_ID}> https://discord.com/channels/1/{BOB_ID}"},
        {"reactions": [{"emoji": {"id": BOB_ID, "name": "x"}, "count": 1}]},
        {"resolved": {"roles": {BOB_ID: {"id": BOB_ID}}}},
        {"application_id": BOB_ID, "webhook_id": BOB_ID},
        {"embeds": [{"fields": [{"name": "channel_id", "value": BOB_ID}]}]},
        {"content": f"{'ab' * 12}{BOB_ID}{'cd' * 12} 0.{BOB_ID}"},
    ],
)
@pytest.mark.parametrize(
    "who",
    [{"mentions": [BOB]}, {"author": BOB}, {"x": {"user_id": BOB_ID}}],
    ids=["mention", "author", "key"],
)
def test_who_is_known_to_be_a_person_is_one_wherever_the_id_stands(place, who):
    found = kept(**place, **who)

    assert BOB_ID not in everything(found)
    assert BOB_REF in found.raw.decode()
    assert found.reply_to_id is None


def test_who_is_mentioned_in_a_text_is_a_person_in_the_rest_of_it():
    found = kept(content=f"<@{BOB_ID}>", x={"channel_id": BOB_ID}, tail=f"<#{BOB_ID}>")

    assert BOB_ID not in everything(found)


def test_a_mention_that_somebody_typed_makes_no_person_of_a_channel():
    found = kept(
        content=f"<@{CHANNEL_ID}> <#{CHANNEL_ID}>", message_reference={"channel_id": CHANNEL_ID}
    )
    payload = orjson.loads(found.raw)

    assert (payload["channel_id"], payload["message_reference"]["channel_id"]) == (CHANNEL_ID,) * 2
    assert found.content == f"<@{PEOPLE.author_ref(CHANNEL_ID)}> <#{CHANNEL_ID}>"


def test_the_author_of_an_embed_without_a_face_keeps_the_name():
    author = {
        "name": "Release notes",
        "url": "https://example.org/",
        "icon_url": f"{CDN}/icons/1/a",
    }

    assert raw(embeds=[{"author": author}])["embeds"] == [{"author": author}]


def test_a_name_that_somebody_typed_stays():
    assert kept(content="ask @carol.unmistakable").content == "ask @carol.unmistakable"


def test_ids_of_tomorrow_are_none_and_those_of_this_message_are():
    now_s = 1_700_000_000.0
    known = Knowledge(PEOPLE.author_ref, now_s=lambda: now_s)
    today, later = (
        (int(now_s * 1000) + days * 86_400_000 - 1_420_070_400_000) << 22 for days in (0, 2)
    )

    payload, _ = without_people({"id": "1", "content": f"{today} {later}"}, known)
    late, _ = without_people({"id": str(later), "content": f"{later + 5}"}, known)

    assert payload["content"] == f"{PEOPLE.author_ref(str(today))} {later}"
    assert late["content"] == PEOPLE.author_ref(str(later + 5)), "though the clock is slow"


def test_what_is_scrubbed_already_is_left_as_it_is():
    more: dict[str, Any] = {}
    for place in (*PLACES.values(), *THINGS.values()):
        more |= {f"x{len(more)}": place}
    once, document = PEOPLE.scrub(
        message(content="\n".join(FORMS.values()), mentions=[BOB], **more)
    )
    again, same = PEOPLE.scrub(once)

    assert (again, same) == (once, document)


def test_whoever_was_forgotten_stays_so():
    payload = {"author": {"id": ERASED}, "mentions": [{"id": ERASED}], "by": ERASED}

    assert PEOPLE.scrub(payload)[0] == payload


def test_channels_tell_of_nobody_in_names_topics_tags_and_overwrites():
    payload = {
        "id": CHANNEL_ID,
        "type": 15,
        "name": f"ticket-{CAROL_ID}",
        "topic": f"of {CAROL_ID}, see <#{OTHER_ID}>",
        "guild_id": GUILD_ID,
        "parent_id": OTHER_ID,
        "owner_id": CAROL_ID,
        "last_message_id": EMOJI_ID,
        "available_tags": [{"id": EMOJI_ID, "name": f"by {CAROL_ID}", "emoji_id": EMOJI_ID}],
        "permission_overwrites": [
            {"id": CAROL_ID, "type": 1, "allow": "0", "deny": "1024"},
            {"id": ROLE_ID, "type": 0, "allow": "2251799813685248", "deny": "0"},
        ],
    }
    found = channel_from(payload, GuildId(1), UserId(2), PEOPLE)

    assert CAROL_ID not in repr(found)
    assert found.name == f"ticket-{CAROL}"
    stays = ("id", "guild_id", "parent_id", "last_message_id")
    assert {key: found.metadata[key] for key in stays} == {key: payload[key] for key in stays}
    assert found.metadata["available_tags"][0]["id"] == EMOJI_ID
    assert found.metadata["permission_overwrites"][1] == payload["permission_overwrites"][1]
    assert found.metadata["topic"] == f"of {CAROL}, see <#{OTHER_ID}>"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "%" + "25" * 60_000 + CAROL_ID,
        "%" + "25" * 60_000 + "38" * 20,
        "9" * 200_000,
        f"%{'9' * 200_000}",
        "<@" * 60_000 + CAROL_ID,
        "[" * 60_000 + CAROL_ID,
        '{"a":' * 60_000 + CAROL_ID,
        '"' * 100_000 + CAROL_ID,
        "\\" * 60_000 + CAROL_ID,
        "/avatars/" * 20_000 + CAROL_ID,
        "discord.com/" * 20_000 + CAROL_ID,
        "\u200b" * 100_000 + CAROL_ID,
        "0." * 60_000 + CAROL_ID,
        "a" * 100_000 + CAROL_ID + "!",
        f"<{'/x' * 50_000}:{CAROL_ID}>",
    ],
    ids=range(15),
)
def test_no_text_takes_long_or_is_an_error(text):
    kept(content=text)
    raw(tomorrow={text: [text]})


def test_an_odd_payload_is_no_error():
    odd = message(
        author=[ALICE_ID], mentions={"id": ALICE_ID}, mention_roles="x", attachments={"a": 1},
        message_reference=7, reactions=None, embeds=[[[]], None, 7, {"fields": 3, "author": "x"}],
        resolved=[], components=[{"default_values": [3, {"type": [], "id": {}}]}],
        interaction_metadata={"authorizing_integration_owners": []}, member=3, users=7,
        lobby_member=[], fields={"name": 1}, channels=[1], roles={"1": [2]}, url={"url": ["a"]},
        user_id={"id": None}, owner_id=[1.5], nonce={"a": 2}, id=None, channel_id=[{}],
    )  # fmt: skip
    found, document = PEOPLE.scrub(odd)

    assert orjson.loads(document) == found
    assert ALICE_ID not in document.decode()
