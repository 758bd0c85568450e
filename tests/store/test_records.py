"""The audit log and the limits learned."""

from __future__ import annotations

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.records import LearnedLimit
from raysync.store.audit import AuditLog
from raysync.store.limits import LimitStore


async def test_the_audit_log_tells_the_latest_first(engine: AsyncEngine) -> None:
    log = AuditLog(engine)
    await log.record("root@host", "tenant added", "takaro", {"guild": "1"})
    await log.record("root@host", "schema upgraded")
    latest, first = await log.recent()

    assert (first.actor, first.action, first.tenant) == ("root@host", "tenant added", "takaro")
    assert first.details == {"guild": "1"}
    assert (latest.action, latest.tenant, latest.details) == ("schema upgraded", None, {})
    assert await log.recent(limit=1) == (latest,)


async def test_a_limit_learned_again_replaces_what_was_known(engine: AsyncEngine) -> None:
    limits = LimitStore(engine)
    route = "GET /channels/{channel_id}/messages"
    await limits.remember(LearnedLimit(route, "abcd", 50, 1.0))
    await limits.remember(LearnedLimit(route, "abcd", 5, 5.0))
    await limits.remember(LearnedLimit(route, "efgh", 10, 10.0))

    assert await limits.known() == (
        LearnedLimit(route, "abcd", 5, 5.0),
        LearnedLimit(route, "efgh", 10, 10.0),
    )


async def test_what_nobody_said_is_believed_for_a_day(
    engine: AsyncEngine, database_url: str
) -> None:
    limits = LimitStore(engine)
    await limits.remember(LearnedLimit("GET /told", "", 3, 5.0, "refusal"))
    await limits.remember(LearnedLimit("GET /inferred", "", 3, 5.0, "inferred"))
    known = await limits.known()
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE rate_limits SET updated_at = now() - interval '25 hours'")

    assert [each.route for each in known] == ["GET /inferred", "GET /told"]
    assert [each.route for each in await limits.known()] == ["GET /told"]
