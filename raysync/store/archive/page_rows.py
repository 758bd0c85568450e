"""Messages as one JSON document, which one statement can take apart.

What Discord sent goes in as it is, and one parameter is one round trip: COPY takes several, and a
table to copy into, which cost a worker 10 of 57 microseconds a message.

PostgreSQL keeps neither the character NUL nor half a surrogate pair, in text or in JSON, and one
of them in one message would refuse its whole page for ever. Both become U+FFFD.
"""

from __future__ import annotations

import json  # orjson refuses half a surrogate pair, which is what is looked for
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
    """The rows of *messages* in ascending order of id; of two with one id the last counts.

    What somebody wrote who is kept out has none.
    """
    by_id = {each.id: each for each in messages}
    rows = [_row(by_id[each]) for each in sorted(by_id) if not by_id[each].is_suppressed]
    try:
        return storable_json(orjson.dumps(rows))
    except TypeError:  # half a surrogate pair
        return storable_json(orjson.dumps(storable([_plain(row) for row in rows])))


def _row(message: Message) -> dict[str, Any]:
    reactions, attachments = message.reactions, message.attachments
    row: dict[str, Any] = {
        "id": message.id,
        "author": message.author_ref,
        "content": message.content,
        "type": message.type,
        "reply_to": message.reply_to_id,
        "created_at": message.created_at,
        "edited_at": message.edited_at,
        "metadata": orjson.Fragment(message.metadata),
        "raw": orjson.Fragment(message.raw),
        "reactions": reactions or None,
        "attachments": attachments or None,
    }
    # of two with one key the last: one statement writes no row twice
    if len(reactions) > 1:
        row["reactions"] = list({each.emoji: each for each in reactions}.values())
    if len(attachments) > 1:
        row["attachments"] = list({each.id: each for each in attachments}.values())
    if message.quarantine:
        row["quarantine"] = message.quarantine
    return row


def storable_json(document: bytes) -> bytes:
    """*document* without what PostgreSQL's jsonb cannot keep; whole pairs stay as they are."""
    if b"\\u" not in document or _SUSPECT.search(document) is None:
        return document
    return orjson.dumps(storable(json.loads(document)))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* with its parts as dictionaries, in which `storable` can replace characters."""
    return row | {key: [asdict(part) for part in row[key] or ()] or None for key in PARTS}


def failure_details(failure: Failure) -> dict[str, str]:
    """A failure as the ``error_details`` columns keep it."""
    return {
        "failure_class": failure.failure_class.value,
        "error": storable_text(failure.error),
        "message": storable_text(failure.message),
    }
