"""Retention: how long messages are kept, and the purge of those past it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from raysync.clock import SystemClock
from raysync.models.audit import AuditAction
from raysync.models.privacy import AS_KNOWN, PurgeCounts, Retention
from raysync.privacy.work import TenantWork
from raysync.store.archive.channels import ChannelStore
from raysync.store.jobs.lease import JobLease, hold_tenant
from raysync.store.privacy.purge import Purge
from raysync.store.privacy.stored_files import Due, any_past_retention, sweep
from raysync.store.tenants import TenantStore


@dataclass(frozen=True, slots=True)
class TenantRetention(TenantWork):
    """Retention of one tenant."""

    async def retain(self, retention: Retention) -> None:
        """Set how long messages are kept.

        If that is longer than before, the next plain run lists archived threads from the start
        again. It finds old threads that no list would name otherwise.

        Raises:
            JobRunningError: it is longer, and the tenant is being synced.
        """
        tenant, settings = self.tenant, retention.settings()
        if retention.reaches_below(Retention.of(tenant.settings)):
            async with hold_tenant(self.engine, tenant.id):
                # First, so that the same command does it again after an interruption.
                await ChannelStore(self.engine, tenant.id).forget_listings()
                await TenantStore(self.engine).change_settings(tenant.slug, settings)
        else:
            await TenantStore(self.engine).change_settings(tenant.slug, settings)
        await self._audit(AuditAction.PRIVACY_RETENTION, **settings)

    async def count_purge(self) -> PurgeCounts:
        """Count what `purge` would erase."""
        due, files = self._past_retention(), 0
        if await self._any_file(due):
            known = await self._places(AS_KNOWN)
            files = await sweep(self.engine, self.tenant, known, due, is_preview=True)
        work = Purge(self.engine, self.tenant.id, self.progress)
        return replace(await work.count(due.before, due.deleted_after), files=files)

    async def purge(self) -> PurgeCounts:
        """Erase what is past retention. Raises JobRunningError."""
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            return await self.purge_held(lease)

    async def purge_held(self, lease: JobLease) -> PurgeCounts:
        """Erase what is past retention, under a lease that the caller holds."""
        due, files = self._past_retention(), 0
        # Files first: if that fails or is interrupted, their rows are still due the next time.
        if await self._any_file(due):
            files = await sweep(self.engine, self.tenant, await self._places(AS_KNOWN), due)
        work = Purge(self.engine, self.tenant.id, self._while_held(lease))
        done = await work.erase_before(due.before)
        done += await work.empty_deleted(due.deleted_after)
        done = replace(done, files=files)
        if done != PurgeCounts():
            await self._audit(AuditAction.PRIVACY_PURGE, **asdict(done))
        return done

    async def _any_file(self, due: Due) -> bool:
        return await any_past_retention(self.engine, self.tenant.id, due.before, due.deleted_after)

    def _past_retention(self) -> Due:
        retention = Retention.of(self.tenant.settings)
        return Due(retention.horizon(SystemClock().now()), retention.purge_deleted_after)
