"""People's ids anywhere in a payload, in any form, among ids of things and other numbers.

Afterwards no id of a person is in anything that is kept, every other id and number is where it
was, and a full tenant keeps the payload as it came, but for the signatures of the CDN. What is
looked for, and how, is this test's own: nothing of the scrubber is used for it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from typing import Any
from urllib.parse import quote, unquote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysync.discord_api.convert import message_from
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.models.entities import Message
from tests.unit.discord_api.payloads import CHANNEL_ID, message, user

QUICK, LONG = 300, 10_000
PEOPLE, FULL = Pseudonymizer(b"0123456789abcdef"), FullIdentity()
EPOCH_MS = 1_420_070_400_000
CDN = "https://cdn.discordapp.com"
SIGNATURE = f"?ex=66aab1c2&is=66a9b1c2&hm={'0f1e' * 16}&"
UNSEEN = "\u200b\u200d\u2060\ufeff\u00ad"
NAME = "unmistakable.zq"

people = st.integers(1_430_000_000_000, 1_760_000_000_000).flatmap(
    lambda at_ms: st.integers(0, (1 << 22) - 1).map(
        lambda low: str((at_ms - EPOCH_MS) << 22 | low | 1)
    )
)
"""Odd ids are people's, even ones are things': so none is both."""
things = people.map(lambda odd: str(int(odd) - 1))
numbers = st.sampled_from(
    ["1796000000", "4915112345678", "4111111111111111", "1796000000123", "99999999999999999999"]
) | st.integers(10**21, 10**25).map(str)
beside = st.sampled_from(
    ["", " ", ".", ",", "(", ")", "@", "#", "=", ":", "-", "_", "/", "x", "\n"]
)
words = st.sampled_from(["hello", "unheard_of", "by", "é", "data", "who did", "x-1"])


@st.composite
def written(draw: st.DrawFn, digits: str) -> str:
    """An id as somebody may have typed it."""
    form = draw(st.integers(0, 9))
    match form:
        case 0:
            return "0" * draw(st.integers(1, 3)) + digits
        case 1:
            zero = draw(st.sampled_from([0xFF10, 0x0660, 0x0966, 0x1D7CE]))
            return "".join(chr(zero + int(each)) for each in digits)
        case 2:
            return draw(st.sampled_from(UNSEEN)).join(digits)
        case 3:
            return "".join(f"%3{each}" for each in digits)
        case 4:
            at = draw(st.integers(1, len(digits) - 1))
            return digits[:at] + draw(st.sampled_from(UNSEEN)) + digits[at:]
        case 5:
            return f"%20{digits}%22"
        case _:
            return digits


@st.composite
def texts(draw: st.DrawFn, digits: str) -> str:
    """A text with an id in it."""
    form = draw(st.integers(0, 9))
    typed = draw(written(digits))
    match form:
        case 0:
            return f"<@{draw(st.sampled_from(['', '!']))}{digits}>"
        case 1:
            return json.dumps({"by": int(digits), "list": [digits, {digits: None}]})
        case 2:
            return json.dumps({"inner": json.dumps({"who": int(digits)})}, indent=2)
        case 3:
            return f"https://x.example/{quote(typed, safe='%')}/profile?id={digits}#{digits}"
        case 4:
            return (
                f"{CDN}/{draw(st.sampled_from(['avatars', 'banners']))}/{digits}/{NAME}.png?size=64"
            )
        case 5:
            return f"{CDN}/guilds/{draw(things)}/users/{digits}/avatars/{NAME}.png"
        case 6:
            return f"ban:{digits}:confirm"
        case _:
            return f"{draw(words)} {draw(beside)}{typed}{draw(beside)}!"


@st.composite
def of_people(draw: st.DrawFn, digits: str) -> dict[str, Any]:
    """A part of a payload with a person in it."""
    text = draw(texts(digits))
    number = draw(st.sampled_from([int(digits), -int(digits), float(digits)]))
    parts: list[dict[str, Any]] = [
        {draw(words): digits},
        {draw(words): number},
        {draw(words): [text, number]},
        {digits: 1},
        {"moderator": {"id": digits, "name": NAME, "avatar": NAME}},
        {"who": {"user_id": digits, "display_name": NAME, "nickname": NAME}},
        {"target": {"id": int(digits)}},
        {"recipients": [user(digits, NAME)]},
        {"resolved": {"users": {digits: user(digits, NAME)}, "members": {digits: {"nick": NAME}}}},
        {"embeds": [{"footer": {"text": text}, "fields": [{"name": "x", "value": text}]}]},
        {"embeds": [{"author": {"name": NAME, "icon_url": f"{CDN}/avatars/{digits}/{NAME}.png"}}]},
        {"components": [{"type": 2, "style": 1, "custom_id": text, "label": text}]},
        {"poll": {"question": {"text": text}, "answers": [{"poll_media": {"text": text}}]}},
        {"interaction_metadata": {"id": draw(things), "user": user(digits, NAME)}},
        {"reactions": [{"emoji": {"id": draw(things), "name": f"e_{digits}"}, "count": 1}]},
        {"message_snapshots": [{"message": {"content": text, "mentions": [user(digits, NAME)]}}]},
        {"attachments": [_file(draw(things), f"of-{digits}.png")]},
        {"flags": int(digits), "pinned": digits},
        {"content": text},
        {"mentions": [user(digits, NAME)], "mention_roles": [digits], "nonce": digits},
    ]
    return draw(st.sampled_from(parts))


def _file(id_: str, name: str) -> dict[str, Any]:
    url = f"{CDN}/attachments/{CHANNEL_ID}/{id_}/{name}"
    return {"id": id_, "filename": name, "size": 9, "url": url, "content_type": "image/png"}


@st.composite
def of_things(draw: st.DrawFn, digits: str) -> dict[str, Any]:
    """A part of a payload with the id of a thing in it."""
    text = draw(
        st.sampled_from(
            [
                f"<#{digits}>", f"<@&{digits}>", f"<:e:{digits}>", f"<a:e:{digits}>",
                f"</cmd sub:{digits}>", f"https://discord.com/channels/{digits}/{digits}/{digits}",
                f"{CDN}/emojis/{digits}.webp?size=48", f"https://discord.com/events/1/{digits}",
                f"{CDN}/attachments/{digits}/{digits}/a.png",
            ]
        )
    )  # fmt: skip
    parts: list[dict[str, Any]] = [
        {"content": text},
        {"embeds": [{"description": text}]},
        {draw(words): {"channel_id": digits, "guild_id": int(digits)}},
        {"message_reference": {"type": 1, "message_id": digits, "channel_id": digits}},
        {"mention_roles": [digits], "nonce": digits, "application_id": digits},
        {"attachments": [_file(digits, "a.png")]},
        {"reactions": [{"emoji": {"id": digits, "name": "e"}, "count": 1}]},
        {"sticker_items": [{"id": digits, "name": "s"}]},
        {"thread": {"id": digits, "parent_id": digits, "name": "t"}},
        {"resolved": {"roles": {digits: {"id": digits}}, "channels": {digits: {"id": digits}}}},
        {"components": [{"default_values": [{"type": "role", "id": digits}]}]},
        {"interaction_metadata": {"id": digits, "authorizing_integration_owners": {"0": digits}}},
    ]
    return draw(st.sampled_from(parts))


@st.composite
def of_numbers(draw: st.DrawFn, number: str) -> dict[str, Any]:
    """A part of a payload with some other number in it."""
    text = f"{draw(words)} {number} {draw(words)}"
    return draw(
        st.sampled_from(
            [{"content": text}, {"tomorrow": {"said": [text]}}, {"embeds": [{"title": text}]}]
        )
    )


@st.composite
def payloads(draw: st.DrawFn) -> tuple[dict[str, Any], list[str], list[str], list[str]]:
    """A message, and whose ids, which things' ids and which numbers are in it."""
    who = draw(st.lists(people, min_size=1, max_size=3, unique=True))
    what = draw(st.lists(things, max_size=3, unique=True))
    others = draw(st.lists(numbers, max_size=2, unique=True))
    parts = [draw(of_people(each)) for each in who]
    parts += [draw(of_things(each)) for each in what]
    parts += [draw(of_numbers(each)) for each in others]
    payload: dict[str, Any] = message(author=user(who[0], NAME))
    for part in draw(st.permutations(parts)):
        if draw(st.booleans()) or not payload.keys().isdisjoint(
            part.keys() - {"content", "embeds"}
        ):
            payload.setdefault("referenced_message", message(author=user(who[-1], NAME)))
            payload = {**part, **payload, f"more {len(payload)}": [part]}
        else:
            payload |= part
    return payload, who, what, others


