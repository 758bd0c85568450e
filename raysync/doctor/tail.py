"""Checks of a tenant's tail, by what the database has of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from raysync.doctor.sentences import OK, WARN, tenant_check
from raysync.live.identifying import RESERVE
from raysync.models.checks import Check
from raysync.models.entities import Tenant
from raysync.store.connection.engine import Engine
from raysync.store.live.listening import ListeningStore

LONG: Final = timedelta(minutes=5)
"""Length of an interruption that does not end by itself."""
FEW: Final = RESERVE + 100


async def check_tail(engine: Engine, tenant: Tenant) -> list[Check]:
    """Check that a tail that was started still listens. A tenant without one gets no check."""
    state = await ListeningStore(engine).state(tenant.id)
    if state is None or state.alive_at is None:
        return []
    now = datetime.now(UTC)
    checks = []
    start = f"Start it again, or have a service do so: raysync tail --tenant {tenant.slug}"
    if not state.is_alive:
        says = (
            f"Nobody listens: the last sign of a tail is of {state.alive_at:%Y-%m-%d %H:%M} UTC. "
            "What is edited or deleted meanwhile is found by runs, within their look-back only."
        )
        checks.append(tenant_check(tenant, "tail", WARN, says, start))
    elif state.interrupted_at is not None and now - state.interrupted_at > LONG:
        says = f"The tail has been disconnected since {state.interrupted_at:%Y-%m-%d %H:%M} UTC."
        advice = "Look at its log, and at https://discordstatus.com."
        checks.append(tenant_check(tenant, "tail", WARN, says, advice))
    else:
        checks.append(tenant_check(tenant, "tail", OK, "It listens."))
    if state.identifies_left is not None and state.identifies_left < FEW:
        says = (
            f"Discord lets the bot begin only {state.identifies_left} more sessions today. A tail "
            f"keeps {RESERVE} in reserve, and then waits."
        )
        advice = "Find out what connects with this token again and again."
        checks.append(tenant_check(tenant, "sessions", WARN, says, advice))
    if state.missed:
        says = (
            f"Look-backs found {state.missed} changes that the tail should have heard. They are "
            "stored."
        )
        advice = "Look for warnings in the tail's log; if there are none, please report it."
        checks.append(tenant_check(tenant, "missed events", WARN, says, advice))
    return checks
