"""Rows of a page as one JSON document, the parameter of the page's statement.

Discord's payload goes in unparsed, and one parameter is one round trip. COPY takes several and a
table to copy into, which cost a worker 10 of 57 microseconds a message. The parameter is jsonb: the
server would parse each payload in a json document three times.

PostgreSQL stores neither U+0000 nor half a surrogate pair, in text or in JSON. One of them in one
message would have the whole page refused for ever, so both become U+FFFD.
"""

from __future__ import annotations

import json  # orjson refuses half a surrogate pair, which must be found here
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from raysync.models.entities import Message
from raysync.models.storable import storable, storable_text
from raysync.models.work import Failure
from raysync.store.archive.page_columns import PARTS

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def page_json(messages: Sequence[Message]) -> bytes:
    """Return the rows of *messages* in ascending order of id; the last of two with one id wins.

    Messages by suppressed authors produce no row.
    """
    by_id = {message.id: message for message in messages}
    rows = [
        message_row(by_id[message_id])
        for message_id in sorted(by_id)
        if not by_id[message_id].is_suppressed
    ]
    try:
        return storable_json(orjson.dumps(rows))
    except TypeError:  # half a surrogate pair
        return storable_json(orjson.dumps(storable([_plain(row) for row in rows])))


def message_row(message: Message) -> dict[str, Any]:
    """Return the row of *message*, without keys of parts that it lacks.

    jsonb stores keys by their length, then their bytes. The server sorts those that come in another
    order, which takes a twentieth of a page's time.
    """
    row: dict[str, Any] = {
        "id": message.id,
        "raw": orjson.Fragment(message.raw),
        "type": message.type,
        "author": message.author_ref,
        "content": message.content,
        "metadata": orjson.Fragment(message.metadata),
        "reply_to": message.reply_to_id,
        "edited_at": message.edited_at,
        "created_at": message.created_at,
    }
    reactions, attachments = message.reactions, message.attachments
    # The last of two with one key wins: one statement cannot write a row twice.
    if reactions:
        row["reactions"] = list({reaction.emoji: reaction for reaction in reactions}.values())
    if message.quarantine:
        row["quarantine"] = message.quarantine
    if attachments:
        row["attachments"] = list({file.id: file for file in attachments}.values())
    return row


def storable_json(document: bytes) -> bytes:
    """Return *document* without what jsonb cannot store. Whole surrogate pairs stay."""
    if b"\\u" not in document or _SUSPECT.search(document) is None:
        return document
    return orjson.dumps(storable(json.loads(document)))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* with its parts as dictionaries, in which `storable` can replace characters."""
    return row | {key: [asdict(part) for part in row[key]] for key in PARTS if key in row}


def failure_details(failure: Failure) -> dict[str, str]:
    """Return *failure* as the ``error_details`` columns store it."""
    return {
        "failure_class": failure.failure_class.value,
        "error": storable_text(failure.error),
        "message": storable_text(failure.message),
    }
