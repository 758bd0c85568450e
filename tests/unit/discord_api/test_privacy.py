"""No user and no user's name in what is kept."""

import orjson
import pytest

from raysync.discord_api.convert import message_from
from raysync.discord_api.people.pseudonyms import (
    FullIdentity,
    Pseudonymizer,
    pseudonym,
    pseudonymizer_for,
    rotation_key,
)
from raysync.models.entities import Privacy
from raysync.models.privacy import PeopleRules
from tests.unit.discord_api.payloads import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    CHANNEL_ID,
    ROLE_ID,
    message,
    user,
)

KEY = b"0123456789abcdef0123456789abcdef"
PEOPLE = Pseudonymizer(KEY)
AVATAR = f"https://cdn.discordapp.com/avatars/{BOB_ID}/a1b2c3d4e5f6.webp?size=64"

PLACES = {
    "author": {"author": BOB},
    "mentions": {"mentions": [BOB | {"member": {"nick": "bob.builder", "roles": []}}]},
    "content": {"content": f"<@{BOB_ID}> and <@!{BOB_ID}>"},
    "embed-text": {"embeds": [{"description": f"by <@{BOB_ID}>", "fields": [{"value": "x"}]}]},
    "embed-avatar": {"embeds": [{"author": {"name": "x", "icon_url": AVATAR}}]},
    "reply": {"referenced_message": message(author=BOB)},
    "command": {"interaction_metadata": {"id": "1", "type": 2, "user": BOB, "target_user": BOB}},
    "old-command": {"interaction": {"id": "1", "name": "x", "user": BOB, "member": {"nick": "b"}}},
    "owners": {"interaction_metadata": {"authorizing_integration_owners": {"0": "9", "1": BOB_ID}}},
    "resolved": {
        "resolved": {"users": {BOB_ID: BOB}, "members": {BOB_ID: {"nick": "bob.builder"}}}
    },
    "forward": {"message_snapshots": [{"message": {"content": f"<@{BOB_ID}>", "mentions": [BOB]}}]},
    "thread": {"thread": {"id": "8", "owner_id": BOB_ID, "member": {"user_id": BOB_ID, "id": "8"}}},
    "call": {"call": {"participants": [BOB_ID], "ended_timestamp": None}},
    "menu": {
        "components": [{"components": [{"default_values": [{"id": BOB_ID, "type": "user"}]}]}]
    },
    "layout-text": {"components": [{"type": 17, "components": [{"content": f"<@{BOB_ID}>"}]}]},
    "poll": {"poll": {"question": {"text": f"<@{BOB_ID}>?"}, "answers": []}},
    "party": {"activity": {"type": 1, "party_id": f"spotify:{BOB_ID}"}},
    "sticker": {"stickers": [{"id": "1", "name": "x", "user": BOB}]},
    "application": {"application": {"id": "1", "name": "x", "bot": BOB}},
    "lobby": {"lobby_member": {"id": BOB_ID, "flags": 0}},
    "webhook-name": {"author": user(BOB_ID, "bob.builder", bot=True), "webhook_id": BOB_ID},
    "tomorrow": {"tomorrow": {"deep": [{"who": BOB}], "again": BOB_ID}},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_nobody_is_left_wherever_discord_puts_people(place):
    kept = str(message_from(message(**place), PEOPLE))

    for secret in (ALICE_ID, BOB_ID, "alice.wonder", "bob.builder", "Great", "a1b2c3d4e5f6"):
        assert secret not in kept


def test_a_mention_in_the_text_has_the_authors_pseudonym():
    said = message_from(message(author=BOB), PEOPLE)
    named = message_from(message(content=f"ask <@!{BOB_ID}>, not <@&{ROLE_ID}>"), PEOPLE)

    assert named.content == f"ask <@{said.author_ref}>, not <@&{ROLE_ID}>"


def test_roles_and_channels_stay():
    payload = message(mention_roles=[ROLE_ID], content=f"<#{CHANNEL_ID}>")
    raw = orjson.loads(message_from(payload, PEOPLE).raw)

    assert (raw["mention_roles"], raw["content"]) == ([ROLE_ID], f"<#{CHANNEL_ID}>")
    assert raw["channel_id"] == CHANNEL_ID


def test_whether_a_user_is_a_program_is_kept():
    raw = orjson.loads(message_from(message(author=user(bot=True)), PEOPLE).raw)

    assert raw["author"] == {"id": PEOPLE.author_ref(ALICE_ID), "bot": True}


def test_the_payload_itself_is_left_alone():
    payload = message(mentions=[BOB], content=f"<@{BOB_ID}>")
    before = orjson.dumps(payload)
    message_from(payload, PEOPLE)

    assert orjson.dumps(payload) == before


def test_a_pseudonym_is_stable_keyed_and_long():
    one, again, other = Pseudonymizer(KEY), Pseudonymizer(KEY), Pseudonymizer(KEY[::-1])

    assert one.author_ref(BOB_ID) == again.author_ref(BOB_ID) != other.author_ref(BOB_ID)
    assert one.author_ref(BOB_ID) != one.author_ref(ALICE_ID)
    assert len(one.author_ref(BOB_ID)) == len("u_") + 26


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        Pseudonymizer(b"short")


def test_a_full_tenant_keeps_people():
    found = message_from(message(mentions=[BOB], content=f"<@{BOB_ID}>"), FullIdentity())
    raw = orjson.loads(found.raw)

    assert (raw["author"], raw["mentions"]) == (ALICE, [BOB])
    assert found.content == f"<@{BOB_ID}>"


@pytest.mark.parametrize(
    ("privacy", "kind"),
    [(Privacy.FULL, FullIdentity), (Privacy.PSEUDONYMOUS, Pseudonymizer)],
)
def test_privacy_decides(privacy, kind):
    assert isinstance(pseudonymizer_for(privacy, KEY), kind)


BOB_REF = PEOPLE.author_ref(BOB_ID)
WITHOUT_BOB = {
    Privacy.PSEUDONYMOUS: PeopleRules(users=frozenset({BOB_REF})),
    Privacy.FULL: PeopleRules(users=frozenset({BOB_ID})),
}


@pytest.mark.parametrize("privacy", list(Privacy))
@pytest.mark.parametrize("place", [each for each in PLACES if "author" not in PLACES[each]])
def test_who_is_kept_out_is_nowhere_in_what_others_write(privacy: Privacy, place: str) -> None:
    people = pseudonymizer_for(privacy, KEY, WITHOUT_BOB[privacy])

    kept = message_from(message(**PLACES[place]), people)

    everything = f"{kept.content} {kept.raw.decode()} {kept.metadata.decode()}"
    assert not kept.is_suppressed
    for trace in (BOB_ID, BOB_REF, "bob.builder", "a1b2c3d4e5f6.webp"):
        assert trace not in everything
    if privacy is Privacy.FULL:
        assert kept.author_ref == ALICE_ID
        assert orjson.loads(kept.raw)["author"] == ALICE, "others stay as they are"


@pytest.mark.parametrize("privacy", list(Privacy))
def test_of_what_they_write_themselves_only_the_id_is_left(privacy: Privacy) -> None:
    people = pseudonymizer_for(privacy, KEY, WITHOUT_BOB[privacy])

    kept = message_from(message(author=BOB, content="said by Bob", attachments=[]), people)

    assert kept.is_suppressed
    assert (kept.content, kept.raw, kept.metadata) == ("", b"{}", b"{}")
    assert kept.id == int(message()["id"])


def test_a_quote_past_retention_goes_and_a_younger_one_stays() -> None:
    quoting = message(referenced_message=message(id="1003025117553754136", content="long ago"))
    for before, is_kept in ((1003025117553754137, False), (1003025117553754136, True)):
        kept = message_from(quoting, Pseudonymizer(KEY, PeopleRules(before=before)))
        assert (b"long ago" in kept.raw) is is_kept


def test_each_rotation_gives_another_pseudonym_from_the_one_before() -> None:
    salts = ("00" * 16, "11" * 16)
    refs = [Pseudonymizer(KEY, PeopleRules(salts[:n])).author_ref(BOB_ID) for n in range(3)]

    assert len(set(refs)) == 3
    assert refs[1] == pseudonym(rotation_key(KEY, salts[0]), refs[0])
    assert refs[2] == pseudonym(rotation_key(KEY, salts[1]), refs[1])


@pytest.mark.parametrize(
    "hidden",
    [
        {"users": ALICE},
        {"members": {"user": ALICE, "nick": "alice.wonder"}},
        {"authorizing_integration_owners": {"0": ALICE}},
        {"member": {"roles": [ALICE]}},
    ],
    ids=lambda hidden: next(iter(hidden)),
)
def test_somebody_where_ids_or_lists_are_expected_is_a_person_all_the_same(
    hidden: dict[str, object],
) -> None:
    _, raw = PEOPLE.scrub(message(author=BOB, **hidden))

    assert ALICE_ID.encode() not in raw
    assert b"alice" not in raw
