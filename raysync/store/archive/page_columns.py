"""Columns that a page writes, each named once and paired with its key in the page's JSON rows.

`raysync.store.schema.message_tables` defines the columns and their types. The lists of columns in
a page's statement are derived from the pairs here: declaration, INSERT, SELECT, assignments of an
upsert, and the comparison that skips rows without a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from raysync.store.schema.message_tables import (
    message_attachments,
    message_emoji_reactions,
    messages,
)

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class PageColumns:
    """One table's columns that a page writes, by their keys in the page's JSON rows."""

    table: Table
    by_key: Mapping[str, str]

    @property
    def declared(self) -> str:
        """Keys with the types of their columns, as ``jsonb_to_recordset`` declares them."""
        columns = self.table.columns
        return ", ".join(
            f"{key} {columns[name].type.compile(_DIALECT).lower()}"
            for key, name in self.by_key.items()
        )

    @property
    def keys(self) -> str:
        """Keys, for a SELECT."""
        return ", ".join(self.by_key)

    @property
    def names(self) -> str:
        """Names of the columns, for an INSERT."""
        return ", ".join(self.by_key.values())

    @property
    def selected(self) -> str:
        """Columns under the names of their keys, for a SELECT from the table."""
        return ", ".join(f"{name} AS {key}" for key, name in self.by_key.items())

    @property
    def assigned(self) -> str:
        """Assignments of an upsert: every column that is no part of the primary key."""
        return ", ".join(f"{name} = excluded.{name}" for name in self._changing)

    def differs(self, row: str) -> str:
        """Return the SQL condition that the upsert would change *row*, the stored row's alias."""
        stored = ", ".join(f"{row}.{name}" for name in self._changing)
        given = ", ".join(f"excluded.{name}" for name in self._changing)
        return f"({stored}) IS DISTINCT FROM ({given})"

    @property
    def _changing(self) -> list[str]:
        columns = self.table.columns
        return [name for name in self.by_key.values() if not columns[name].primary_key]


MESSAGE: Final = PageColumns(
    messages,
    {
        "id": "platform_message_id",
        "author": "anonymized_author_id",
        "content": "content",
        "type": "type",
        "reply_to": "reply_to_id",
        "created_at": "platform_created_at",
        "edited_at": "edited_at",
        "metadata": "metadata",
        "raw": "raw",
        "quarantine": "quarantine",
    },
)
PARTS: Final = ("reactions", "attachments")
"""Keys of a message's JSON row whose values are lists of rows of other tables."""
REACTION: Final = PageColumns(
    message_emoji_reactions, {"emoji": "emoji", "count": "count", "burst_count": "burst_count"}
)
ATTACHMENT: Final = PageColumns(
    message_attachments,
    {
        "id": "platform_attachment_id",
        "filename": "filename",
        "size": "file_size",
        "content_type": "content_type",
        "url": "url",
    },
)
