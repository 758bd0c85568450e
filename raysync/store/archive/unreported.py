"""Count of the messages that a worker committed before it died, and never reported."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

import psycopg

from raysync.models.ids import MessageId
from raysync.models.status import SyncType
from raysync.models.work import ChannelTally, ChannelTask

_PAGE: Final = 100
"""Messages of a full page."""

# Rows that the dead worker wrote are certain, also above the checkpoint: a page's last messages lie
# there if their millisecond may hold more. Messages that it found unchanged are known only above
# the last message of an earlier visit, and not below the look-back, where pages are skipped.
_COUNT: Final = """
WITH lost AS MATERIALIZED (
    SELECT platform_message_id AS id, created_at >= %(since)s AS is_new FROM messages
    WHERE channel_id = %(channel)s AND deleted_at IS NULL
        AND platform_message_id > %(after)s
        AND (updated_at >= %(since)s
            OR (platform_message_id >= %(floor)s AND platform_message_id <= %(until)s))
)
SELECT count(*), count(*) FILTER (WHERE is_new), min(id), max(id),
    (SELECT count(*) FROM message_emoji_reactions r JOIN lost ON r.platform_message_id = lost.id
        WHERE r.channel_id = %(channel)s),
    (SELECT count(*) FROM message_attachments a JOIN lost ON a.platform_message_id = lost.id
        WHERE a.channel_id = %(channel)s)
FROM lost
"""


async def count_unreported(
    driver: psycopg.AsyncConnection[Any],
    task: ChannelTask,
    since: datetime,
    resume_after: MessageId | None,
) -> ChannelTally:
    """Return what was committed since *since* and is not in the task's tally.

    *resume_after* is the checkpoint: all messages up to it were read.
    """
    known = task.done.last_message_id
    if resume_after is None or task.only_recheck:
        return ChannelTally()
    begun = task.window.start if task.sync_type is SyncType.FULL else task.lookback_start
    values = {
        "channel": task.channel_key,
        "since": since,
        "after": known or 0,
        "until": resume_after,
        "floor": resume_after + 1 if known is None else begun,
    }
    row = await (await driver.execute(_COUNT, values)).fetchone()
    if row is None or not row[0]:
        return ChannelTally()
    messages, added, first, last, reactions, attachments = row
    return ChannelTally(
        pages=math.ceil(messages / _PAGE),
        messages=messages,
        reactions=reactions,
        attachments=attachments,
        added=added,
        first_message_id=first,
        last_message_id=last,
    )