def readings(text: str) -> set[str]:
    """What one may read in a text: its escapes decoded, unseen characters left out."""
    found = {text}
    for _ in range(3):
        found |= {unquote(each) for each in found}
        found |= {re.sub(r"\\u([0-9a-f]{4})", lambda f: chr(int(f[1], 16)), each) for each in found}
    plain = {unicodedata.normalize("NFKC", each) for each in found}
    plain |= {"".join(c for c in each if unicodedata.category(c) != "Cf") for each in plain}
    return found | {"".join(str(unicodedata.decimal(c, c)) for c in each) for each in plain}


def occurrences(texts: set[str], digits: str) -> list[str]:
    return [each for each in texts if re.search(rf"(?<!\d)0*{digits}(?!\d)", each, re.ASCII)]


def everything(made: Message) -> str:
    beside = (made.content, made.author_ref, made.attachments, made.reactions, made.reply_to_id)
    return f"{made.raw.decode()}{made.metadata.decode()}{beside}"


def counted(text: str, sought: list[str]) -> Counter[str]:
    return Counter(each for each in re.findall(r"\d+", text) if each in sought)


def check(given_: tuple[dict[str, Any], list[str], list[str], list[str]]) -> None:
    payload, who, what, others = given_
    before = orjson.dumps(payload)
    made = message_from(payload, PEOPLE)

    assert orjson.dumps(payload) == before, "the payload itself is left alone"
    kept = everything(made)
    for digits in who:
        assert occurrences(readings(kept), digits) == []
        assert str(float(digits)) not in kept
    assert NAME not in kept
    raw = made.raw.decode()
    stay = [*what, *others]
    assert counted(raw, stay) == counted(before.decode(), stay)
    assert orjson.loads(made.raw) == PEOPLE.scrub(orjson.loads(made.raw))[0], (
        "again changes nothing"
    )
    full = message_from(payload, FULL)
    assert orjson.loads(full.raw) == payload
    assert full.content == payload["content"]


def try_out(count: int) -> int:
    tried = 0

    @settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(payloads())
    def trial(given_: Any) -> None:
        nonlocal tried
        tried += 1
        check(given_)

    trial()
    return tried


def test_nobody_is_left_and_everything_else_is() -> None:
    assert try_out(QUICK) >= QUICK


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_same_at_length() -> None:
    print(f"\n{try_out(LONG):,} payloads")


@settings(max_examples=QUICK, deadline=None, database=None)
@given(st.lists(st.sampled_from(["url", "proxy_url", "icon_url", "content", "said"]), max_size=9))
def test_a_full_tenant_loses_the_signatures_of_the_cdn_alone(keys: list[str]) -> None:
    signed, plain = f"{CDN}/attachments/1/2/a.png{SIGNATURE}", f"{CDN}/attachments/1/2/a.png"
    payload: dict[str, Any] = message()
    wanted: dict[str, Any] = message()
    for number, key in enumerate(keys):
        kept = plain if key.endswith("url") else signed
        payload = {f"x{number}": [{key: signed}, payload], "content": signed}
        wanted = {f"x{number}": [{key: kept}, wanted], "content": signed}

    assert FULL.scrub(payload)[0] == wanted
