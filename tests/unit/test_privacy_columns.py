"""No column that may name people escapes erasure and rotation without a reason written down."""

from __future__ import annotations

import pytest
from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from raysync.store.privacy.redacting import OTHER_COLUMNS
from raysync.store.privacy.rotation import _OF_TENANT
from raysync.store.schema.tables import metadata

REWRITTEN_IN_PIECES = {
    "messages": {"anonymized_author_id", "content", "metadata", "raw"},
    "message_versions": {"content", "raw"},
    "message_attachments": {"filename", "content_type", "url"},
    "message_emoji_reactions": {"emoji", "anonymized_user_id"},
}
REWRITTEN_ROW_BY_ROW = {table: set(columns) for table, columns in _OF_TENANT.items()}

WITHOUT_PEOPLE = {
    # raysync's own words: kinds, states, names of fields and routes, hashes
    "messages": {"quarantine"},
    "message_attachments": {"blob_key", "blob_error"},
    "suppressions": {"kind"},
    "key_checks": {"mark"},
    "rate_limits": {"api", "route", "bucket", "source", "form"},
    "token_shares": {"fingerprint", "governor"},
    "gateway_sessions": {"fingerprint", "session_id", "resume_url"},
    "gateway_identifies": {"fingerprint"},
    "tenant_listening": {"fingerprint"},
    "job_api_calls": {"worker_id", "route"},
    "sync_jobs": {"sync_type", "options", "status", "usage", "ray_job_id"},
    "channel_sync_jobs": {"worker_id", "status", "visits"},
    "sync_progress": {"status", "worker_id"},
    "thread_listings": {"routes"},
    "dead_letters": {"failure_class", "error_class"},
    # operators and machines, who are not people of the archive
    "tenants": {"slug", "name", "status", "platform", "token_ref", "privacy", "settings"},
    "tenant_roles": {"role"},
    "locks": {"name", "holder", "host"},
    "audit_log": {"actor", "action", "tenant", "details", "db_role"},
}


def holds_text(column_type: object) -> bool:
    kind = column_type.item_type if isinstance(column_type, ARRAY) else column_type
    return isinstance(kind, Text | JSONB)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_text_is_rewritten_or_holds_no_people(table) -> None:
    handled = REWRITTEN_IN_PIECES.get(table.name, set()) | REWRITTEN_ROW_BY_ROW.get(
        table.name, set()
    )
    exempt = WITHOUT_PEOPLE.get(table.name, set())
    texts = {column.name for column in table.columns if holds_text(column.type)}

    assert texts == handled | exempt, "join redacting.py and rotation.py, or say why not"
    assert not handled & exempt


def test_rotation_rewrites_what_redaction_does() -> None:
    assert OTHER_COLUMNS.items() <= _OF_TENANT.items()
