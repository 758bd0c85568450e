"""The statement that writes a page: messages, their parts, coverage and checkpoint at once.

It locks the claim, compares it, and merges the page's rows, which come as one JSON document. All
that it writes is joined with the claim's locked row, so a worker that lost its channel writes
nothing. That lock is taken before any other, and is the only one that two page transactions can
both want, so they cannot deadlock.

An event of the gateway may be newer than a page that was requested before it. Such a row stays as
it is, unless the page has a later edit. Events take the claim's row, too. If the statement had to
wait for them, its snapshot lacks what they wrote. So it compares `live_batches` of its snapshot and
of the locked row. If they differ, it writes nothing and must be repeated.
"""

from __future__ import annotations

import re
from typing import Final

from raysync.store.archive.page_columns import ATTACHMENT, MESSAGE, REACTION
from raysync.store.archive.payload_sql import has_components, has_embeds, has_poll, shows_embeds

LACKS_PARTS: Final = f"""p.attachments IS NULL AND NOT {has_poll("p.raw")}
            AND NOT {has_embeds("p.raw")} AND NOT {has_components("p.raw")}"""
"""SQL condition: the given message `p` has nothing beside its text."""
# The author may have removed the embeds, and a flag says so.
HAD_PARTS: Final = f"""{has_poll("m.raw")} OR {has_components("m.raw")}
                OR ({has_embeds("m.raw")} AND {shows_embeds("p.metadata")})"""
"""SQL condition: the stored message `m` has such a part, and no flag of `p` explains its loss."""
_IS_OLDER: Final = """(m.live_at IS NULL OR m.live_at < requested_at
            OR coalesce(p.edited_at, '-infinity') > coalesce(m.edited_at, '-infinity'))"""
"""SQL condition: no event changed the stored message `m` after the page with `p` was requested."""
_IS_OLDER_THAN_GIVEN: Final = """(m.live_at IS NULL
        OR m.live_at < (SELECT requested_at FROM claim)
        OR coalesce(excluded.edited_at, '-infinity') > coalesce(m.edited_at, '-infinity'))"""
_MESSAGE_DIFFERS: Final = MESSAGE.differs("m")
_REACTION_DIFFERS: Final = REACTION.differs("e")
_ATTACHMENT_DIFFERS: Final = ATTACHMENT.differs("e")

