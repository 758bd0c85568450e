"""JSON lines that the server produces and COPY streams, in constant memory.

COPY sends CSV whose delimiter and quote are control characters. JSON holds neither unescaped, so
each line arrives as it is written. Characters that end a line for some readers, or control a
terminal, become JSON escapes here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import psycopg

from raysync.visible import in_json_bytes

AS_LINES: Final = r"TO STDOUT (FORMAT csv, ENCODING 'UTF8', DELIMITER E'\x02', QUOTE E'\x01')"
"""End of a COPY statement whose rows are JSON."""

# One snapshot for the whole export, and no timeout while its reader pauses.
BEGIN: Final = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL TimeZone = 'UTC';
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0
"""
_BLOCK_BYTES: Final = 256 * 1024


async def copied_lines(
    connection: psycopg.AsyncConnection[Any], statement: str, values: Mapping[str, Any]
) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a COPY in blocks of whole lines. Close it if not read to its end."""
    block = bytearray()
    async with connection.cursor() as cursor, cursor.copy(statement.encode(), values) as copy:
        async for line in copy:
            block += line
            if len(block) >= _BLOCK_BYTES:
                yield in_json_bytes(bytes(block))
                block.clear()
    if block:
        yield in_json_bytes(bytes(block))
