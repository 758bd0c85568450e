"""The audit log and the limits learned."""

from __future__ import annotations

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
