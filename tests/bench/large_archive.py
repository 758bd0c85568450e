"""Fill a database with a large archive in minutes, by INSERT … SELECT.

    uv run python tests/bench/large_archive.py --messages 10000000 --url URL [--corpus FILE]

Five tenants hold 70, 20, 9, 1 and 0.01 % of the messages, in channels of very different sizes.
The rows are as wide as a run writes them: payloads, earlier versions, reactions with reactors,
attachments, deleted and emptied messages, quarantined ones, suppressions, retention, jobs with
their channels, and an audit log. A channel's rows lie in blocks of 1,000 between those of other
channels, as pages of several channels arrive. Equal arguments write equal rows.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import psycopg
from pydantic import TypeAdapter
from sqlalchemy import make_url

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from raysync.models.events import JobView
from tests.cli.samples import job_result, job_view

CORPUS: Final = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "irc-chat.jsonl.gz"
SHARES: Final = {"largest": 0.7, "large": 0.2, "middle": 0.0899, "small": 0.01, "tiny": 0.0001}
"""Share of each tenant in the messages."""
MESSAGES_A_CHANNEL: Final = 5_000
MESSAGES_A_PERSON: Final = 30
JOBS: Final = 100
"""Jobs of each tenant."""
_BLOCK: Final = 1_000
_SPOKEN: Final = 200_000

_PREPARE = """
SELECT setseed(0.5);
CREATE TEMP TABLE lines (n bigint PRIMARY KEY, text text NOT NULL);
CREATE TEMP TABLE sizes (
    tenant_id bigint, channel_id bigint, platform_id bigint, rows bigint, began_ms bigint,
    step_ms bigint, people bigint);
"""
_CHANNELS = """
INSERT INTO channels (tenant_id, platform_channel_id, name, type, parent_channel_id, metadata)
SELECT %(tenant)s, (%(tenant)s * 1000000 + n * 50) * 1000003::bigint << 18, 'channel-' || n,
    CASE WHEN n %% 5 = 4 THEN 11 ELSE 0 END, NULL,
    jsonb_build_object('id', n::text, 'topic', repeat('topic ', 10), 'position', n)
FROM generate_series(1, %(channels)s) n
"""
# Sizes fall as 1/√n. A channel's messages are spread over the time since it was made.
_SIZES = """
INSERT INTO sizes
SELECT tenant_id, id, platform_channel_id,
    ceil(%(messages)s * (1 / sqrt(n)) / sum(1 / sqrt(n)) OVER ())::bigint AS rows,
    (platform_channel_id >> 22) + 60000, 0, %(people)s
FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM channels WHERE tenant_id = %(tenant)s) c;
UPDATE sizes SET step_ms = greatest((370000000000 - began_ms) / rows, 1)
WHERE tenant_id = %(tenant)s
"""
_PROGRESS = """
INSERT INTO sync_progress (tenant_id, channel_id, coverage, message_count, last_synced_at, status,
    rechecked_at)
SELECT tenant_id, channel_id, '{[0,1500000000000000000)}', rows, now(), 'idle', now()
FROM sizes
"""
_MESSAGES = """
INSERT INTO messages (channel_id, platform_message_id, tenant_id, anonymized_author_id, content,
    type, reply_to_id, platform_created_at, edited_at, deleted_at, metadata, raw, quarantine)
SELECT channel_id, id, tenant_id, author, CASE WHEN is_emptied THEN '' ELSE l.text END, 0,
    CASE WHEN dice < 0.1 THEN before END, at,
    CASE WHEN dice BETWEEN 0.5 AND 0.53 THEN at + interval '1 minute' END,
    CASE WHEN is_deleted THEN now() - interval '10 days' END,
    '{"flags": 0, "pinned": false}',
    CASE WHEN is_emptied THEN '{}'::jsonb ELSE jsonb_build_object(
        'id', id::text, 'type', 0, 'tts', false, 'flags', 0, 'pinned', false, 'embeds', '[]'::jsonb,
        'author', jsonb_build_object('id', author, 'bot', false), 'content', l.text,
        'mentions', '[]'::jsonb, 'timestamp', at, 'channel_id', platform_id::text,
        'components', '[]'::jsonb, 'attachments', '[]'::jsonb, 'mention_roles', '[]'::jsonb,
        'edited_timestamp', NULL, 'mention_everyone', false) END,
    CASE WHEN dice BETWEEN 0.7 AND 0.7001 THEN '{embeds}'::text[] END
