"""Answers that strict parsers refuse."""

from __future__ import annotations

import json
from json import JSONDecodeError
from typing import Any

import pytest

from raysync.discord_api.lenient_json import UNPARSED, Pieced, parse

DEEP = "[" * 5_000 + "]" * 5_000
LONG = "1" + "0" * 5_000


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        [1, "a", None, True],
        {"a": [{"b": "\ud800\x00"}]},
        [float("inf"), 10**400],
        [[[[[]]]]],
    ],
)
def test_what_python_reads_is_read(value: Any) -> None:
    assert parse(json.dumps(value)) == value


@pytest.mark.parametrize("odd", [DEEP, LONG, f'{{"x":{DEEP}}}', f"[1,{LONG}]", "nonsense", '"'])
def test_a_record_that_cannot_be_read_costs_no_other(odd: str) -> None:
    if odd == '"':  # what follows is text to it: the answer is not whole
        with pytest.raises(JSONDecodeError):
            parse(f'[{{"id":"1"}}, {odd}, {{"id":"2"}}]')
        return
    first, second, third = parse(f'[{{"id":"1"}}, {odd} , {{"id":"2"}}]')

    assert (first, third) == ({"id": "1"}, {"id": "2"})
    assert second is UNPARSED or isinstance(second, Pieced | list)


def test_of_a_record_the_other_fields_are_read() -> None:
    tricky = r'"a, b} ] \" [ {"'
    (found,) = parse(f'[ {{"id" : "1", "s":{tricky},"deep": {DEEP} , "list":[{LONG},2], "": 3}} ]')

    assert isinstance(found, Pieced)
    assert found["id"] == "1"
    assert found["s"] == json.loads(tricky)
    assert found["deep"] == [[[UNPARSED]]] or found["deep"] is UNPARSED
    assert found["list"] == [UNPARSED, 2]
    assert found[""] == 3


def test_lists_of_threads_are_read_likewise() -> None:
    answer = f'{{"threads": [{{"id":"1","x":{DEEP}}},{{"id":"2"}}], "has_more": false}}'
    found = parse(answer)

    assert [each["id"] for each in found["threads"]] == ["1", "2"]
    assert found["has_more"] is False


@pytest.mark.parametrize(
    "document",
    ["", "<html>", "[", '[{"id":"1"}', '[{"id":"1"},', '[{"id":"1"]', '[{"id":"1}]', "[1]x",
     '[{"id":"1\\"}]', "[x] [y]", '{"message": nonsense}', '{"retry_after": 1.5', "[[1]",
     f"[{DEEP}", "]"],
)  # fmt: skip
def test_what_is_not_whole_is_an_error(document: str) -> None:
    with pytest.raises(JSONDecodeError):
        parse(document)


def test_an_answer_of_20_mb_is_read_in_pieces_in_no_time() -> None:
    text = "a\\n" * 7_000_000
    found = parse(f'[{{"id":"1","content":"{text}","deep":{DEEP}}}]')

    assert len(found[0]["content"]) == 14_000_000
