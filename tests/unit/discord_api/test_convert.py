"""Payloads to models."""

import json
from datetime import UTC, datetime

import orjson
import pytest

from raysync.discord_api.convert import channel_from, guild_from, member_from, message_from
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.discord_api.people.scrubbing import without_mentions
from raysync.errors import PayloadError
from raysync.models.entities import Attachment, Overwrite, Reaction, Role
from raysync.models.ids import ChannelKey, GuildId, UserId
from raysync.models.work import IdRange, StoredChannel
from raysync.sync.planning.estimate import is_unchanged
from tests.unit.discord_api.payloads import ALICE_ID, BOB_ID, CHANNEL_ID, message, user

FULL, PSEUDONYMOUS = FullIdentity(), Pseudonymizer(b"k" * 32)
SIGNED = "https://cdn.discordapp.com/attachments/1/2/a.png?ex=66aa&is=66a9&hm=0f1e&"
UNSIGNED = "https://cdn.discordapp.com/attachments/1/2/a.png"


def converted(**more):
    return message_from(message(**more), FULL)


def test_a_plain_message():
    found = converted(edited_timestamp="2023-05-02T14:00:00+00:00")

    assert (found.id, found.type, found.content) == (1103025117553754136, 0, "hello")
    assert found.author_ref == ALICE_ID
    assert found.created_at == datetime(2023, 5, 2, 13, 2, 11, 123_000, tzinfo=UTC)
    assert found.edited_at == datetime(2023, 5, 2, 14, tzinfo=UTC)
    assert found.reply_to_id is None


@pytest.mark.parametrize(
    ("more", "is_blank", "may_be_empty"),
    [
        pytest.param({}, True, False, id="nothing"),
        pytest.param({"type": 19}, True, False, id="an-empty-answer"),
        pytest.param({"content": "hello"}, False, False, id="text"),
        pytest.param({"sticker_items": [{"id": "5"}]}, False, False, id="a-sticker"),
        pytest.param({"soundboard_sounds": [{"sound_id": "5"}]}, False, False, id="a-sound"),
        pytest.param({"poll": {"question": {}}}, False, False, id="a-poll"),
        pytest.param({"type": 7}, False, True, id="a-notice"),
        pytest.param({"flags": 1 << 2}, True, True, id="embeds-were-hidden"),
        pytest.param({"type": 20, "flags": 1 << 7}, True, True, id="an-answer-to-come"),
        pytest.param({"message_snapshots": [{"message": {}}]}, False, True, id="a-forward"),
    ],
)
def test_what_holds_nothing_is_told_from_what_may(more, is_blank, may_be_empty):
    found = converted(**{"content": "", **more})

    assert (found.is_blank, found.may_be_empty) == (is_blank, may_be_empty)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param({"type": 0, "message_id": "42"}, 42, id="a-reply"),
        pytest.param({"message_id": "42"}, 42, id="no-type-means-a-reply"),
        pytest.param({"type": 1, "message_id": "42"}, None, id="a-forward-is-no-reply"),
        pytest.param({"type": 0, "channel_id": "7"}, None, id="a-channel-is-no-message"),
    ],
)
@pytest.mark.parametrize("parent", [{}, {"referenced_message": None}])
def test_a_reply_is_known_by_its_reference_even_when_the_parent_is_gone(
    reference, expected, parent
):
    assert converted(type=19, message_reference=reference, **parent).reply_to_id == expected


@pytest.mark.parametrize(
    ("emoji", "expected"),
    [
        pytest.param({"id": None, "name": "👍"}, "👍", id="a-character"),
        pytest.param({"id": "5", "name": "party"}, "party:5", id="a-custom-one"),
        pytest.param({"id": "5", "name": None}, "_:5", id="a-deleted-custom-one"),
    ],
)
def test_reactions_are_named_by_their_emoji(emoji, expected):
    reaction = {"emoji": emoji, "count": 3, "count_details": {"burst": 1, "normal": 2}}

    assert converted(reactions=[reaction]).reactions == (Reaction(expected, 3, 1),)