FROM (
    SELECT s.*, (ms << 22) + i %% 4096 AS id, ((ms - step_ms) << 22) + (i - 1) %% 4096 AS before,
        to_timestamp((ms + 1420070400000) / 1000.0) AS at,
        dice BETWEEN 0.2 AND 0.2 + deleted AS is_deleted,
        dice BETWEEN 0.2 AND 0.2 + deleted / 2 AS is_emptied,
        'u_' || translate(substr(md5(tenant_id || ':' || floor(people * power(who, 5))), 1, 26),
            '0189', 'wxyz') AS author,
        (channel_id * 7919 + i) %% %(lines)s AS line
    FROM (
        SELECT s.*, i, began_ms + i * step_ms + floor(random() * step_ms / 2)::bigint AS ms,
            random() AS dice, random() AS who, 0.01 + tenant_id * 0.005 AS deleted
        FROM sizes s CROSS JOIN LATERAL generate_series(
            %(block)s::bigint, least(%(block)s::bigint + %(many)s, s.rows) - 1) i
        WHERE s.rows > %(block)s
    ) s
) made JOIN lines l ON l.n = line
"""
_PARTS = """
INSERT INTO message_versions (channel_id, platform_message_id, seen_at, content, edited_at, raw)
SELECT channel_id, platform_message_id, now(), content, NULL, raw FROM messages
WHERE edited_at IS NOT NULL AND deleted_at IS NULL;
INSERT INTO message_emoji_reactions (
    channel_id, platform_message_id, emoji, anonymized_user_id, count, burst_count)
SELECT channel_id, platform_message_id, '👍', CASE WHEN n = 0 THEN '' ELSE
    'u_' || translate(substr(md5(n || ':' || platform_message_id), 1, 26), '0189', 'wxyz') END, 3, 0
FROM messages CROSS JOIN generate_series(0, 3) n
WHERE (platform_message_id >> 22) % 10 = 0 AND (n = 0 OR (platform_message_id >> 22) % 40 = 0);
INSERT INTO message_attachments (channel_id, platform_message_id, platform_attachment_id, filename,
    file_size, content_type, url, sha256, blob_key)
SELECT channel_id, platform_message_id, platform_message_id + 1, 'picture.png', 123456, 'image/png',
    'https://cdn.discordapp.com/attachments/1/' || platform_message_id || '/picture.png',
    CASE WHEN is_stored THEN sha256(platform_message_id::text::bytea) END,
    CASE WHEN is_stored THEN 'blobs/' || md5(platform_message_id::text) END
FROM (SELECT *, (platform_message_id >> 22) % 34 = 0 AS is_stored FROM messages) m
WHERE (platform_message_id >> 22) % 17 = 0;
"""
_PEOPLE = """
INSERT INTO suppressions (tenant_id, kind, ref, erased_at)
SELECT id, 'user', 'u_' || translate(substr(md5(id || 'gone' || n), 1, 26), '0189', 'wxyz'), now()
FROM tenants CROSS JOIN generate_series(1, 50) n;
INSERT INTO erased_messages (tenant_id, platform_message_id, suppression_id)
SELECT tenant_id, id * 1000 + n, id FROM suppressions CROSS JOIN generate_series(1, 200) n;
INSERT INTO scrubbings (tenant_id, rules, completed_at) SELECT id, 2, now() FROM tenants;
INSERT INTO locks (name, tenant_id) SELECT 'tenant ' || id, id FROM tenants ON CONFLICT DO NOTHING;
INSERT INTO audit_log (actor, action, tenant)
SELECT 'operator', 'tenant pause', slug FROM tenants CROSS JOIN generate_series(1, 2000);
"""
_JOB_ROWS = """
INSERT INTO sync_jobs (id, tenant_id, sync_type, lookback_s, status, progress, result, started_at,
    completed_at, heartbeat_at)
SELECT gen_random_uuid(), t.id, 'incremental', 3600, 'completed', %(progress)s, %(result)s,
    now() - n * interval '1 hour', now() - n * interval '1 hour' + interval '1 minute',
    now() - n * interval '1 hour' + interval '1 minute'
FROM tenants t CROSS JOIN generate_series(1, %(jobs)s) n;
"""
# Every tenth job listed all channels, the others those with news.
_JOB_PARTS = """
INSERT INTO channel_sync_jobs (tenant_id, channel_id, parent_job_id, worker_id, status, started_at,
    completed_at, messages_processed, requests, fraction)
SELECT j.tenant_id, s.channel_id, j.id, 'worker-' || s.channel_id % 4, 'completed', j.started_at,
    j.completed_at, 100, 2, 1
FROM (SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY started_at DESC) AS n
    FROM sync_jobs) j JOIN sizes s USING (tenant_id) WHERE (s.channel_id + j.n) % 20 = 0
        OR j.n % 10 = 1;
