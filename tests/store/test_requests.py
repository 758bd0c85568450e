"""What is said before Ray starts where no tenant can be synced."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from raysync.errors import ConfigurationError, JobRunningError, TokenUnavailableError
from raysync.models.status import SyncType
from raysync.models.work import SyncWindow
from raysync.run.requests import require_any
from raysync.store.jobs.lifecycle import JobStore
from tests.store.rows import add_tenant

FULL = SyncWindow(SyncType.FULL)
UNSET = TokenUnavailableError("The variable T is not set.")


async def test_tenants_of_which_each_has_a_reason_are_refused_in_one_sentence(
    engine: AsyncEngine,
) -> None:
    busy = await add_tenant(engine)
    unset = [await add_tenant(engine, slug, guild) for slug, guild in (("b", 8), ("c", 9))]
    jobs = JobStore(engine)
    async with jobs.lease(busy.id):
        job_id = await jobs.begin(busy.id, FULL)

        with pytest.raises(ConfigurationError) as caught:
            await require_any(
                engine, [busy, *unset], dict.fromkeys([each.id for each in unset], UNSET)
            )

    told = str(caught.value)
    assert told.startswith("None of the 3 tenants can be synced.")
    assert job_id in told
    assert "b, c: The variable T is not set." in told


async def test_one_that_can_be_synced_is_enough(engine: AsyncEngine) -> None:
    busy, free = await add_tenant(engine), await add_tenant(engine, "free", 8)
    jobs = JobStore(engine)
    async with jobs.lease(busy.id):
        await jobs.begin(busy.id, FULL)

        await require_any(engine, [busy, free], {})


async def test_a_single_tenant_has_its_own_error(engine: AsyncEngine) -> None:
    tenant = await add_tenant(engine)
    jobs = JobStore(engine)
    async with jobs.lease(tenant.id):
        await jobs.begin(tenant.id, FULL)
        with pytest.raises(JobRunningError):
            await require_any(engine, [tenant], {})
    with pytest.raises(TokenUnavailableError):
        await require_any(engine, [tenant], {tenant.id: UNSET})
