"""Finding what a command is about, before it asks or acts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from raysync.models.entities import Tenant
    from raysync.models.records import JobRecord
    from raysync.privacy import TenantPrivacy

_T = TypeVar("_T")
TOLD_EVERY = 50_000
"""Messages."""
RECONNECTS_WITHIN_S = 3.0
"""A driver looks at its connection once a second, and opens another at once if it broke."""


async def find_tenant(slug: str) -> Tenant:
    """The tenant called *slug*. Raises UnknownTenantError."""
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        return await TenantStore(engine).get(slug)


async def every_tenant() -> list[str]:
    """The slugs of all tenants."""
    from raysync.database import open_store
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        return [each.slug for each in await TenantStore(engine).list()]


async def with_privacy(slug: str, act: Callable[[TenantPrivacy], Awaitable[_T]]) -> _T:
    """Have *act* done on the tenant's privacy by whoever runs the command."""
    from raysync.database import open_store
    from raysync.operators import operator_name
    from raysync.privacy import TenantPrivacy
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        tenant = await TenantStore(engine).get(slug)
        return await act(TenantPrivacy(engine, tenant, operator_name(), _telling()))


def _telling() -> Callable[[int], None]:
    """Says now and then how far long work has come."""
    from raysync.cli.output import words
    from raysync.cli.output.console import say

    done = 0

    def told(messages: int) -> None:
        nonlocal done
        before, done = done // TOLD_EVERY, done + messages
        if done // TOLD_EVERY > before:
            say(f"{words.count(done)} messages done")

    return told


async def settled(load: Callable[[], Awaitable[Sequence[JobRecord]]]) -> Sequence[JobRecord]:
    """Return the jobs that *load* gives, when it is known whether their drivers live.

    A driver whose connection broke opens another within two seconds, and is not gone: a job that
    seems abandoned is looked at again.
    """
    until_s = time.monotonic() + RECONNECTS_WITHIN_S
    while True:
        found = await load()
        if not any(map(_may_come_back, found)) or time.monotonic() > until_s:
            return found
        await asyncio.sleep(RECONNECTS_WITHIN_S / 10)


def _may_come_back(record: JobRecord) -> bool:
    from raysync.store.connection.locks import LEASE_S

    driver = record.driver
    return record.is_abandoned and driver is not None and driver.seen_ago_s < LEASE_S
