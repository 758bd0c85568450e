"""Statements that write events of the gateway, each with one JSON document as its parameter.

They run in one transaction, after `LOCK`. A page's transaction holds the row of its channel's
`sync_progress`, and so does `LOCK`: a page and an event never write one channel at the same time.
Each statement has a snapshot of its own, so it sees what an earlier holder of the lock wrote.

An event never overwrites what is newer: not the row of a deleted message, and not a version that
was edited later than the one of the event.
"""

from __future__ import annotations

from typing import Final

from raysync.store.archive.page_columns import ATTACHMENT, MESSAGE, REACTION
from raysync.store.archive.page_statement import HAD_PARTS, LACKS_PARTS

LATE_S: Final = 15
"""Maximum time, in seconds, by which a page and the event of one change are apart."""

HOLDS_SESSION: Final = """
UPDATE gateway_sessions SET session_id = %(session_id)s, resume_url = %(resume_url)s,
    sequence = %(sequence)s, updated_at = now()
WHERE fingerprint = %(fingerprint)s AND shard = %(shard)s AND epoch = %(epoch)s
"""

FOLLOWS_RULES: Final = """
UPDATE tenant_listening SET events = events + %(events)s, updated_at = now(),
    last_event_at = CASE WHEN %(events)s > 0 THEN now() ELSE last_event_at END
WHERE tenant_id = %(tenant)s AND rules_epoch = %(rules_epoch)s
"""

LOCK: Final = """
WITH wanted AS MATERIALIZED (
    SELECT p.id FROM channels c JOIN sync_progress p ON p.channel_id = c.id
    WHERE c.tenant_id = %(tenant)s AND c.platform_channel_id = ANY(%(channels)s::bigint[])
    ORDER BY p.id FOR UPDATE OF p
)
UPDATE sync_progress p SET live_batches = live_batches + 1 FROM wanted WHERE p.id = wanted.id
"""

_ATTACHMENT_DIFFERS: Final = ATTACHMENT.differs("e")
_REACTION_DIFFERS: Final = REACTION.differs("e")
_LOCATED: Final = """
    JOIN channels c ON c.tenant_id = %(tenant)s AND c.platform_channel_id = given.channel
    JOIN sync_progress p ON p.channel_id = c.id
"""

MESSAGES: Final = f"""
WITH given AS MATERIALIZED (
    SELECT c.id AS key, given.* FROM jsonb_to_recordset(%(rows)s) AS given (
        channel bigint, {MESSAGE.declared}, reactions jsonb, attachments jsonb,
        has_reactions boolean) {_LOCATED}
), held AS MATERIALIZED (  -- rows that are newer, and content that Discord withholds
    SELECT m.channel_id AS key, m.platform_message_id AS id
    FROM given p JOIN messages m ON m.channel_id = p.key AND m.platform_message_id = p.id
    WHERE m.deleted_at IS NOT NULL OR m.edited_at > coalesce(p.edited_at, '-infinity')
        OR (p.content = '' AND m.edited_at IS NOT DISTINCT FROM p.edited_at
            AND (m.content <> '' OR ({LACKS_PARTS} AND ({HAD_PARTS}
                OR EXISTS (SELECT FROM message_attachments a WHERE a.channel_id = m.channel_id
                    AND a.platform_message_id = m.platform_message_id)))))
), earlier AS (
    INSERT INTO message_versions (
        channel_id, platform_message_id, seen_at, content, edited_at, raw)
    SELECT m.channel_id, m.platform_message_id, clock_timestamp(), m.content, m.edited_at, m.raw
    FROM given p JOIN messages m ON m.channel_id = p.key AND m.platform_message_id = p.id
    WHERE (m.content, m.edited_at) IS DISTINCT FROM (p.content, p.edited_at)
        AND m.quarantine IS NULL AND (p.key, p.id) NOT IN (SELECT key, id FROM held)
    ON CONFLICT DO NOTHING
    RETURNING 1
), merged AS (
    INSERT INTO messages AS m (channel_id, tenant_id, {MESSAGE.names}, deleted_at, live_at)
    SELECT key, %(tenant)s, {MESSAGE.keys}, d.at, now()
    FROM given LEFT JOIN live_deletions d ON d.channel_id = key AND d.platform_message_id = given.id
    WHERE (key, given.id) NOT IN (SELECT key, id FROM held)
        AND (SELECT count(*) FROM earlier) >= 0  -- run before the overwrite
    ON CONFLICT (channel_id, platform_message_id) DO UPDATE SET
        {MESSAGE.assigned}, live_at = now(), updated_at = now()
    WHERE m.deleted_at IS NULL
    RETURNING channel_id, platform_message_id, xmax = 0 AS is_new
), heard AS (  -- a row that is newer was heard of all the same
    UPDATE messages m SET live_at = now() FROM held
    WHERE m.channel_id = held.key AND m.platform_message_id = held.id
), counted AS (
    UPDATE sync_progress p SET message_count = message_count + found.messages
    FROM (
        SELECT channel_id, count(*) AS messages FROM merged WHERE is_new GROUP BY channel_id
    ) found
    WHERE p.channel_id = found.channel_id
), written AS MATERIALIZED (
    SELECT given.* FROM given JOIN merged w
        ON w.channel_id = given.key AND w.platform_message_id = given.id
), gone_attachments AS (
    DELETE FROM message_attachments e USING written k
    WHERE e.channel_id = k.key AND e.platform_message_id = k.id AND NOT EXISTS (
        SELECT FROM jsonb_to_recordset(coalesce(k.attachments, '[]')) AS g ({ATTACHMENT.declared})
        WHERE g.id = e.platform_attachment_id)
), attachments AS (
    INSERT INTO message_attachments AS e (channel_id, platform_message_id, {ATTACHMENT.names})
    SELECT k.key, k.id, a.* FROM written k,
        LATERAL (SELECT {ATTACHMENT.keys} FROM jsonb_to_recordset(k.attachments)
            AS g ({ATTACHMENT.declared})) a
    WHERE k.attachments IS NOT NULL
    ON CONFLICT (channel_id, platform_message_id, platform_attachment_id) DO UPDATE SET
        {ATTACHMENT.assigned}, updated_at = now()
    WHERE {_ATTACHMENT_DIFFERS}
), gone_reactions AS (
    DELETE FROM message_emoji_reactions e USING written k
    WHERE k.has_reactions AND e.channel_id = k.key AND e.platform_message_id = k.id
        AND NOT EXISTS (
            SELECT FROM jsonb_to_recordset(coalesce(k.reactions, '[]')) AS g ({REACTION.declared})
            WHERE g.emoji = e.emoji)
), reactions AS (
    INSERT INTO message_emoji_reactions AS e (channel_id, platform_message_id, {REACTION.names})
    SELECT k.key, k.id, r.* FROM written k,
        LATERAL (SELECT {REACTION.keys} FROM jsonb_to_recordset(k.reactions)
            AS g ({REACTION.declared})) r
    WHERE k.has_reactions AND k.reactions IS NOT NULL
    ON CONFLICT (channel_id, platform_message_id, emoji, anonymized_user_id) DO UPDATE SET
        {REACTION.assigned}, updated_at = now()
    WHERE {_REACTION_DIFFERS}
)
SELECT count(*) FROM merged
"""  # noqa: S608 of constants

