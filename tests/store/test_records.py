"""The audit log and the limits learned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.models.records import LearnedLimit
from raysync.store.connection.audit import AuditLog
from raysync.store.limits.learned import LimitStore


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


async def test_what_was_learned_of_one_api_binds_no_other(engine: AsyncEngine) -> None:
    discord = LimitStore(engine, "https://discord.com/api/v10")
    emulator = LimitStore(engine, "http://127.0.0.1:8750/api/v10")
    await discord.remember(LearnedLimit("GET /x", "", 5, 5.0))
    await emulator.remember(LearnedLimit("GET /x", "", 1, 60.0))

    assert await discord.known() == (LearnedLimit("GET /x", "", 5, 5.0),)
    assert await emulator.known() == (LearnedLimit("GET /x", "", 1, 60.0),)


@pytest.mark.parametrize(
    ("limit", "window_s", "source", "hours"),
    [
        pytest.param(5, 5.0, "headers", 24, id="what-a-header-said"),
        pytest.param(3, 5.0, "inferred", 24, id="what-was-inferred"),
        pytest.param(3, 5.0, "refusal", 7 * 24, id="what-a-refusal-said"),
        pytest.param(1, 60.0, "refusal", 24, id="a-refusal-that-costs-much"),
        pytest.param(5, float("nan"), "refusal", 24, id="nonsense"),
        pytest.param(5, 5.0, "rumour", 24, id="an-unknown-source"),
    ],
)
async def test_every_limit_expires(
    engine: AsyncEngine, database_url: str, limit: int, window_s: float, source: str, hours: int
) -> None:
    limits = LimitStore(engine)
    await limits.remember(LearnedLimit("GET /x", "", limit, window_s, source))
    (believed,) = await limits.believed()
    with psycopg.connect(database_url) as session:
        session.execute(
            "UPDATE rate_limits SET updated_at = now() - make_interval(hours => %s)", [hours - 1]
        )
    almost = await limits.known()
    with psycopg.connect(database_url) as session:
        session.execute("UPDATE rate_limits SET updated_at = updated_at - interval '1 hour'")

    left = believed.until - datetime.now(UTC)
    assert left == pytest.approx(timedelta(hours=hours), abs=timedelta(minutes=10))
    assert len(almost) == 1
    assert await limits.known() == ()


async def test_what_is_forgotten_is_forgotten_at_once_and_of_this_api_alone(
    engine: AsyncEngine,
) -> None:
    one, other = LimitStore(engine, "http://one"), LimitStore(engine, "http://other")
    for each in (one, other):
        await each.remember(LearnedLimit("GET /x", "", 1, 60.0))

    assert await one.forget() == 1
    assert await one.known() == ()
    assert await one.forget() == 0
    assert len(await other.known()) == 1
    await one.remember(LearnedLimit("GET /x", "", 5, 5.0))
    assert await one.known() == (LearnedLimit("GET /x", "", 5, 5.0),)
