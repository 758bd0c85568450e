"""Ids inside of stored payloads: they may be anything there, a pseudonym among it."""

from __future__ import annotations


def id_in(expression: str) -> str:
    """Return SQL that reads the text *expression* as an id; null where a bigint holds none."""
    return (
        f"CASE WHEN {expression} ~ '^([0-9]{{1,18}}|[1-8][0-9]{{18}})$' "
        f"THEN CAST({expression} AS bigint) END"
    )
