"""Filter of a page: messages of suppressed users, and forwards of them, are not stored again.

A forward does not name the author of its copy, so the ids of erased and suppressed messages are
stored. A page without forwards and suppressed messages costs no query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from raysync.models.entities import Message
from raysync.models.ids import TenantId
from raysync.store.archive.forwards import WithoutCopies

_NOTE = """
INSERT INTO erased_messages (tenant_id, platform_message_id, suppression_id)
SELECT s.tenant_id, given.id, s.id
FROM unnest(%(ids)s::bigint[], %(refs)s::text[]) AS given (id, ref)
JOIN suppressions s ON s.tenant_id = %(tenant_id)s AND s.kind = 'user' AND s.ref = given.ref
ORDER BY given.id
ON CONFLICT DO NOTHING
"""

_ERASED = """
SELECT platform_message_id FROM erased_messages
WHERE tenant_id = %(tenant_id)s AND platform_message_id = ANY(%(ids)s)
"""


async def without_erased(
    driver: psycopg.AsyncConnection[Any], tenant_id: TenantId, messages: Sequence[Message]
) -> Sequence[Message]:
    """Return *messages* without copies of erased ones. Store the ids of suppressed messages."""
    suppressed = [message for message in messages if message.is_suppressed]
    if suppressed:
        ids, refs = (
            [message.id for message in suppressed],
            [message.author_ref for message in suppressed],
        )
        await driver.execute(_NOTE, {"tenant_id": tenant_id, "ids": ids, "refs": refs})
    sources = sorted({source for message in messages for source in message.forwards})
    if not sources:
        return messages
    found = await driver.execute(_ERASED, {"tenant_id": tenant_id, "ids": sources})
    erased = {row[0] for row in await found.fetchall()}
    emptied = WithoutCopies(erased)
    return [
        message if erased.isdisjoint(message.forwards) else emptied.message(message)
        for message in messages
    ]
