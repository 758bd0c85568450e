"""What an archive must hold, told by the emulator, in the words of `raysync export`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

Row = dict[str, Any]


def expected_rows(truth: Iterable[tuple[int, Mapping[str, Any]]]) -> list[Row]:
    """The export of a complete archive, but with Discord's author ids in it."""
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
                    "id": each["id"],
                    "filename": each["filename"],
                    "size": each["size"],
                    "content_type": each.get("content_type"),
                }
                for each in message["attachments"]
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
    """The rows of an export, comparable with `expected_rows`."""
    for line in lines:
        row: Row = json.loads(line)
        for name in ("created_at", "edited_at", "deleted_at"):
            row[name] = _moment(row[name])
        row["attachments"].sort(key=lambda each: int(each["id"]))
        row["reactions"].sort(key=lambda each: each["emoji"])
        yield row


def assert_same_archive(expected: list[Row], exported: list[Row]) -> None:
    """Every message there, none twice, none changed; each author has one pseudonym of its own.

    Mentions in content are pseudonyms in the archive, so contents that hold one are compared by
    what surrounds it.
    """
    keys = [(row["channel_id"], row["id"]) for row in exported]
    assert len(keys) == len(set(keys)), "a message is doubled"
    wanted = {(row["channel_id"], row["id"]) for row in expected}
    assert set(keys) - wanted == set(), "a message is there that should not be"
    assert wanted - set(keys) == set(), "a message is missing"
    assert keys == [(row["channel_id"], row["id"]) for row in expected], "the order differs"
    names: dict[str, str] = {}
    for want, have in zip(expected, exported, strict=True):
        assert names.setdefault(want["author"], have["author"]) == have["author"]
        assert _comparable(want) == _comparable(have)
    assert len(set(names.values())) == len(names), "two authors share a pseudonym"


def _comparable(row: Row) -> Row:
    return {**row, "author": None, "content": _without_mentions(row["content"])}


def _without_mentions(content: str) -> str:
    parts = content.split("<@")
    rest = [part if part.startswith("&") else part.partition(">")[2] for part in parts[1:]]
    return "<@>".join([parts[0], *rest])