def test_addresses_lose_their_signatures_wherever_they_are():
    file = {"id": "2", "filename": "a.png", "size": 9, "url": SIGNED, "content_type": "image/png"}
    media = {"url": SIGNED, "proxy_url": SIGNED + "=&format=webp&width=64"}
    found = converted(
        attachments=[file],
        embeds=[{"image": media}],
        components=[{"type": 12, "items": [{"media": media}]}],
        message_snapshots=[{"message": {"attachments": [file]}}],
    )

    assert found.attachments == (Attachment(2, "a.png", 9, "image/png", UNSIGNED),)
    assert b"hm=" not in found.raw
    assert orjson.loads(found.raw)["embeds"][0]["image"]["proxy_url"] == (
        UNSIGNED + "?format=webp&width=64"
    )


def test_an_address_somebody_wrote_stays_as_written():
    assert converted(content=f"look: {SIGNED}").content == f"look: {SIGNED}"


def test_what_discord_may_bring_tomorrow_is_kept():
    raw = orjson.loads(converted(type=200, tomorrow={"answer": [42]}).raw)

    assert raw["tomorrow"] == {"answer": [42]}
    assert raw["type"] == 200


@pytest.mark.parametrize("odd", ["a\x00b", "a\ud800b"])
@pytest.mark.parametrize("identities", [FULL, PSEUDONYMOUS])
def test_text_postgresql_cannot_keep_is_replaced_and_said_to_be(odd, identities):
    found = message_from(message(content=odd, embeds=[{"title": odd, odd: 1}]), identities)

    assert found.content == "a\ufffdb"
    assert orjson.loads(found.raw)["embeds"] == [{"title": "a\ufffdb", "a\ufffdb": 1}]
    assert orjson.loads(found.metadata)["replaced_text"] is True


@pytest.mark.parametrize(
    "odd", ["a\x00b", "a\ud800b", "\x00\udfff\x00", "<@123456789012345678>\x00"]
)
@pytest.mark.parametrize("identities", [FULL, PSEUDONYMOUS])
def test_the_original_of_replaced_text_is_kept_and_knows_no_more_of_people(odd, identities):
    payload = message(content=odd, embeds=[{"title": odd, odd: 1}])
    found = message_from(payload, identities)
    text = orjson.loads(found.metadata)["original"]
    original = json.loads(text)

    expected = odd if identities is FULL else without_mentions(odd, PSEUDONYMOUS.author_ref)
    assert original["content"] == expected
    assert original["embeds"][0]["title"] == expected
    assert "\x00" not in text
    assert text.encode("utf-8")  # PostgreSQL keeps it
    if identities is PSEUDONYMOUS:
        assert payload["author"]["id"] not in text


def test_the_letters_of_an_escape_are_not_the_character():
    found = converted(content="\\u0000")

    assert found.content == "\\u0000"
    assert "replaced_text" not in orjson.loads(found.metadata)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "user"),
        ({"author": user(bot=True)}, "bot"),
        ({"author": user(), "webhook_id": ALICE_ID}, "webhook"),
        ({"author": user(bot=True), "webhook_id": BOB_ID, "type": 20}, "bot"),
        ({"type": 7}, "system"),
    ],
)
def test_metadata_says_what_kind_of_author_speaks(more, kind):
    assert orjson.loads(converted(**more).metadata)["author"] == kind


@pytest.mark.parametrize("broken", [{"id": None}, {"timestamp": "soon"}, {"attachments": [{}]}])
def test_a_message_discord_would_not_send_is_an_error_of_ours(broken):
    with pytest.raises(PayloadError):
        converted(**broken)


def channel(without=(), **more):
    payload = {"id": CHANNEL_ID, "type": 0, "name": "general", "permission_overwrites": []}
    payload |= {"last_message_id": None} | more
    payload = {key: value for key, value in payload.items() if key not in without}
    return channel_from(payload, GuildId(1), UserId(int(ALICE_ID)), PSEUDONYMOUS)


def test_of_member_overwrites_only_the_bots_own_is_kept():
    overwrites = [
        {"id": each, "type": kind, "allow": "1024", "deny": "0"}
        for each, kind in ((ALICE_ID, 1), (BOB_ID, 1), ("5", 0))
    ]
    found = channel(permission_overwrites=overwrites)

    assert found.overwrites == (
        Overwrite(int(ALICE_ID), True, 1024, 0),
        Overwrite(5, False, 1024, 0),
    )
    assert BOB_ID not in str(found.metadata)


