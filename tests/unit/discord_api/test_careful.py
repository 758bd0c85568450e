"""Records of a page, whatever they are: field by field, and marked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from raysync.discord_api.careful import read_message
from raysync.discord_api.convert import message_from
from raysync.discord_api.lenient_json import parse
from raysync.discord_api.people.pseudonyms import FullIdentity, Pseudonymizer
from raysync.discord_api.people.redaction import Redaction
from raysync.models.entities import WITHHELD, Attachment, Reaction
from raysync.models.ids import NOWHERE, moment_of
from raysync.models.privacy import PeopleRules
from tests.unit.discord_api.payloads import ALICE_ID, message

PEOPLE, FULL = Pseudonymizer(b"k" * 32), FullIdentity()
ID = int(message()["id"])
FILE = {"id": "7", "filename": "a", "size": 9, "url": "https://cdn/a", "content_type": None}
THUMB = {"emoji": {"id": None, "name": "👍"}, "count": 2}
NESTED: Any = "x"
for _ in range(300):
    NESTED = [NESTED]


def test_what_is_documented_is_read_as_ever() -> None:
    payload = message(attachments=[FILE], reactions=[THUMB])

    assert read_message(payload, PEOPLE) == message_from(payload, PEOPLE)
    assert read_message(payload, PEOPLE).quarantine == ()


@pytest.mark.parametrize(
    ("field", "odd", "read", "default"),
    [
        ("type", None, "type", 0),
        ("type", True, "type", 0),
        ("type", 1.0, "type", 0),
        ("type", -1, "type", 0),
        ("type", 2**31, "type", 0),
        ("content", None, "content", ""),
        ("content", 5, "content", ""),
        ("content", {"user": {"id": ALICE_ID, "username": "a"}}, "content", ""),
        ("author", None, "author_ref", None),
        ("author", [ALICE_ID], "author_ref", None),
        ("author", {"id": True}, "author_ref", None),
        ("author", {"id": f" {ALICE_ID}"}, "author_ref", None),
        ("author", {"id": "٣" * 18}, "author_ref", None),
        ("author", {"id": 2**64}, "author_ref", None),
        ("timestamp", None, "created_at", moment_of(ID)),
        ("timestamp", 1, "created_at", moment_of(ID)),
        ("timestamp", "0000-01-01T00:00:00Z", "created_at", moment_of(ID)),
        ("timestamp", "294277-01-01T00:00:00Z", "created_at", moment_of(ID)),
        ("timestamp", "9" * 5_000, "created_at", moment_of(ID)),
        ("edited_timestamp", "9999-12-31T23:59:59-23:59", "edited_at", None),
        ("edited_timestamp", 7, "edited_at", None),
        ("edited_timestamp", False, "edited_at", None),
        ("message_reference", [], "reply_to_id", None),
        ("message_reference", {"type": "0", "message_id": "5"}, "reply_to_id", None),
        ("message_reference", {"message_id": -5}, "reply_to_id", None),
        ("message_reference", {"message_id": 10**400}, "reply_to_id", None),
        ("attachments", None, "attachments", ()),
        ("attachments", FILE, "attachments", ()),
        ("attachments", [None, 5, [], FILE], "attachments",
         (Attachment(7, "a", 9, None, FILE["url"]),)),
        ("attachments", [{"id": "7"}], "attachments", (Attachment(7, "", 0, None, ""),)),
        ("attachments", [FILE | {"size": 2**63}], "attachments",
         (Attachment(7, "a", 0, None, FILE["url"]),)),
        ("attachments", [FILE | {"id": "-7"}], "attachments", ()),
        ("reactions", {}, "reactions", ()),
        ("reactions", 0, "reactions", ()),
        ("reactions", [THUMB, THUMB], "reactions", (Reaction("👍", 2, 0),)),
        ("reactions", [THUMB | {"count": 2**31}], "reactions", (Reaction("👍", 0, 0),)),
        ("reactions", [THUMB | {"count": -1}], "reactions", (Reaction("👍", 0, 0),)),
        ("reactions", [THUMB | {"count_details": [1]}], "reactions", (Reaction("👍", 2, 0),)),
        ("reactions", [{"emoji": {"id": None, "name": None}, "count": 1}], "reactions", ()),
        ("reactions", [{"emoji": {"id": None, "name": ""}, "count": 1}], "reactions", ()),
        ("reactions", [{"emoji": {"id": None, "name": ".."}, "count": 1}], "reactions", ()),
        ("reactions", [{"emoji": {"id": {}, "name": "a"}, "count": 1}], "reactions", ()),
        ("reactions", [{"emoji": {"name": "a" * 201}, "count": 1}], "reactions", ()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("identities", [PEOPLE, FULL], ids=["people", "full"])
def test_a_field_that_cannot_be_read_has_its_default(
    identities: Any, field: str, odd: Any, read: str, default: Any
) -> None:
    ordinary = read_message(message(), identities)
    found = read_message(message() | {field: odd}, identities)

    assert found.quarantine == (field,)
    assert getattr(found, read) == default
    same = {"id", "type", "content", "author_ref", "reply_to_id", "created_at", "edited_at"} - {
        read
    }
    assert {each: getattr(found, each) for each in same} == {
        each: getattr(ordinary, each) for each in same
    }
    orjson.loads(found.raw)


@pytest.mark.parametrize(
    "field", ["type", "content", "author", "timestamp", "edited_timestamp", "attachments"]
)
def test_what_discord_always_sends_is_missed(field: str) -> None:
    payload = message()
    del payload[field]

    assert read_message(payload, PEOPLE).quarantine == (field,)


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("flags", "4"), ("flags", 4.0), ("flags", -4), ("flags", 2**63), ("flags", True),
        ("flags", {"user": {"id": ALICE_ID, "username": "alice"}}),
        ("pinned", 1), ("pinned", f"<@{ALICE_ID}>"), ("pinned", {"user_id": ALICE_ID}),
    ],
)  # fmt: skip
def test_metadata_holds_nothing_but_what_it_is_for(field: str, odd: Any) -> None:
    found = read_message(message() | {field: odd}, PEOPLE)

    assert found.quarantine == (field,)
    assert orjson.loads(found.metadata) == {"author": "user", "flags": 0, "pinned": False}


@pytest.mark.parametrize("field", ["flags", "pinned"])
def test_where_there_is_nothing_nothing_is_odd(field: str) -> None:
    assert read_message(message() | {field: None}, PEOPLE).quarantine == ()


@pytest.mark.parametrize(
    ("offset", "hour"), [("+23:59", "12:01"), ("-23:59", "11:59"), ("+00:00:01", "11:59:59")]
)
def test_times_are_in_utc_for_postgresql_knows_fewer_offsets(offset: str, hour: str) -> None:
    found = read_message(message(edited_timestamp=f"2023-05-02T12:00:00{offset}"), PEOPLE)

    assert found.quarantine == ()
    assert found.edited_at is not None
    assert found.edited_at.tzinfo is UTC
    assert f"{found.edited_at:%H:%M:%S}".startswith(hour)


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), float("inf"), float("nan"), NESTED, [{"a": [NESTED]}]]
)
def test_what_json_cannot_hold_is_null_and_said_to_be(value: Any) -> None:
    known = read_message(message(embeds=[{"x": value, "title": "kept"}]), PEOPLE)
    unknown = read_message(message() | {f"<@{ALICE_ID}>": value}, PEOPLE)
    is_nan = isinstance(value, float)  # orjson writes null for these, as it is

    assert known.quarantine == (() if is_nan else ("embeds",))
    assert unknown.quarantine == (() if is_nan else ("another field",))
    assert orjson.loads(known.raw)["embeds"][0]["title"] == "kept"
    assert known.content == "hello"


def test_text_that_postgresql_cannot_keep_is_kept_as_ever_beside() -> None:
    found = read_message(message(content="a\x00b", type=None), PEOPLE)
    metadata = orjson.loads(found.metadata)

    assert (found.content, found.quarantine) == ("a\ufffdb", ("type",))
    assert json.loads(metadata["original"])["content"] == "a\x00b"


@pytest.mark.parametrize(
    "record",
    [None, True, 5, 1.5, "x", [], [message()], {}, {"id": None}, {"id": "0"}, {"id": "-1"},
     {"id": 2**63}, {"id": 1.0}, {"id": True}, {"id": "1e3"}, {"id": "5 "}, {"id": "٣"},
     message() | {"id": [str(ID)]}, message() | {"id": "9" * 30}, message() | {"id": NESTED}],
)  # fmt: skip
def test_a_record_without_an_id_has_no_place(record: Any) -> None:
    found = read_message(record, PEOPLE)

    assert (found.id, found.quarantine) == (NOWHERE, ("id",))
    assert found == read_message(record, PEOPLE)
    assert found != read_message({"another": 1}, PEOPLE)
    assert (found.is_blank, found.may_be_empty) == (False, True)


def test_ids_may_be_numbers() -> None:
    plain = read_message(message(), PEOPLE)
    found = read_message(message(id=ID, author=message()["author"] | {"id": int(ALICE_ID)}), PEOPLE)

    assert (found.id, found.author_ref) == (plain.id, plain.author_ref)


class _Breaking(Pseudonymizer):
    """Cannot scrub."""

    def __init__(self, error: BaseException, rules: PeopleRules) -> None:
        super().__init__(b"k" * 32, rules)
        self._error = error

    def scrub(self, payload: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error", [ValueError("x"), RecursionError(), AssertionError(), IndexError(), MemoryError()]
)
def test_what_cannot_be_scrubbed_is_not_kept(error: Exception) -> None:
    secret = message(content="secret", attachments=[FILE], reactions=[THUMB])
    found = read_message(secret, _Breaking(error, PeopleRules()))

    assert found.quarantine == (WITHHELD,)
    assert (found.content, found.attachments, found.reactions) == ("", (), ())
    assert orjson.loads(found.raw) == {"id": str(ID), "type": 0, "withheld_by_raysync": True}
    assert found.author_ref == PEOPLE.author_ref(ALICE_ID), "else it could not be erased"
    assert found.created_at == datetime(2023, 5, 2, 13, 2, 11, 123_000, tzinfo=UTC)


class _Nameless(Pseudonymizer):
    """Knows nobody."""

    def author_ref(self, user_id: str, /) -> str:
        raise LookupError(user_id)


def test_where_everything_fails_it_is_known_that_there_is_a_message() -> None:
    found = read_message(message(), _Nameless(b"k" * 32))

    assert (found.id, found.quarantine, found.author_ref) == (ID, (WITHHELD,), None)
    assert ALICE_ID.encode() not in found.raw


class _Lying(Pseudonymizer):
    """Scrubs into something that is no JSON."""

    def scrub(self, payload: Any) -> Any:
        return dict(payload), b'{"id": u_abc}'


def test_what_is_scrubbed_into_no_json_is_not_kept() -> None:
    odd = message(type=None)

    assert read_message(odd, _Lying(b"k" * 32)).quarantine == (WITHHELD,)


def test_of_somebody_who_is_kept_out_nothing_is_read() -> None:
    rules = PeopleRules(users=frozenset({PEOPLE.author_ref(ALICE_ID)}))
    people = Pseudonymizer(b"k" * 32, rules)
    for odd in ({"type": None}, {"timestamp": None}, {"content": None}, {"embeds": NESTED}):
        assert read_message(message() | odd, people).is_suppressed

    unknown = read_message(message(author=None, content="secret"), people)
    assert not unknown.is_suppressed
    assert unknown.quarantine == (WITHHELD,)
    assert b"secret" not in unknown.raw


def test_what_was_read_in_pieces_is_never_taken_for_whole() -> None:
    deep = "[" * 2_000 + "]" * 2_000
    document = json.dumps([message(tomorrow="HERE"), message()]).replace('"HERE"', deep)
    odd, fine = (read_message(each, PEOPLE) for each in parse(document))

    assert odd.quarantine == ("another field",)
    assert fine == read_message(message(), PEOPLE)


@pytest.mark.parametrize("content", ["hello", "a\ud800"])
def test_no_more_levels_are_kept_than_can_be_redacted(content: str) -> None:
    def nested(levels: int) -> Any:
        value: Any = PEOPLE.author_ref("5")
        for _ in range(levels):
            value = {"x": value}
        return value

    kept = read_message(message(content=content, tomorrow=nested(98)), PEOPLE)
    cut = read_message(message(content=content, tomorrow=nested(240)), PEOPLE)
    wide = read_message(message(content=content, tomorrow=[{"x": []}] * 200), PEOPLE)
    redaction = Redaction(people=frozenset({PEOPLE.author_ref("5")}))

    assert (kept.quarantine, wide.quarantine) == ((), ())
    assert cut.quarantine == ("another field",)
    for each in (kept, cut):
        rest = json.dumps(redaction.payload(orjson.loads(each.raw)))
        assert PEOPLE.author_ref("5") not in rest


@pytest.mark.parametrize(
    "odd", [None, "x", "", 1.5, True, [], {}, -5, 10**30, "٣", " 9", "9" * 400]
)
def test_a_quote_whose_age_cannot_be_told_is_old(odd: Any) -> None:
    redaction = Redaction(before=1_000)
    payload = {"referenced_message": {"id": odd, "content": "said long ago"}}

    assert redaction.touches(payload, b"{}")
    assert redaction.payload(payload) == {"referenced_message": None}
    young = {"referenced_message": {"id": "1001", "content": "said lately"}}
    assert redaction.payload(young) == young
    people = Pseudonymizer(b"k" * 32, PeopleRules(before=1_000))
    kept = read_message(message(referenced_message=payload["referenced_message"]), people)
    assert b"said long ago" not in kept.raw
