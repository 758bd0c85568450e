"""Finding what a command is about, before it asks or acts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from raysync.models.entities import Tenant
    from raysync.privacy import TenantPrivacy

_T = TypeVar("_T")


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
    from raysync.cli.actor import actor
    from raysync.database import open_store
    from raysync.privacy import TenantPrivacy
    from raysync.settings import read_settings
    from raysync.store.tenants import TenantStore

    async with open_store(read_settings()) as engine:
        tenant = await TenantStore(engine).get(slug)
        return await act(TenantPrivacy(engine, tenant, actor()))
