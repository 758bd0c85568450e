"""Messages as the text of a COPY.

The text is CSV whose delimiter and quote are control characters: JSON never holds them raw, so
documents go in unescaped, and a page costs half the CPU of row-by-row writing (0.4 ms instead of
0.9 ms for 100 messages).

PostgreSQL keeps neither the character NUL nor half a surrogate pair, in text or in JSON, and one
of them in one message would refuse its whole page for ever. Both become U+FFFD.
"""

from __future__ import annotations

import json  # orjson refuses half a surrogate pair, which is what is looked for
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from raysync.models.entities import Attachment, Message, Reaction
from raysync.models.ids import TenantId

COPY = r"""
COPY raysync_page (
    platform_message_id, tenant_id, anonymized_author_id, content, type, reply_to_id,
    platform_created_at, edited_at, metadata, raw, reactions, attachments
) FROM STDIN (FORMAT csv, ENCODING 'UTF8', DELIMITER E'\x02', QUOTE E'\x01')
"""
_DELIMITER = b"\x02"
_QUOTE = b"\x01"
_NULL = b""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_REPLACEMENT = "\ufffd"


def copy_text(messages: Sequence[Message], tenant_id: TenantId) -> bytes:
    """The rows of *messages* in ascending order of id; of two with one id the last counts."""
    by_id = {each.id: each for each in messages}
    tenant = b"%d" % tenant_id
    return b"\n".join(_row(by_id[each], tenant) for each in sorted(by_id)) + b"\n"


def _row(message: Message, tenant: bytes) -> bytes:
    return _DELIMITER.join(
        (
            b"%d" % message.id,
            tenant,
            _NULL if message.author_ref is None else _quoted(message.author_ref),
            _quoted(message.content),
            b"%d" % message.type,
            _NULL if message.reply_to_id is None else b"%d" % message.reply_to_id,
            _moment(message.created_at),
            _moment(message.edited_at),
            _document(message.metadata),
            _document(message.raw),
            _parts(message.reactions),
            _parts(message.attachments),
        )
    )


def _quoted(text: str) -> bytes:
    encoded = _encoded(text)
    return _QUOTE + encoded.replace(_QUOTE, _QUOTE * 2) + _QUOTE


def _document(json_text: bytes) -> bytes:
    return _QUOTE + storable_json(json_text) + _QUOTE


def _moment(moment: datetime | None) -> bytes:
    return _NULL if moment is None else moment.isoformat().encode()


def _parts(parts: Sequence[Reaction] | Sequence[Attachment]) -> bytes:
    return _document(orjson.dumps(parts)) if parts else _NULL


def _encoded(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return storable_text(text).encode()
    return encoded if b"\x00" not in encoded else storable_text(text).encode()


def storable_text(text: str) -> str:
    """*text* without what PostgreSQL cannot keep."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable_json(document: bytes) -> bytes:
    """*document* without what PostgreSQL's jsonb cannot keep; whole pairs stay as they are."""
    if b"\\u" not in document or _SUSPECT.search(document) is None:
        return document
    return orjson.dumps(_storable(json.loads(document)))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {storable_text(key): _storable(each) for key, each in value.items()}
    return value
