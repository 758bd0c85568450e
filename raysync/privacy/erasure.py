"""Erasure of a user, a channel or a whole tenant, and the suppression list that keeps them out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from raysync.clock import SystemClock
from raysync.discord_api.people.redaction import Redaction
from raysync.models.audit import AuditAction
from raysync.models.entities import Tenant
from raysync.models.ids import ChannelId
from raysync.models.privacy import AS_KNOWN, Elsewhere, ErasureCounts, Suppression
from raysync.privacy.work import TenantWork
from raysync.store.archive.blobs import open_blob_store
from raysync.store.archive.ranges import Progress
from raysync.store.jobs.lease import hold_tenant
from raysync.store.privacy.erasure import Erasure
from raysync.store.privacy.names import Names
from raysync.store.privacy.stored_files import Due, sweep
from raysync.store.privacy.suppressions import SuppressionStore, people_rules
from raysync.store.schema.privacy_tables import SuppressedKind
from raysync.store.tenants import TenantStore


@dataclass(frozen=True, slots=True)
class TenantErasure(TenantWork):
    """Erasure for one tenant. The ``count_…`` methods preview what the others erase."""

    async def count_user(
        self, ref: str, typed: str | None = None, elsewhere: Elsewhere = AS_KNOWN
    ) -> ErasureCounts:
        """Count what `forget_user` would erase."""
        names = Names.of(ref, typed)
        counts = await self._erasure(self.progress).count_user(names)
        return await self._with_files(counts, elsewhere, Due(authors=names.refs))

    async def count_channel(
        self, channel_id: ChannelId, elsewhere: Elsewhere = AS_KNOWN
    ) -> ErasureCounts:
        """Count what `forget_channel` would erase, threads included."""
        erasure = self._erasure(self.progress)
        rows = await erasure.channel_and_threads(channel_id)
        counts = await erasure.count_channels(rows)
        return await self._with_files(counts, elsewhere, Due(channels=[row.key for row in rows]))

    async def count_all(self, elsewhere: Elsewhere = AS_KNOWN) -> ErasureCounts:
        """Count what `forget_all` would erase."""
        erasure = self._erasure(self.progress)
        due = Due(channels=await erasure.all_keys())
        return await self._with_files(await erasure.count_all(), elsewhere, due)

    async def forget_user(
        self, ref: str, elsewhere: Elsewhere = AS_KNOWN, typed: str | None = None
    ) -> ErasureCounts:
        """Erase a user, and keep them out from now on.

        Search for what the operator *typed* as well as for *ref*: an archive kept under earlier
        rules may hold the id itself in texts and payloads. Files are removed from every place that
        runs stored them in, changed by *elsewhere*.

        Raises:
            JobRunningError: the tenant is being synced.
            ConfigurationError: a rotation must be finished first.
        """
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            await people_rules(self.engine, self.tenant, SystemClock().now())
            _require_places(elsewhere, self.tenant)
            entry = await self._suppress(SuppressedKind.USER, ref)
            names = Names.of(ref, typed)
            erased = await self._erasure(self._while_held(lease)).erase_user(
                names, entry, Redaction(people=frozenset(names.refs))
            )
            return await self._erased(SuppressedKind.USER, entry, erased, elsewhere)

    async def forget_channel(
        self, channel_id: ChannelId, elsewhere: Elsewhere = AS_KNOWN
    ) -> ErasureCounts:
        """Erase a channel with its threads, and keep it out. Raises as `forget_user`."""
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            await people_rules(self.engine, self.tenant, SystemClock().now())
            _require_places(elsewhere, self.tenant)
            erasure = self._erasure(self._while_held(lease))
            entry = await self._suppress(SuppressedKind.CHANNEL, str(channel_id))
            rows = await erasure.channel_and_threads(channel_id)
            ids = frozenset({str(channel_id), *(str(row.id) for row in rows)})
            erased = await erasure.erase_channels(rows, Redaction(channels=ids))
            return await self._erased(SuppressedKind.CHANNEL, entry, erased, elsewhere)

    async def forget_all(self, elsewhere: Elsewhere = AS_KNOWN) -> ErasureCounts:
        """Erase the tenant with everything of its own, its token and its files included.

        Raises:
            JobRunningError: the tenant is being synced.
        """
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            _require_places(elsewhere, self.tenant)
            store = TenantStore(self.engine)
            await store.begin_removal(self._entry(AuditAction.FORGET_BEGUN, what="tenant"))
            erased = await self._erasure(self._while_held(lease)).erase_all()
            files = await sweep(self.engine, self.tenant, await self._places(elsewhere))
            await store.remove(self.tenant.slug, is_held=True)
        total = replace(erased, files=files)
        skipped = sorted(elsewhere.without)
        await self._audit(AuditAction.FORGET, what="tenant", passed_over=skipped, **asdict(total))
        return total

    async def suppressions(self) -> tuple[Suppression, ...]:
        """Return the users and channels that are kept out."""
        return await SuppressionStore(self.engine, self.tenant.id).list()

    async def undo(self, kind: SuppressedKind, ref: str) -> bool:
        """Remove an entry from the suppression list. Return False if there was none.

        Only the next full run brings back what was erased.
        """
        async with hold_tenant(self.engine, self.tenant.id):
            lifted = await SuppressionStore(self.engine, self.tenant.id).lift(kind, ref)
        if lifted is not None:
            await self._audit(AuditAction.FORGET_UNDONE, what=kind.value, suppression=lifted)
        return lifted is not None

    def _erasure(self, progress: Progress) -> Erasure:
        return Erasure(self.engine, self.tenant.id, progress)

    async def _with_files(
        self, counts: ErasureCounts, elsewhere: Elsewhere, due: Due
    ) -> ErasureCounts:
        urls = await self._places(elsewhere)
        files = await sweep(self.engine, self.tenant, urls, due, is_preview=True)
        return replace(counts, files=files)

    async def _suppress(self, kind: SuppressedKind, ref: str) -> int:
        """Add an entry to the suppression list. Return its number."""
        return await SuppressionStore(self.engine, self.tenant.id).add(
            kind,
            ref,
            lambda entry: self._entry(AuditAction.FORGET_BEGUN, what=kind.value, suppression=entry),
        )

    async def _erased(
        self, kind: SuppressedKind, entry: int, erased: ErasureCounts, elsewhere: Elsewhere
    ) -> ErasureCounts:
        """Remove the files of what was erased, and record the end of the erasure."""
        files = await sweep(self.engine, self.tenant, await self._places(elsewhere))
        await SuppressionStore(self.engine, self.tenant.id).note_erased(entry)
        total = replace(erased, files=files)
        about = {"suppression": entry, "passed_over": sorted(elsewhere.without)}
        await self._audit(AuditAction.FORGET, what=kind.value, **about, **asdict(total))
        return total


def _require_places(elsewhere: Elsewhere, tenant: Tenant) -> None:
    """Refuse URLs that cannot hold files before anything is erased. Raises ConfigurationError."""
    for url in sorted(elsewhere.more):
        open_blob_store(url, tenant.guild_id)
