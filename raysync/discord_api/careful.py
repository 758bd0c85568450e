"""The conversion of records that differ from Discord's documentation, field by field.

`read_message` accepts every record of a page. Nearly all are messages, which `message_from`
converts. Otherwise each field is read by itself, and an unreadable field gets its default:

============================  ======================================================
field                         default
============================  ======================================================
``type``                      0, a plain message
``content``                   empty
``author``                    none
``timestamp``                 the time within the id
``edited_timestamp``          none
``message_reference``         none: it is no reply
``flags``, ``pinned``         0, false
``attachments``               left out without an id; name and address empty, size 0
``reactions``                 left out without an emoji; counts 0
============================  ======================================================

The message's `quarantine` names these fields, so that the store marks the row. A record without a
readable id can have no row: its message has the id `NOWHERE`.

Text is kept as the privacy rules allow, or not at all. Where the payload cannot be scrubbed, or
might be of a forgotten person, only the existence of the message is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import orjson

from raysync.discord_api import fields
from raysync.discord_api.convert import (
    CONTENTS,
    author_of,
    flags_of,
    forwarded,
    is_blank,
    may_be_empty,
    message_from,
    metadata_of,
    original_text,
    replied_to,
    suppressed,
)
from raysync.discord_api.fields import UNREADABLE, Payload
from raysync.discord_api.people.pseudonyms import Identities, Kept
from raysync.discord_api.storable import Trimmer
from raysync.models.entities import Attachment, Message, Reaction, without_payload
from raysync.models.ids import NOWHERE, MessageId, moment_of
from raysync.models.storable import REPLACEMENT, is_unstorable, storable

_T = TypeVar("_T")
_KNOWN: Final = frozenset(CONTENTS) | {
    "application", "author", "channel_id", "edited_timestamp", "flags", "interaction",
    "interaction_metadata", "member", "mentions", "message_reference", "nonce", "pinned",
    "reactions", "referenced_message", "resolved", "thread", "timestamp", "type",
}  # fmt: skip
_OTHER: Final = "another field"
"""Substitute for a field name that is not Discord's, which may contain anything."""


def read_message(payload: Any, identities: Identities) -> Message:
    """Convert one record of a page, whatever it contains. Never raises."""
    if type(payload) is not dict:  # it may be a `Pieced` object
        return _read_carefully(payload, identities)
    try:
        return message_from(payload, identities)
    except Exception:  # noqa: BLE001 no payload may stop the page
        return _read_carefully(payload, identities)


def _read_carefully(payload: Any, identities: Identities) -> Message:
    try:
        message_id = MessageId(fields.snowflake(fields.mapping(payload).get("id")))
    except UNREADABLE:
        return _without_place(payload)
    try:
        return _Careful(payload, message_id, identities).message()
    except Exception:  # noqa: BLE001 whatever went wrong, the message exists
        return without_payload(_nothing_of(message_id))


def _without_place(payload: Any) -> Message:
    """Return the message for a record that can have no row; equal records give equal ones."""
    digest = hashlib.sha256(repr(Trimmer().value(payload)).encode(errors="surrogatepass")).digest()
    return replace(_nothing_of(NOWHERE), raw=digest, may_be_empty=True, quarantine=("id",))


def _nothing_of(message_id: MessageId) -> Message:
    """Return a message of which only the id is known."""
    return Message(
        id=message_id,
        type=0,
        content="",
        author_ref=None,
        reply_to_id=None,
        created_at=moment_of(message_id),
        edited_at=None,
        metadata=b"{}",
        raw=b"{}",
    )


