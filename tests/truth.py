"""Expected contents of an archive, from the emulator, in the format of `raysync export`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Row = dict[str, Any]

_PSEUDONYM = re.compile(r"u_[a-z2-7]{26}")
_NUMBER = re.compile(r"(?<!\d)\d{17,20}(?!\d)")
_MENTION = re.compile(r"<@!?(\d+)>")
_PICTURE = re.compile(r"(/avatars/\d+)/\w+\.png")
_OTHER_MARKUP = re.compile(r"<(?:#|@&|a?:\w+:|/[^:]+:)\d+>|https://discord\.com/channels(?:/\d+)+")


def expected_rows(truth: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Row]:
    """Return the export of a complete archive, with Discord's author ids."""
    rows = [_row(channel_id, message) for channel_id, message in truth]
    return sorted(rows, key=lambda row: (int(row["channel_id"]), int(row["id"])))


def _row(channel_id: int, message: Mapping[str, Any]) -> Row:
    reference = message.get("message_reference") or {}
    is_reply = reference.get("type", 0) == 0
    return {
        "id": message["id"],
        "channel_id": str(channel_id),
        "author": message["author"]["id"],
        "content": message["content"],
        "created_at": _moment(message["timestamp"]),
        "edited_at": _moment(message["edited_timestamp"]),
        "deleted_at": None,
        "reply_to_id": reference.get("message_id") if is_reply else None,
        "type": message["type"],
        "attachments": sorted(
            (
                {
                    "id": file["id"],
                    "filename": file["filename"],
                    "size": file["size"],
                    "content_type": file.get("content_type"),
                }
                for file in message["attachments"]
            ),
            key=lambda each: int(each["id"]),
        ),
        "reactions": sorted(
            (
                {"emoji": _emoji(each["emoji"]), "count": each["count"]}
                for each in message.get("reactions") or []
            ),
            key=lambda each: each["emoji"],
        ),
    }


def _emoji(emoji: Mapping[str, Any]) -> str:
    return f"{emoji['name'] or ''}:{emoji['id']}" if emoji["id"] else emoji["name"]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def exported_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Parse the rows of an export, comparable with `expected_rows`."""
    for line in lines:
        row: Row = json.loads(line)
        for name in ("created_at", "edited_at", "deleted_at"):
            row[name] = _moment(row[name])
        row["attachments"].sort(key=lambda each: int(each["id"]))
        row["reactions"].sort(key=lambda each: each["emoji"])
        yield row


def assert_same_archive(expected: list[Row], exported: list[Row]) -> None:
    """Assert that each message is stored once and unchanged, with one pseudonym per person.

    Texts and file names contain pseudonyms, too. So each text is compared with Discord's, part by
    part, and the person behind each pseudonym is remembered.
    """
    keys = [(row["channel_id"], row["id"]) for row in exported]
    assert len(keys) == len(set(keys)), "a message is stored twice"
    wanted = {(row["channel_id"], row["id"]) for row in expected}
    assert set(keys) - wanted == set(), "an unexpected message is stored"
    assert wanted - set(keys) == set(), "a message is missing"
    assert keys == [(row["channel_id"], row["id"]) for row in expected], "the order differs"
    names: dict[str, str] = {}
    for want, have in zip(expected, exported, strict=True):
        assert names.setdefault(want["author"], have["author"]) == have["author"]
        assert _rest(want) == _rest(have)
        own = {want["id"], want["channel_id"], want["reply_to_id"]}
        for original, kept in zip(_texts(want), _texts(have), strict=True):
            assert_same_text(original, kept, names, own)
    assert len(set(names.values())) == len(names), "two people share a pseudonym"


def assert_same_text(
    original: str, kept: str, names: dict[str, str], own: Collection[str | None]
) -> None:
    """Assert that *kept* equals Discord's text *original*, except for pseudonyms.

    *names* maps ids to the pseudonyms known so far. A long number is a person's id, unless it is in
    a channel's address, in markup of another kind, or one of the message's *own* ids: its own, its
    channel's, and that of the message it answers.
    """
    original = _PICTURE.sub(r"\1", _MENTION.sub(r"<@\1>", original))
    numbers, pseudonyms = list(_NUMBER.finditer(original)), list(_PSEUDONYM.finditer(kept))
    people = [
        number for number in numbers if number[0] not in own and not _is_in_markup(original, number)
    ]
    assert len(people) == len(pseudonyms), (original, kept)
    assert _between(original, people) == _between(kept, pseudonyms)
    for number, pseudonym in zip(people, pseudonyms, strict=True):
        digits = str(int(number[0]))
        assert names.setdefault(digits, pseudonym[0]) == pseudonym[0], (original, kept)


def _is_in_markup(text: str, number: re.Match[str]) -> bool:
    return any(
        each.start() <= number.start() and number.end() <= each.end()
        for each in _OTHER_MARKUP.finditer(text)
    )


def _between(text: str, found: list[re.Match[str]]) -> list[str]:
    """Return the text before, between and after the matches."""
    ends = [0, *(each.end() for each in found)]
    starts = [*(each.start() for each in found), len(text)]
    return [text[end:start] for end, start in zip(ends, starts, strict=True)]


def _texts(row: Row) -> list[str]:
    return [row["content"], *(file["filename"] for file in row["attachments"])]


def _rest(row: Row) -> Row:
    files = [{**file, "filename": None} for file in row["attachments"]]
    return {**row, "author": None, "content": None, "attachments": files}
