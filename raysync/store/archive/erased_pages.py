"""What a page may not bring back: messages of those who are kept out, and forwards of them.

A forward does not say whose words it copies, so the ids of what was erased, or was kept out, are
kept; of a page with neither nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from raysync.models.entities import Message
from raysync.models.work import Claim
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
    driver: psycopg.AsyncConnection[Any], claim: Claim, messages: Sequence[Message]
) -> Sequence[Message]:
    """*messages*, forwards of what was erased without what they forward; notes what is kept out."""
    tenant_id = claim.task.tenant_id
    suppressed = [each for each in messages if each.is_suppressed]
    if suppressed:
        ids, refs = (
            [each.id for each in suppressed],
            [each.author_ref for each in suppressed],
        )
        await driver.execute(_NOTE, {"tenant_id": tenant_id, "ids": ids, "refs": refs})
    sources = sorted({source for each in messages for source in each.forwards})
    if not sources:
        return messages
    found = await driver.execute(_ERASED, {"tenant_id": tenant_id, "ids": sources})
    erased = {row[0] for row in await found.fetchall()}
    emptied = WithoutCopies(erased)
    return [
        each if erased.isdisjoint(each.forwards) else emptied.message(each) for each in messages
    ]
