"""The hot statements use their indexes, however much there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from raysync.store.archive import export, page_statement, pages, quarantine
from raysync.store.privacy import stored_files

_FILL = """
INSERT INTO tenants (slug, name, platform_id, token_ref) VALUES ('takaro', 'Takaro', 1, 'env:T');
INSERT INTO channels (tenant_id, platform_channel_id, name, type)
    SELECT 1, i, 'c', 0 FROM generate_series(1, 200) i;
INSERT INTO sync_progress (tenant_id, channel_id) SELECT 1, id FROM channels;
INSERT INTO messages (channel_id, platform_message_id, tenant_id, content, type,
        platform_created_at, metadata, raw)
    SELECT 1 + i % 200, i, 1, 'x', 0, now(), '{}', '{}' FROM generate_series(1, 50000) i;
INSERT INTO message_emoji_reactions (channel_id, platform_message_id, emoji, count, burst_count)
    SELECT channel_id, platform_message_id, 'x', 1, 0 FROM messages;
INSERT INTO message_attachments (channel_id, platform_message_id, platform_attachment_id,
        filename, file_size, url)
    SELECT channel_id, platform_message_id, 1, 'f', 1, 'u' FROM messages;
INSERT INTO live_deletions (channel_id, platform_message_id)
    SELECT channel_id, platform_message_id FROM messages;
INSERT INTO gateway_doubts (channel_id, platform_message_id)
    SELECT channel_id, platform_message_id FROM messages;
"""
_ROWS = [{"id": 1_000, "reactions": [{"emoji": "x"}], "attachments": [{"id": 1}]}]
_PAGE = {
    "page": Jsonb(_ROWS),
    "rows": 1,
    "channel": 7,
    "key": 7,
    "channel_id": 7,
    "low": 1_000,
    "high": 21_000,
    "ids": [1_000, 21_000],
    "gone_start": 1_000,
    "gone_stop": 21_000,
    "start": 1_000,
    "stop": 21_001,
    "checkpoint": 21_000,
    "lease_s": 60.0,
    "epoch": 1,
    "server": None,
    "worker_id": "w",
    "age_s": 0.0,
}


@pytest.fixture
def session(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url) as opened:
        opened.execute(_FILL)
        opened.execute("ANALYZE")
        opened.execute(pages._PLAN_ONCE)
        yield opened


def _scans(session: psycopg.Connection[Any], statement: str, values: object) -> dict[str, set[str]]:
    """From each table to how the plan reads it."""
    row = session.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchone()  # type: ignore[call-overload]
    plan = row[0] if not isinstance(row[0], str) else json.loads(row[0])
    found: dict[str, set[str]] = {}
    pending = [plan[0]["Plan"]]
    while pending:
        node = pending.pop()
        pending.extend(node.get("Plans", ()))
        if "Relation Name" in node and node["Node Type"] != "ModifyTable":
            found.setdefault(node["Relation Name"], set()).add(node["Node Type"])
    return found


_CLAIM = {"channel_key": 7, "job_id": None, "attempt": 1, "worker_id": "w", "lease_s": 60.0}


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        pytest.param(pages._CLAIM, _CLAIM, id="claim"),
        pytest.param(page_statement.PAGE, _PAGE, id="page"),
    ],
)
def test_a_page_reads_no_table_whole(
    session: psycopg.Connection[Any], statement: str, values: object
) -> None:
    scans = _scans(session, statement, values)

    scans.pop("server_life", None)  # of one row

    assert scans
    assert "Seq Scan" not in set().union(*scans.values()), scans


def test_an_export_reads_in_order_without_sorting(session: psycopg.Connection[Any]) -> None:
    inner = export._LINES.split("COPY (", 1)[1].rsplit(") TO STDOUT", 1)[0]
    scans = _scans(session, inner, _PAGE)
    plan = str(session.execute(f"EXPLAIN (FORMAT JSON) {inner}", _PAGE).fetchone())  # type: ignore[call-overload]

    assert set().union(*scans.values()) <= {"Index Scan", "Bitmap Heap Scan", "Index Only Scan"}
    assert scans["messages"] == {"Index Scan"}, "in the order of the key"
    assert plan.count("'Sort Key'") <= 2, "the parts of one message alone are sorted"


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(str(quarantine._COUNT), id="count"),
        pytest.param(str(quarantine._NAMED), id="names"),
        pytest.param(quarantine._STORED, id="what-is-stored"),
    ],
)
def test_what_is_quarantined_is_found_by_an_index(
    session: psycopg.Connection[Any], statement: str
) -> None:
    session.execute("UPDATE messages SET quarantine = '{type}' WHERE platform_message_id < 50")
    session.execute("ANALYZE messages")
    asked = statement.replace(":tenant_id", "1").replace(":most", "20").replace(":counted", "1001")
    scans = _scans(session, asked, {"channel": 7, "ids": [1_000, 21_000]})

    assert "Seq Scan" not in scans["messages"]


@pytest.mark.parametrize(("before", "age_s"), [("0", "NULL"), ("100", "60"), ("60000", "NULL")])
def test_each_run_looks_for_files_past_retention_by_indexes(
    session: psycopg.Connection[Any], before: str, age_s: str
) -> None:
    session.execute(
        "UPDATE message_attachments SET blob_key = 'k';"
        "UPDATE messages SET deleted_at = now(), raw = '{\"id\": 1}' WHERE platform_message_id < 50"
    )
    session.execute("ANALYZE messages, message_attachments")
    asked = str(stored_files._ANY_PAST_RETENTION).replace(":tenant_id", "1")
    scans = _scans(session, asked.replace(":before", before).replace(":age_s", age_s), None)

    assert "Seq Scan" not in scans["message_attachments"] | scans.get("messages", set()), scans