DELETIONS: Final = f"""
WITH given AS MATERIALIZED (
    SELECT c.id AS key, given.id
    FROM jsonb_to_recordset(%(rows)s) AS given (channel bigint, id bigint) {_LOCATED}
), remembered AS (
    INSERT INTO live_deletions AS d (channel_id, platform_message_id) SELECT key, id FROM given
    ON CONFLICT (channel_id, platform_message_id) DO NOTHING
), certain AS (
    DELETE FROM gateway_doubts d USING given
    WHERE d.channel_id = given.key AND d.platform_message_id = given.id
)
UPDATE messages m SET deleted_at = coalesce(m.deleted_at, now()), live_at = now(),
    updated_at = CASE WHEN m.deleted_at IS NULL THEN now() ELSE m.updated_at END
FROM given WHERE m.channel_id = given.key AND m.platform_message_id = given.id
"""  # noqa: S608 of constants

CLEARED: Final = f"""
WITH given AS MATERIALIZED (
    SELECT c.id AS key, given.id, given.emoji
    FROM jsonb_to_recordset(%(rows)s) AS given (channel bigint, id bigint, emoji text) {_LOCATED}
), touched AS (
    UPDATE messages m SET live_at = now() FROM given
    WHERE m.channel_id = given.key AND m.platform_message_id = given.id
)
DELETE FROM message_emoji_reactions e USING given
WHERE e.channel_id = given.key AND e.platform_message_id = given.id
    AND (given.emoji IS NULL OR e.emoji = given.emoji)
"""  # noqa: S608 of constants

_CHANGES: Final = f"""given AS MATERIALIZED (
    SELECT c.id AS key, given.* FROM jsonb_to_recordset(%(rows)s) AS given (
        channel bigint, id bigint, emoji text, count integer, burst_count integer) {_LOCATED}
)"""  # noqa: S608 of constants
REACTIONS: Final = f"""
WITH {_CHANGES}, touched AS (
    UPDATE messages m SET live_at = now() FROM (SELECT DISTINCT key, id FROM given) known
    WHERE m.channel_id = known.key AND m.platform_message_id = known.id
    RETURNING m.channel_id, m.platform_message_id
)
INSERT INTO message_emoji_reactions AS e (
    channel_id, platform_message_id, emoji, count, burst_count)
SELECT given.key, given.id, emoji, count, burst_count FROM given JOIN touched t
    ON t.channel_id = given.key AND t.platform_message_id = given.id
ON CONFLICT (channel_id, platform_message_id, emoji, anonymized_user_id) DO UPDATE SET
    count = e.count + excluded.count, burst_count = e.burst_count + excluded.burst_count,
    updated_at = now()
"""  # noqa: S608 of constants
# A removed reaction of which nothing is stored: the page that brings the message knows.
NO_REACTIONS: Final = f"""
WITH {_CHANGES}, none AS (
    SELECT e.channel_id, e.platform_message_id, e.emoji FROM message_emoji_reactions e JOIN given
        ON e.channel_id = given.key AND e.platform_message_id = given.id AND e.emoji = given.emoji
    WHERE e.anonymized_user_id = '' AND e.count <= 0
)
DELETE FROM message_emoji_reactions e USING none
WHERE e.channel_id = none.channel_id AND e.platform_message_id = none.platform_message_id
    AND e.emoji = none.emoji
"""  # noqa: S608 of constants

DOUBTS: Final = f"""
INSERT INTO gateway_doubts (channel_id, platform_message_id)
SELECT DISTINCT c.id, given.id
FROM jsonb_to_recordset(%(rows)s) AS given (channel bigint, id bigint, is_sure boolean) {_LOCATED}
WHERE given.is_sure OR p.lease_expires_at > now()
    OR p.last_synced_at > now() - make_interval(secs => {LATE_S})
ON CONFLICT (channel_id, platform_message_id) DO UPDATE SET at = now()
"""  # noqa: S608 of constants

FORGET_OLD: Final = """
DELETE FROM live_deletions d USING channels c
WHERE c.id = d.channel_id AND c.tenant_id = %(tenant)s AND d.at < now() - interval '1 hour'
"""
"""No page is in flight for an hour."""
