"""What pages of messages and lists of threads hold."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysync.emulator import Edits, GuildSpec, Limits, World, generate_guild
from raysync.emulator.api.quirks import Quirks
from raysync.emulator.api.requests import Incoming
from raysync.emulator.serving.engine import Engine
from raysync.emulator.world.messages import MessageLog, PageQuery, encode
from raysync.emulator.world.snowflakes import iso, iso_to_ms, made_at_ms, snowflake

pytestmark = pytest.mark.unit

IDS = st.lists(st.integers(1, 60), unique=True, max_size=40).map(sorted)


def log_of(ids):
    """Return a log of bare messages."""
    log = MessageLog()
    for message_id in ids:
        log.put({"id": str(message_id)})
    return log


@given(IDS, st.integers(0, 61), st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_before_brings_the_newest_below_and_after_the_oldest_above(ids, cursor, limit):
    log = log_of(ids)
    older = [each for each in ids if each < cursor][-limit:][::-1]
    newer = [each for each in ids if each > cursor][:limit][::-1]

    assert list(log.select(PageQuery(limit, before=cursor))) == older
    assert list(log.select(PageQuery(limit, after=cursor))) == newer
    assert list(log.select(PageQuery(limit))) == ids[-limit:][::-1]


@given(IDS, st.integers(0, 61), st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_around_brings_half_of_each_side_and_the_message_itself(ids, cursor, limit):
    older = [each for each in ids if each < cursor]
    newer = [each for each in ids if each > cursor]
    half = limit // 2
    kept = older[len(older) - min(half, len(older)) :] + newer[:half]
    expected = sorted([*kept, *({cursor} & set(ids))], reverse=True)

    assert list(log_of(ids).select(PageQuery(limit, around=cursor))) == expected


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_log_holds_what_was_put_and_not_removed(steps):
    log, expected = MessageLog(), set()
    for adds, message_id in steps:
        if adds:
            log.put({"id": str(message_id)})
            expected.add(message_id)
        elif message_id in expected:
            log.remove(message_id)
            expected.discard(message_id)

    assert list(log.ids) == sorted(expected)
    assert all(each in log for each in expected)


class Reader:
    """Asks an engine without a socket, as an administrator."""

    def __init__(self, spec, **quirks):
        self.guild = generate_guild(spec, 3)
        self.world = World(self.guild)
        self.bot = self.world.add_bot("token", permissions=8)
        self.edits = Edits(self.world)
        self.engine = Engine(self.world, Limits.off(), Quirks(**quirks))
        self.text = next(each for each in self.guild.channels.values() if each.type == 0)

    def reply(self, path, method="GET", body=b""):
        path, _, query = path.partition("?")
        incoming = Incoming(method, path, query, "", "Bot token", "", body)
        return self.engine.answer(incoming, self.engine.find(incoming)).reply

    def get(self, path):
        reply = self.reply(path)
        return reply.status, orjson.loads(reply.body)

    def messages(self, query=""):
        return self.get(f"/channels/{self.text.id}/messages?{query}")


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        pytest.param("limit=101", "limit", "NUMBER_TYPE_MAX", id="limit-too-high"),
        pytest.param("limit=0", "limit", "NUMBER_TYPE_MIN", id="limit-too-low"),
        pytest.param("limit=many", "limit", "NUMBER_TYPE_COERCE", id="limit-no-number"),
        pytest.param("before=x", "before", "NUMBER_TYPE_COERCE", id="cursor-no-snowflake"),
        pytest.param("before=1&after=2", "before", "MUTUALLY_EXCLUSIVE", id="two-cursors"),
    ],
)
def test_a_wrong_query_is_a_form_error(query, field, code):
    status, answer = Reader(GuildSpec.tiny()).messages(query)

    assert (status, answer["code"]) == (400, 50035)
    assert answer["errors"][field]["_errors"][0]["code"] == code


def test_fifty_come_unless_more_are_asked_for():
    reader = Reader(GuildSpec.tiny())

    assert len(reader.messages()[1]) == 50
    assert len(reader.messages("limit=100")[1]) == 100


def test_a_page_is_its_messages_encoded_each():
    reader = Reader(GuildSpec.lively(1_000))
    reply = reader.reply(f"/channels/{reader.text.id}/messages?limit=100")
    ids = reader.text.log.ids[-100:][::-1]
    each = [encode(reader.world.resolve(reader.text.log.payload(one))) for one in ids]
    now_s = reader.world.clock.now_ms() // 1000
    joined = b"[" + b",".join(each) + b"]"

    assert orjson.loads(reply.body) == orjson.loads(reader.world.cdn.sign_encoded(joined, now_s))
    assert reply.body == orjson.dumps(orjson.loads(reply.body))


def test_ties_are_scrambled_and_cut_by_an_order_that_depends_on_the_limit():
    spec = GuildSpec(text_channels=1, text_messages=400, tie_rate=0.8)
    reader = Reader(spec, scramble_ties=True)
    pages = [[int(each["id"]) for each in reader.messages(f"limit={n}")[1]] for n in (99, 100)]
    times = [[made_at_ms(each) for each in page] for page in pages]
    ids = list(reader.text.log.ids)

    assert [len(page) for page in pages] == [99, 100]
    assert any(page != sorted(page, reverse=True) for page in pages)
    assert [each for each in pages[1] if each in pages[0]] != pages[0]
    assert all(page == sorted(page, reverse=True) for page in times)
    assert any(set(page) != set(ids[-len(page) :]) for page in pages)


@pytest.mark.parametrize("cursor", ["after", "before"])
def test_a_page_that_cuts_a_millisecond_leaves_out_others_than_by_id(cursor):
    reader = Reader(GuildSpec(text_channels=1, text_messages=0), scramble_ties=True)
    at_ms = reader.world.clock.now_ms() - 60_000
    tied = sorted(reader.edits.post_message(reader.text.id, at_ms=at_ms) for _ in range(20))
    far = 0 if cursor == "after" else tied[-1] + 1
    nearest = tied[:7] if cursor == "after" else tied[-7:]
    page = [int(each["id"]) for each in reader.messages(f"limit=7&{cursor}={far}")[1]]

    assert len(set(page)) == 7
    assert set(page) < set(tied)
    assert set(page) != set(nearest)


def test_ignored_cursors_bring_the_newest_page_whatever_is_asked():
    reader = Reader(
        GuildSpec(text_channels=1, text_messages=50), ignored_cursors=frozenset({"after"})
    )

    assert reader.messages("limit=10&after=0") == reader.messages("limit=10")


def test_a_repeated_message_fills_the_page():
    reader = Reader(GuildSpec(text_channels=1, text_messages=50), repeat_messages=True)
    _, page = reader.messages("limit=10&after=0")

    assert {each["id"] for each in page} == {str(reader.text.log.ids[0])}
    assert len(page) == 10


def test_endless_lists_always_have_more():
    reader = Reader(GuildSpec(text_channels=1, threads=3, archived=1.0), endless_lists=True)
    _, listed = reader.get(f"/channels/{reader.text.id}/threads/archived/public")

    assert listed["has_more"] is True


def test_an_empty_page_may_be_null():
    reader = Reader(GuildSpec(text_channels=1, text_messages=0), null_for_empty=True)

    assert reader.messages() == (200, None)


def test_archived_threads_page_by_archive_time_and_refuse_what_is_no_time():
    reader = Reader(GuildSpec(text_channels=1, threads=30, archived=1.0))
    path = f"/channels/{reader.text.id}/threads/archived/public"
    status, answer = reader.get(path + "?limit=2&before=12345x")
    stamps, before = [], ""
    while True:
        _, page = reader.get(f"{path}?limit=3{before}")
        stamps += [each["thread_metadata"]["archive_timestamp"] for each in page["threads"]]
        if not page["has_more"]:
            break
        before = "&before=" + stamps[-1].replace("+", "%2B")

    assert (status, answer["code"]) == (400, 50035)
    assert "Should be ISO8601." in answer["errors"]["before"]["_errors"][0]["message"]
    assert len(stamps) == len(reader.guild.threads)
    assert all(older <= newer for newer, older in pairwise(stamps))


def test_thread_search_counts_pages_and_admits_to_no_index():
    reader = Reader(GuildSpec(text_channels=1, forum_channels=1, posts=40))
    forum = next(each for each in reader.guild.channels.values() if each.type == 15)
    path = f"/channels/{forum.id}/threads/search"
    _, first = reader.get(path + "?sort_by=creation_time&sort_order=asc&limit=25")
    _, second = reader.get(path + "?sort_by=creation_time&sort_order=asc&limit=25&offset=25")
    ids = [each["id"] for each in first["threads"] + second["threads"]]

    assert ids == [str(each) for each in sorted(reader.guild.threads)]
    assert [each["id"] for each in first["first_messages"]] == ids[:25]
    assert (first["total_results"], first["has_more"], second["has_more"]) == (
        len(ids),
        True,
        False,
    )
    assert reader.get(path)[0] == 500
    reader.world.unindexed_channel_ids.add(forum.id)
    assert reader.get(path + "?limit=1")[1]["code"] == 110000


def test_only_known_methods_are_allowed():
    reader = Reader(GuildSpec.tiny())

    assert reader.reply("/users/@me", "DELETE").status == 405


def test_addresses_can_be_signed_anew():
    reader = Reader(GuildSpec.lively(1_000))
    old = reader.world.cdn.sign("attachments/1/2/a.png", 0)
    body = orjson.dumps({"attachment_urls": [old]})
    reply = reader.reply("/attachments/refresh-urls", "POST", body)
    (fresh,) = orjson.loads(reply.body)["refreshed_urls"]

    assert fresh["original"] == old
    assert fresh["refreshed"].partition("?")[0] == old.partition("?")[0]
    assert fresh["refreshed"] != old
    too_many = orjson.dumps({"attachment_urls": [old] * 51})
    assert reader.reply("/attachments/refresh-urls", "POST", too_many).status == 400


@given(st.integers(1_420_070_400_000, 4_000_000_000_000))
def test_times_and_snowflakes_go_both_ways(at_ms):
    assert made_at_ms(snowflake(at_ms)) == at_ms
    assert iso_to_ms(iso(at_ms)) == at_ms
    assert len(iso(at_ms)) == len("2021-04-12T23:40:39.855793+00:00")
