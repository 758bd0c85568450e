"""Messages as the rows of a COPY.

PostgreSQL keeps neither the character NUL nor half a surrogate pair, in text or in JSON, and one of
them in one message would refuse its whole page for ever. Both become U+FFFD.
"""

from __future__ import annotations

import json  # orjson refuses half a surrogate pair, which is what is looked for
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from raysync.models.entities import Attachment, Message, Reaction
from raysync.models.ids import TenantId

COLUMNS = (
    "platform_message_id",
    "tenant_id",
    "anonymized_author_id",
    "content",
    "type",
    "reply_to_id",
    "platform_created_at",
    "edited_at",
    "metadata",
    "raw",
    "reactions",
    "attachments",
)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_REPLACEMENT = "\ufffd"


def rows_of(messages: Sequence[Message], tenant_id: TenantId) -> Iterator[tuple[Any, ...]]:
    """One row per message, in ascending order of id; of two with one id the last counts."""
    by_id = {each.id: each for each in messages}
    for message_id in sorted(by_id):
        yield _row(by_id[message_id], tenant_id)


def _row(message: Message, tenant_id: TenantId) -> tuple[Any, ...]:
    return (
        message.id,
        tenant_id,
        message.author_ref,
        storable_text(message.content),
        message.type,
        message.reply_to_id,
        message.created_at,
        message.edited_at,
        storable_json(message.metadata),
        storable_json(message.raw),
        _reactions(message.reactions),
        _attachments(message.attachments),
    )


def storable_text(text: str) -> str:
    """*text* without what PostgreSQL cannot keep."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable_json(document: bytes) -> str:
    """*document* without what PostgreSQL's jsonb cannot keep; valid pairs stay as they are."""
    if _SUSPECT.search(document) is None:
        return document.decode()
    return orjson.dumps(_storable(json.loads(document))).decode()


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {storable_text(key): _storable(each) for key, each in value.items()}
    return value


def _reactions(reactions: Sequence[Reaction]) -> str | None:
    if not reactions:
        return None
    return storable_json(
        orjson.dumps(
            [
                {"emoji": each.emoji, "count": each.count, "burst_count": each.burst_count}
                for each in {reaction.emoji: reaction for reaction in reactions}.values()
            ]
        )
    )


def _attachments(attachments: Sequence[Attachment]) -> str | None:
    if not attachments:
        return None
    return storable_json(
        orjson.dumps(
            [
                {
                    "id": each.id,
                    "filename": storable_text(each.filename),
                    "size": each.size,
                    "content_type": each.content_type,
                    "url": storable_text(each.url),
                }
                for each in {attachment.id: attachment for attachment in attachments}.values()
            ]
        )
    )
