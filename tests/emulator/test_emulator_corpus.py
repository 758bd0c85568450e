"""Real chat served as a guild, byte for byte."""

import gzip
from itertools import pairwise

import orjson
import pytest

from raysync.emulator import Corpus, World, load_corpus
from raysync.emulator.corpus import ACTION, MESSAGE, SYSTEM
from tests.emulator.openapi import shared_file

pytestmark = pytest.mark.unit

LINES = [
    {"kind": "message", "time": "23:59", "nick": "Ann", "text": "hi", "line": 0},
    {"kind": "system", "time": None, "nick": None, "text": "=== Bob came", "line": 1},
    {"kind": "message", "time": "00:01", "nick": "Bob", "text": "a  b\t", "line": 2},
    {"kind": "action", "time": "00:01", "nick": "Bob", "text": "waves", "line": 3},
    {"kind": "message", "time": None, "nick": "Ann", "text": "yo", "line": 4},
]


@pytest.fixture
def small(tmp_path):
    links = {2: [1, 0], 4: [4, 3, 2]}
    where = {"log": "2008-01-02.x", "channel": "x", "day": "2008-01-02"}
    lines = [each | where | {"replies_to": links.get(each["line"], [])} for each in LINES]
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    return path


def test_lines_become_messages_in_order_and_links_replies(small):
    corpus = Corpus.load(small)
    world = World(corpus.guild)
    messages = [message for _, message in world.truth(corpus.guild.id)]

    assert [each["content"] for each in messages] == ["hi", "a  b\t", "yo"]
    assert [each["nonce"] for each in messages] == ["0", "2", "4"]
    assert [each["type"] for each in messages] == [0, 19, 19]
    assert messages[1]["referenced_message"]["content"] == "hi"
    assert messages[2]["referenced_message"]["content"] == "a  b\t"
    stamps = [each["timestamp"] for each in messages]
    assert stamps == sorted(set(stamps))


def test_actions_and_system_lines_come_when_asked_for(small):
    every = load_corpus(small, kinds=(MESSAGE, ACTION, SYSTEM))

    assert sum(len(each.log.ids) for each in every.channels.values()) == 5


def test_a_line_has_the_same_id_whatever_is_left_out(small):
    spoken, every = Corpus.load(small), Corpus.load(small, (MESSAGE, ACTION, SYSTEM))

    assert spoken.message_id("2008-01-02.x", 4) == every.message_id("2008-01-02.x", 4)
    with pytest.raises(KeyError):
        spoken.message_id("2008-01-02.x", 3)


def test_the_whole_corpus_is_served_word_for_word():
    path = shared_file("corpus/irc-chat.jsonl.gz")
    corpus = Corpus.load(path)
    logs = corpus.logs
    with gzip.open(path, "rb") as lines:
        spoken = [each for each in map(orjson.loads, lines) if each["kind"] == MESSAGE]
    held = {(log, line): message_id for log, line, _, message_id in corpus.lines()}

    assert len(spoken) == len(held) == 226_406
    assert len(corpus.guild.channels) == len(logs) == 190
    assert len(corpus.guild.users) == len({each["nick"] for each in spoken})
    assert [each["text"] for each in spoken] == [
        text for log in logs.values() for text in log.texts
    ]
    for log in logs.values():
        assert all(older < newer for older, newer in pairwise(log.ids))


def test_every_hundredth_message_says_its_line():
    path = shared_file("corpus/irc-chat.jsonl.gz")
    corpus = Corpus.load(path)
    world = World(corpus.guild)
    with gzip.open(path, "rb") as lines:
        spoken = [each for each in map(orjson.loads, lines) if each["kind"] == MESSAGE]
    held = list(corpus.lines())
    for line, (log, _, channel_id, message_id) in list(zip(spoken, held, strict=True))[::100]:
        message = world.message(world.channels[channel_id], message_id)

        assert (log, message["content"]) == (line["log"], line["text"])
        assert message["author"]["username"] == line["nick"]