def test_a_channel_of_an_unknown_type_and_without_a_name_is_kept():
    found = channel(type=99, name=None)

    assert (found.type, found.name, found.thread) == (99, "", None)


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        ({"without": ["last_message_id"]}, False),
        ({"without": ["last_message_id"], "type": 2}, False),
        ({"without": ["last_message_id"], "type": 11}, False),
        ({"without": ["last_message_id"], "type": 4}, True),
        ({"last_message_id": None}, True),
        ({"last_message_id": "70"}, True),
    ],
)
def test_a_missing_key_does_not_say_that_nothing_was_posted(more, is_told):
    found = channel(**more)

    assert ("last_message_id" not in found.unreadable) is is_told
    nothing_stored = StoredChannel(ChannelKey(1), found.id, (), 0)
    if found.last_message_id is None:
        assert is_unchanged(found, nothing_stored, IdRange(0, 1 << 62), 0) is is_told


def test_a_thread_tells_when_it_was_archived():
    state = {"archived": True, "archive_timestamp": "2023-05-02T13:02:11.123456+00:00"}
    found = channel(type=11, parent_id="9", thread_metadata=state, message_count=7)

    assert found.parent_id == 9
    assert found.thread.archived_at == datetime(2023, 5, 2, 13, 2, 11, 123_456, tzinfo=UTC)
    assert (found.thread.archived, found.thread.message_count) == (True, 7)
    assert not found.thread.bot_is_member


def test_a_guild_has_its_roles():
    payload = {"id": "1", "name": "g", "owner_id": "2", "roles": [{"id": "1", "permissions": "8"}]}

    assert guild_from(payload).roles == (Role(1, 8),)


@pytest.mark.parametrize(
    "odd",
    [
        None, 7, "x", [], {}, {"id": "2"}, {"id": None, "permissions": "8"},
        {"id": "2", "permissions": None}, {"id": "2", "permissions": "-8"},
        {"id": "2", "permissions": 8.0}, {"id": "2", "permissions": "٨"},
        {"id": "2", "permissions": True}, {"id": "9" * 30, "permissions": "8"},
    ],
)  # fmt: skip
def test_an_odd_role_costs_no_other(odd):
    payload = {"id": None, "roles": [odd, {"id": "1", "permissions": 10**40}, odd]}
    guild = guild_from(payload, GuildId(1))

    assert guild.roles == (Role(1, 10**40),)
    assert (guild.id, guild.name, guild.owner_id, guild.unreadable_roles) == (1, "", 0, 2)
    member = member_from({"roles": ["1", odd, 3]}, UserId(5))
    assert member.role_ids == frozenset({1, 3}) | ({7} if odd == 7 else set())


@pytest.mark.parametrize("roles", [None, {}, "1", 5, [], [None]])
def test_without_any_role_nobody_knows_what_may_be_read(roles):
    with pytest.raises(PayloadError, match="roles cannot be read"):
        guild_from({"id": "1", "name": "g", "owner_id": "2", "roles": roles})


@pytest.mark.parametrize("member", [None, [], {}, {"roles": None}, {"roles": {"1": 1}}])
def test_a_member_without_a_list_of_roles_is_an_error(member):
    with pytest.raises(PayloadError, match="roles cannot be read"):
        member_from(member, UserId(5))


@pytest.mark.parametrize(
    ("kind", "is_member"), [(0, False), ("0", False), ("role", False), (1, True), ("member", True)]
)
def test_overwrites_tell_members_from_roles(kind, is_member):
    told = {"id": ALICE_ID, "type": kind, "allow": 1024, "deny": "0"}

    assert channel(permission_overwrites=[told]).overwrites == (
        Overwrite(int(ALICE_ID), is_member, 1024, 0),
    )


@pytest.mark.parametrize(
    "odd",
    [None, 5, {}, {"type": True}, {"type": 2}, {"allow": None}, {"deny": "x"}, {"id": "0"}],
)
def test_an_overwrite_that_cannot_be_read_is_said_to_be_there(odd):
    told = {"id": "5", "type": 0, "allow": "1024", "deny": "0"}
    worse = {**told, **odd} if isinstance(odd, dict) and odd else odd
    found = channel(permission_overwrites=[told, worse])

    assert found.overwrites == (Overwrite(5, False, 1024, 0),)
    assert found.unreadable == ("permission_overwrites",)