PAGE: Final = f"""
WITH page AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(page)s) AS given (
        {MESSAGE.declared}, reactions jsonb, attachments jsonb)
), claim AS MATERIALIZED (
    SELECT tenant_id, set_config('synchronous_commit', 'off', true),
        now() - make_interval(secs => %(age_s)s) AS requested_at
    FROM sync_progress
    WHERE channel_id = %(channel)s AND epoch = %(epoch)s AND worker_id = %(worker_id)s
        AND EXISTS (SELECT FROM server_life WHERE life = %(server)s::uuid)
        AND live_batches = (SELECT s.live_batches FROM sync_progress s
            WHERE s.channel_id = %(channel)s)
    FOR UPDATE
), withheld AS MATERIALIZED (  -- content that disappears without an edit was withheld by Discord
    SELECT p.id FROM claim CROSS JOIN page p
        JOIN messages m ON m.channel_id = %(channel)s AND m.platform_message_id = p.id
    WHERE p.content = '' AND m.edited_at IS NOT DISTINCT FROM p.edited_at
        AND (m.content <> '' OR (
            {LACKS_PARTS} AND ({HAD_PARTS}
                OR EXISTS (SELECT FROM message_attachments a WHERE a.channel_id = m.channel_id
                    AND a.platform_message_id = m.platform_message_id))))
), earlier AS (
    INSERT INTO message_versions (
        channel_id, platform_message_id, seen_at, content, edited_at, raw)
    SELECT m.channel_id, m.platform_message_id, now(), m.content, m.edited_at, m.raw
    FROM claim CROSS JOIN messages m JOIN page p ON m.platform_message_id = p.id
    WHERE m.channel_id = %(channel)s AND m.platform_message_id BETWEEN %(low)s AND %(high)s
        AND (m.content, m.edited_at) IS DISTINCT FROM (p.content, p.edited_at)
        AND (m.quarantine IS NULL  -- reading a field for the first time is no edit
            OR (m.content <> p.content
                AND NOT (m.content = '' AND m.quarantine && '{{content,payload}}'::text[]))
            OR (m.edited_at IS DISTINCT FROM p.edited_at
                AND NOT m.quarantine && '{{edited_timestamp,payload}}'::text[]))
        AND p.id NOT IN (SELECT id FROM withheld) AND {_IS_OLDER}
    -- locked after the claim: an earlier attempt at this page may have committed meanwhile
    FOR UPDATE OF m
    RETURNING 1
), vanished AS (
    UPDATE messages m SET deleted_at = now(), updated_at = now()
    FROM claim
    WHERE m.channel_id = %(channel)s AND m.deleted_at IS NULL
        AND m.platform_message_id >= %(gone_start)s AND m.platform_message_id < %(gone_stop)s
        AND m.platform_message_id <> ALL(%(ids)s)
        AND (m.live_at IS NULL OR m.live_at < claim.requested_at)
    RETURNING 1
), merged AS (
    INSERT INTO messages AS m (
        channel_id, tenant_id, {MESSAGE.names}, deleted_at)
    SELECT %(channel)s, tenant_id, {MESSAGE.keys}, d.at
    FROM claim CROSS JOIN page
        LEFT JOIN live_deletions d ON d.channel_id = %(channel)s AND d.platform_message_id = id
    WHERE id NOT IN (SELECT id FROM withheld)
        AND (SELECT count(*) FROM earlier) >= 0  -- run before the overwrite
    ON CONFLICT (channel_id, platform_message_id) DO UPDATE SET
        {MESSAGE.assigned}, deleted_at = excluded.deleted_at, updated_at = now()
    WHERE (m.deleted_at IS NOT NULL OR {_MESSAGE_DIFFERS}) AND {_IS_OLDER_THAN_GIVEN}
    RETURNING xmax = 0 AS is_new
), counted AS (
    SELECT count(*) FILTER (WHERE is_new) AS inserted,
        count(*) FILTER (WHERE NOT is_new) AS updated
    FROM merged
), newer AS MATERIALIZED (  -- rows that an event wrote after the page was requested
    SELECT p.id FROM claim CROSS JOIN page p
        JOIN messages m ON m.channel_id = %(channel)s AND m.platform_message_id = p.id
    WHERE (SELECT inserted FROM counted) < %(rows)s AND NOT {_IS_OLDER}
), known AS MATERIALIZED (  -- stored messages that may have lost reactions or attachments
    SELECT id FROM page WHERE (SELECT inserted FROM counted) < %(rows)s
        AND EXISTS (SELECT FROM claim) AND id NOT IN (SELECT id FROM newer)
), given_reactions AS MATERIALIZED (
    SELECT id, r.* FROM page, jsonb_to_recordset(reactions) AS r ({REACTION.declared})
    WHERE reactions IS NOT NULL AND EXISTS (SELECT FROM claim)
        AND id NOT IN (SELECT id FROM newer)
), gone_reactions AS (
    DELETE FROM message_emoji_reactions e USING known k
    WHERE e.channel_id = %(channel)s AND e.platform_message_id BETWEEN %(low)s AND %(high)s
        AND e.platform_message_id = k.id
        AND NOT EXISTS (
            SELECT FROM given_reactions g WHERE g.id = k.id AND g.emoji = e.emoji)
), reactions AS (
    INSERT INTO message_emoji_reactions AS e (
        channel_id, platform_message_id, {REACTION.names})
    SELECT %(channel)s, id, {REACTION.keys} FROM given_reactions
    ON CONFLICT (channel_id, platform_message_id, emoji, anonymized_user_id) DO UPDATE SET
        {REACTION.assigned}, updated_at = now()
    WHERE {_REACTION_DIFFERS}
), given_attachments AS MATERIALIZED (
    SELECT page.id AS message_id, a.* FROM page, jsonb_to_recordset(attachments)
        AS a ({ATTACHMENT.declared})
    WHERE attachments IS NOT NULL AND EXISTS (SELECT FROM claim)
        AND page.id NOT IN (SELECT id FROM newer)
), gone_attachments AS (
    DELETE FROM message_attachments e USING known k
    WHERE e.channel_id = %(channel)s AND e.platform_message_id BETWEEN %(low)s AND %(high)s
        AND e.platform_message_id = k.id AND k.id NOT IN (SELECT id FROM withheld)
        AND NOT EXISTS (
            SELECT FROM given_attachments g
            WHERE g.message_id = k.id AND g.id = e.platform_attachment_id)
), attachments AS (
    INSERT INTO message_attachments AS e (
        channel_id, platform_message_id, {ATTACHMENT.names})
    SELECT %(channel)s, message_id, {ATTACHMENT.keys} FROM given_attachments
    ON CONFLICT (channel_id, platform_message_id, platform_attachment_id) DO UPDATE SET
        {ATTACHMENT.assigned}, updated_at = now()
    WHERE {_ATTACHMENT_DIFFERS}
), advanced AS (
    UPDATE sync_progress SET
        coverage = coverage + int8multirange(int8range(%(start)s, %(stop)s)),
        last_synced_message_id = greatest(last_synced_message_id, %(high)s::bigint),
        last_synced_at = now(), updated_at = now(),
        message_count = message_count + (SELECT inserted FROM counted),
        resume_after = coalesce(%(checkpoint)s::bigint, resume_after),
        lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE channel_id = %(channel)s AND EXISTS (SELECT FROM claim)
), doubted AS (  -- what a session missed before the event is unknown
    INSERT INTO gateway_doubts (channel_id, platform_message_id)
    SELECT %(channel)s, id FROM newer
    ON CONFLICT (channel_id, platform_message_id) DO UPDATE SET at = now()
), certain AS (
    DELETE FROM gateway_doubts d USING claim
    WHERE d.channel_id = %(channel)s AND d.at < requested_at
        AND (d.platform_message_id IN (SELECT id FROM page) OR (
            d.platform_message_id >= %(gone_start)s AND d.platform_message_id < %(gone_stop)s))
        AND d.platform_message_id NOT IN (SELECT id FROM newer)
)
SELECT inserted, updated, (SELECT count(*) FROM earlier), (SELECT count(*) FROM vanished)
FROM counted WHERE EXISTS (SELECT FROM claim)
"""  # noqa: S608 of constants

PAGE_VALUES: Final = tuple(dict.fromkeys(re.findall(r"%\((\w+)\)s", PAGE)))
"""Names of the statement's parameters, in the order of their numbers."""
NUMBERED_PAGE: Final = re.sub(
    r"%\((\w+)\)s", lambda found: f"${PAGE_VALUES.index(found[1]) + 1}", PAGE
)
"""The statement with the server's own placeholders: psycopg's translation takes 0.2 ms a page."""