INSERT INTO job_api_calls (job_id, worker_id, route, calls, updated_at)
SELECT j.id, 'worker-' || n, 'GET /channels/{channel_id}/messages ' || v.status, 100, completed_at
FROM sync_jobs j CROSS JOIN generate_series(1, 8) n CROSS JOIN (VALUES (200), (403)) v (status);
INSERT INTO job_samples (job_id, slot_s, tenant_id, taken_at, messages, requests,
    rate_limit_encounters)
SELECT id, n, tenant_id, started_at + n * interval '1 second', n * 100, n * 2, 0
FROM sync_jobs CROSS JOIN generate_series(1, 60) n;
INSERT INTO dead_letters (tenant_id, channel_id, channel_sync_job_id, failure_class, error_class,
    message, attempts)
SELECT DISTINCT ON (channel_id) tenant_id, channel_id, id, 'permanent', 'AccessDeniedError',
    'Discord answers 403', 1
FROM channel_sync_jobs WHERE channel_id % 50 = 0 ORDER BY channel_id, id DESC;
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """Time that a fill took, and the size of its database."""

    seconds: float
    bytes: int


def lines_of(corpus: Path | None) -> Iterator[str]:
    """Yield what people said: lines of a chat, or made ones of similar lengths without it."""
    if corpus is None or not corpus.exists():
        for n in range(5_000):
            yield " ".join(f"word{(n * 31 + k * 17) % 997}" for k in range(1 + n % 25))
        return
    with gzip.open(corpus, "rb") as packed:
        for line in packed:
            spoken = orjson.loads(line)
            if spoken.get("kind") == "message":
                yield spoken["text"].replace("\0", "")


def fill(url: str, messages: int, *, corpus: Path | None = None, jobs: int = JOBS) -> Filled:
    """Fill the migrated, empty database at *url* with about *messages* messages, and analyze it."""
    began_s = time.monotonic()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET statement_timeout = 0")
        session.execute("SET synchronous_commit = off")
        session.execute(_PREPARE)
        lines = _copy_lines(session, corpus)
        for number, (slug, share) in enumerate(SHARES.items(), start=1):
            _make_channels(session, number, slug, max(int(messages * share), 20))
        session.execute("ANALYZE sizes, lines")
        session.execute(_PROGRESS)
        (most,) = session.execute("SELECT max(rows) FROM sizes").fetchone() or (0,)
        for block in range(0, most, _BLOCK):
            values = {"block": block, "many": _BLOCK, "lines": lines}
            session.execute(_MESSAGES, values)
        _run_all(session, _PARTS + _PEOPLE)
        view = TypeAdapter(JobView).dump_json(job_view(running=20)).decode()
        result = job_result().model_dump_json()
        session.execute(_JOB_ROWS, {"progress": view, "result": result, "jobs": jobs})
        _run_all(session, _JOB_PARTS)
        session.execute("VACUUM (ANALYZE)")
        (size,) = session.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
    return Filled(time.monotonic() - began_s, size)


def _copy_lines(session: psycopg.Connection, corpus: Path | None) -> int:
    with session.cursor() as cursor, cursor.copy("COPY lines FROM STDIN") as copy:
        number = 0
        for text in lines_of(corpus):
            copy.write_row((number, text))
            number += 1
            if number == _SPOKEN:
                break
    return number


def _make_channels(session: psycopg.Connection, number: int, slug: str, messages: int) -> None:
    session.execute(
        "INSERT INTO tenants (id, slug, name, platform_id, token_ref, settings) "
        "OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, 'env:T', %s)",
        (number, slug, slug.title(), 7_000 + number, '{"max_age_s": 315360000}'),
    )
    channels = max(messages // MESSAGES_A_CHANNEL, 3)
    session.execute(_CHANNELS, {"tenant": number, "channels": channels})
    people = max(messages // MESSAGES_A_PERSON, 2)
    for statement in _SIZES.split(";\n"):
        values = {"tenant": number, "messages": messages, "people": people}
        session.execute(statement, values)


def _run_all(session: psycopg.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            session.execute(statement)


def plain(url: str) -> str:
    """Return the URL in psycopg's own form."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill a database, as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--url", required=True, help="a migrated, empty database")
    parser.add_argument("--corpus", type=Path, default=CORPUS, metavar="FILE")
    given = parser.parse_args(arguments)
    filled = fill(plain(given.url), given.messages, corpus=given.corpus)
    print(f"{given.messages:,} messages in {filled.seconds:,.0f} s, {filled.bytes / 1e9:,.1f} GB")


if __name__ == "__main__":
    main()
