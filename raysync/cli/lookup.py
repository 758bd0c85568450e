"""Finding what a command is about, before it asks or acts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from raysync.models.entities import Tenant
    from raysync.privacy import TenantPrivacy

_T = TypeVar("_T")
TOLD_EVERY = 50_000
"""Messages."""


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
    from raysync.cli import words
    from raysync.cli.console import say

    done = 0

    def told(messages: int) -> None:
        nonlocal done
        before, done = done // TOLD_EVERY, done + messages
        if done // TOLD_EVERY > before:
            say(f"{words.count(done)} messages done")

    return told
