"""Coverage in the database is the union of what pages proved, whatever their order."""

from __future__ import annotations

import asyncio
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysync.models.ids import ChannelId
from raysync.models.work import IdRange, PageWrite
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.pages import PostgresPages
from raysync.store.connection.engine import open_engine
from tests.store.rows import add_channel, add_tenant, channel, task

_RANGES = st.lists(
    st.builds(
        lambda start, size: IdRange(start, start + size), st.integers(0, 60), st.integers(1, 20)
    ),
    max_size=10,
)


def _union(ranges: list[IdRange]) -> tuple[IdRange, ...]:
    """The same ids, told the slow and plain way."""
    ids = sorted({each for r in ranges for each in range(r.start, r.stop)})
    starts = [each for each in ids if each - 1 not in ids]
    stops = [each + 1 for each in ids if each + 1 not in ids]
    return tuple(map(IdRange, starts, stops))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ranges=_RANGES)
def test_coverage_is_the_union_of_all_pages(database_url: str, ranges: list[IdRange]) -> None:
    assert asyncio.run(_covered(database_url, ranges)) == _union(ranges)


async def _covered(database_url: str, ranges: list[IdRange]) -> tuple[IdRange, ...]:
    """What the database holds after a page for each of *ranges*, on a tenant of its own."""
    engine = open_engine(database_url, pool_size=1, application_name="raysync tests")
    try:
        tenant = await add_tenant(engine, f"t{uuid.uuid4().hex}", uuid.uuid4().int >> 66)
        channels, pages = ChannelStore(engine, tenant.id), PostgresPages(engine)
        claim = await pages.claim(task(tenant.id, await add_channel(engine, tenant.id)), "w1")
        assert claim is not None
        for each in ranges:
            await pages.save_page(claim, PageWrite((), each, None))
        return (await channels.record([channel(7)]))[ChannelId(7)].coverage
    finally:
        await engine.dispose()