class _Careful:
    """One payload, read field by field."""

    def __init__(self, payload: Payload, message_id: MessageId, identities: Identities) -> None:
        self._id = message_id
        self._identities = identities
        self._unread: dict[str, None] = {}
        trimmed = {key: self._trimmed(key, value) for key, value in payload.items()}
        self._has_odd_text = is_unstorable(trimmed)
        self._trimmed_payload = trimmed
        self._payload: Payload = storable(trimmed, REPLACEMENT) if self._has_odd_text else trimmed

    def message(self) -> Message:
        """Return the message with all readable fields."""
        payload, identities = self._payload, self._identities
        type_ = self._field("type", lambda: fields.small(payload["type"]), 0)
        author_ref = self._field("author", lambda: author_of(payload, identities), None)
        if author_ref is not None and identities.is_suppressed(author_ref):
            return suppressed(self._placed(), author_ref, type_)
        forwards = self._forwards()
        kept = None if forwards is None or self._may_be_forgotten(author_ref) else self._kept()
        if forwards is None or kept is None:
            return without_payload(self._plain(type_, author_ref))
        return self._whole(type_, author_ref, forwards, *kept)

    def _whole(
        self,
        type_: int,
        author_ref: str | None,
        forwards: tuple[MessageId, ...],
        kept: Payload,
        raw: bytes,
    ) -> Message:
        payload = self._payload
        plain = self._plain(type_, author_ref)
        content = self._field("content", lambda: fields.text(kept["content"]), None)
        edited_at = payload.get("edited_timestamp", "")
        original = self._original() if self._has_odd_text else None
        flags = self._field("flags", lambda: flags_of(kept), 0)
        pinned = self._field("pinned", lambda: fields.flag(payload.get("pinned")), False)
        return Message(
            id=plain.id,
            type=type_,
            content=content or "",
            author_ref=author_ref,
            reply_to_id=self._field("message_reference", lambda: replied_to(kept), None),
            created_at=plain.created_at,
            edited_at=None
            if edited_at is None
            else self._field("edited_timestamp", lambda: fields.moment(edited_at), None),
            metadata=metadata_of(payload, type_, flags, pinned, original),
            raw=raw,
            attachments=self._list(
                "attachments", kept, self._attachment, lambda attachment: attachment.id
            ),
            reactions=self._list(
                "reactions", kept, self._reaction, lambda reaction: reaction.emoji
            ),
            is_blank=content == "" and is_blank(payload, type_),
            may_be_empty=content is None or may_be_empty(payload, type_),
            forwards=forwards,
            quarantine=tuple(self._unread) or (_OTHER,),
        )

    def _plain(self, type_: int, author_ref: str | None) -> Message:
        """Return the message without its payload."""
        nothing = _nothing_of(self._id)
        created_at = self._field(
            "timestamp", lambda: fields.moment(self._payload["timestamp"]), nothing.created_at
        )
        return replace(nothing, type=type_, author_ref=author_ref, created_at=created_at)

    def _placed(self) -> Payload:
        """Return the payload with a readable id and time."""
        created_at = self._plain(0, None).created_at
        return {**self._payload, "id": self._id, "timestamp": created_at.isoformat()}

    def _field(self, name: str, read: Callable[[], _T], default: _T) -> _T:
        try:
            return read()
        except UNREADABLE:
            self._unread[name] = None
            return default

    def _trimmed(self, key: str, value: Any) -> Any:
        trimmer = Trimmer()
        found = trimmer.value(value)
        if trimmer.has_cut:
            self._unread[key if key in _KNOWN else _OTHER] = None
        return found

    def _forwards(self) -> tuple[MessageId, ...] | None:
        """Return the messages whose copies it contains; None where that is unknown but needed."""
        if not self._identities.keeps_out:
            return ()
        return self._field("message_snapshots", lambda: forwarded(self._payload), None)

    def _may_be_forgotten(self, author_ref: str | None) -> bool:
        """Return whether its author may be a forgotten person."""
        return author_ref is None and self._identities.keeps_out

    def _kept(self) -> Kept | None:
        """Return the scrubbed payload; None where it cannot be scrubbed."""
        try:
            kept, raw = self._identities.scrub(self._payload)
            return kept, orjson.dumps(orjson.loads(raw))
        except Exception:  # noqa: BLE001 whatever went wrong, nothing unscrubbed is kept
            return None

    def _original(self) -> str | None:
        try:
            return original_text(self._trimmed_payload, self._identities)
        except Exception:  # noqa: BLE001 the replaced text is kept all the same
            self._unread[_OTHER] = None
            return None

    def _list(
        self,
        name: str,
        kept: Payload,
        read: Callable[[Payload], _T],
        key_of: Callable[[_T], object],
    ) -> tuple[_T, ...]:
        """Return the readable entries; of two with the same key, the last one."""
        nothing = list[Any]()
        is_always_there = name == "attachments"
        read_list = fields.listed if is_always_there else fields.listed_or_none
        listed = self._field(name, lambda: read_list(kept.get(name)), nothing)
        found: dict[object, _T] = {}
        for value in listed:
            try:
                entry = read(fields.mapping(value))
            except UNREADABLE:
                self._unread[name] = None
                continue
            if key_of(entry) in found:
                self._unread[name] = None
            found[key_of(entry)] = entry
        return tuple(found.values())

    def _attachment(self, payload: Payload) -> Attachment:
        content_type = payload.get("content_type")
        return Attachment(
            id=fields.snowflake(payload["id"]),
            filename=self._field("attachments", lambda: fields.text(payload["filename"]), ""),
            size=self._field("attachments", lambda: fields.count(payload["size"]), 0),
            content_type=None
            if content_type is None
            else self._field("attachments", lambda: fields.text(content_type), None),
            url=self._field("attachments", lambda: fields.text(payload["url"]), ""),
        )

    def _reaction(self, payload: Payload) -> Reaction:
        details = payload.get("count_details")
        return Reaction(
            emoji=fields.emoji_name(payload["emoji"]),
            count=self._field("reactions", lambda: fields.small(payload["count"]), 0),
            burst_count=0
            if not details
            else self._field("reactions", lambda: fields.small(details["burst"]), 0),
        )
