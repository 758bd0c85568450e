"""The ticks of a schedule, for all who share the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from raysync.store.connection.audit import AuditLog
from raysync.store.connection.engine import Engine
from raysync.store.jobs.schedules import ScheduleStore

TICK = datetime(2026, 1, 1, 3, 17, tzinfo=UTC)


async def test_a_schedule_goes_on_from_its_own_last_tick(engine: Engine) -> None:
    one, other = ScheduleStore(engine, "start"), ScheduleStore(engine, "start --tenant takaro")
    assert await one.last_tick() is None

    await one.ended("me@here", TICK, 0)
    await one.ended("me@here", TICK + timedelta(hours=1), 3)
    await other.ended("me@here", TICK + timedelta(hours=9), 0)

    assert await one.last_tick() == TICK + timedelta(hours=1)
    assert await other.last_tick() == TICK + timedelta(hours=9)
    (_, entry, _) = await AuditLog(engine).recent()
    assert (entry.actor, entry.action, entry.details["exit_code"]) == ("me@here", "schedule", 3)


async def test_one_holds_a_schedule_and_others_hold_others(engine: Engine) -> None:
    schedule, same = ScheduleStore(engine, "start"), ScheduleStore(engine, "start")
    other = ScheduleStore(engine, "start --full")

    async with schedule.hold() as first, same.hold() as second, other.hold() as third:
        assert (first, second, third) == (True, False, True)
    async with same.hold() as again:
        assert again
