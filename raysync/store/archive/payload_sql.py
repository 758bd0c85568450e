"""SQL that reads Discord's fields in stored payloads.

Statements take these expressions from here, so the store's SQL names Discord's fields in one place.
"""

from __future__ import annotations

from typing import Final

from raysync.store.schema.columns import ID_PATTERN

_SUPPRESS_EMBEDS: Final = 4
"""Flag of a message whose author removed its embeds."""


def id_in(expression: str) -> str:
    """Return SQL that reads the text *expression* as an id; null if a bigint cannot hold it.

    A payload may hold anything in the place of an id, for example a pseudonym.
    """
    return f"CASE WHEN {expression} ~ '{ID_PATTERN}' THEN CAST({expression} AS bigint) END"


def has_poll(raw: str) -> str:
    """Return the SQL condition that the payload *raw* has a poll."""
    return f"{raw} -> 'poll' IS NOT NULL"


def has_embeds(raw: str) -> str:
    """Return the SQL condition that the payload *raw* has embeds."""
    return f"{raw} @? '$.embeds[*]'"


def has_components(raw: str) -> str:
    """Return the SQL condition that the payload *raw* has components."""
    return f"{raw} @? '$.components[*]'"


def shows_embeds(metadata: str) -> str:
    """Return the SQL condition that the flags in *metadata* do not suppress embeds."""
    flags = f"({metadata} ->> 'flags')::bigint"
    return f"({flags} & {_SUPPRESS_EMBEDS}) IS DISTINCT FROM {_SUPPRESS_EMBEDS}"


_QUOTE: Final = "raw -> 'referenced_message'"

HAS_QUOTE: Final = f"jsonb_typeof({_QUOTE}) = 'object'"
"""SQL condition: the message has a copy of the message that it refers to."""
QUOTED_ID: Final = id_in(f"{_QUOTE} ->> 'id'")
"""Id of the quoted message; null without one."""
QUOTED_AUTHOR: Final = f"{_QUOTE} -> 'author' ->> 'id'"
"""Author of the quoted message, as text."""
WITHOUT_QUOTE: Final = "jsonb_set(raw, '{referenced_message}', 'null')"
"""The payload without the quoted message."""

REFERS: Final = f"""(raw -> 'message_reference' ->> 'channel_id' = ANY(:refs)
    OR raw -> 'thread' ->> 'id' = ANY(:refs)
    OR {_QUOTE} -> 'message_reference' ->> 'channel_id' = ANY(:refs)
    OR {_QUOTE} -> 'thread' ->> 'id' = ANY(:refs))"""
"""SQL condition: the message, or its quote, answers, forwards or heads something in ``:refs``."""


def _source(message: str, path: str) -> str:
    """Return SQL for the id of the message that *message* copies; null without a copy."""
    source = id_in(f"{message} -> 'message_reference' ->> 'message_id'")
    return f"CASE WHEN raw @? '{path}message_snapshots[*]' THEN {source} END"


SOURCE: Final = _source("raw", "$.")
"""Id of the message that a forward copies."""
QUOTED_SOURCE: Final = _source(_QUOTE, "$.referenced_message.")
"""Id of the message that a quoted forward copies."""
IS_FORWARD: Final = "raw ? 'message_snapshots'"
"""SQL condition: the payload copies another message."""
QUOTES_FORWARD: Final = f"{_QUOTE} ? 'message_snapshots'"
"""SQL condition: the payload quotes a forward."""
