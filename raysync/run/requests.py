"""Request of a user, and the checks of it before anything runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from raysync.errors import ConfigurationError, JobRunningError, UnknownTenantError
from raysync.models.audit import AuditAction
from raysync.models.entities import Tenant, TenantStatus
from raysync.models.extras import Extras
from raysync.models.ids import ChannelId, JobId, MessageId, TenantId
from raysync.models.status import JobStatus, SyncType
from raysync.models.work import SyncWindow
from raysync.settings import Settings
from raysync.store.archive.blobs import open_blob_store
from raysync.store.connection.engine import Engine
from raysync.store.jobs.lifecycle import JobStore, nothing_to_resume
from raysync.store.server.health import server_state
from raysync.store.tenants import TenantStore

_log = logging.getLogger(__name__)

DEFAULT_LOOKBACK_S = 7 * 86400.0
DEFAULT_ARCHIVES_EVERY_S = 6 * 3600.0
"""Window in which runs compare every list of archived threads, in seconds.

An hourly run then requests a sixth of the lists. A thread that nobody archives by hand usually
stays active for an hour or more after its last message. So an hourly run sees it active first, and
requests its list once it is not. Runs that are six hours apart request every list.
"""
OWN_CONNECTIONS = 11
"""Connections of a run without workers: driver, planner, tracker, governor, tenants' leases."""
TENANTS_PER_WORKER = 10
"""Tenants under way per worker: most wait for a bucket, or have little to read."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """Request of a user for a run."""

    tenants: tuple[str, ...] = ()  #: slugs; none: every active tenant
    sync_type: SyncType | None = None  #: None: incremental
    since: datetime | None = None
    until: datetime | None = None
    channels: frozenset[ChannelId] = field(default_factory=frozenset)
    lookback_s: float | None = None  #: None: the default, or none where a tail has listened
    reconcile_requests: int = 0
    archives_every_s: float | None = None  #: None: likewise
    sample: int = 0  #: random pages that a verification reads again
    extras: Extras = field(default_factory=Extras)
    workers: int | None = None  #: None: the number in the settings
    messages: frozenset[tuple[ChannelId, MessageId]] = frozenset()  #: read these and no others
    is_settling: bool = False  #: a pass of a tail
    resume: JobId | None = None  #: job to resume; everything but *workers* comes from that job

    @property
    def window(self) -> SyncWindow:
        """Window that each tenant's job covers."""
        return SyncWindow(
            sync_type=self.sync_type or SyncType.INCREMENTAL,
            since=self.since,
            until=self.until,
            channels=self.channels,
            lookback_s=DEFAULT_LOOKBACK_S if self.lookback_s is None else self.lookback_s,
            reconcile_requests=self.reconcile_requests,
            sample=self.sample,
            extras=self.extras,
            archives_every_s=(
                DEFAULT_ARCHIVES_EVERY_S if self.archives_every_s is None else self.archives_every_s
            ),
            messages=self.messages,
        )

    @property
    def relies_on_tail(self) -> bool:
        """True if what a tail has heard is left out, because the user asked for nothing else."""
        asks_for_more = self.lookback_s is not None or self.archives_every_s is not None
        return not asks_for_more and not self.is_settling

    @property
    def action(self) -> AuditAction:
        """Name of the request in the audit log."""
        if self.resume is not None:
            return AuditAction.RESUME
        if self.is_settling:
            return AuditAction.SETTLE
        return AuditAction.VERIFY if self.sync_type is SyncType.VERIFY else AuditAction.START


async def as_begun(engine: Engine, request: SyncRequest) -> SyncRequest:
    """Return the original request of a job to resume; any other request unchanged.

    Raises:
        ConfigurationError: the job is completed.
    """
    if request.resume is None:
        return request
    record = await JobStore(engine).load(request.resume)
    if record.status is JobStatus.COMPLETED:
        raise nothing_to_resume(record)
    window = record.window
    return replace(
        request,
        tenants=(record.tenant,),
        sync_type=window.sync_type,
        since=window.since,
        until=window.until,
        channels=window.channels,
        lookback_s=window.lookback_s,
        reconcile_requests=window.reconcile_requests,
        sample=window.sample,
        extras=window.extras,
        archives_every_s=window.archives_every_s,
    )


async def require_any(
    engine: Engine, tenants: Sequence[Tenant], missing: Mapping[TenantId, ConfigurationError]
) -> None:
    """Raise an error, before Ray starts, where no tenant can be synced.

    *missing* has the problem with each tenant's secrets. Where some of several tenants can be
    synced, the run syncs those and reports the others at its end.

    Raises:
        JobRunningError: the only tenant has a running job.
        ConfigurationError: no tenant can be synced; it lists the reasons.
    """
    jobs = JobStore(engine)
    reasons: dict[str, list[str]] = {}
    last: ConfigurationError | None = None
    for tenant in tenants:
        last = missing.get(tenant.id)
        if last is None:
            try:
                await jobs.require_free(tenant.id)
            except JobRunningError as error:
                last = error
            else:
                return
        reasons.setdefault(str(last), []).append(tenant.slug)
    if len(tenants) == 1 and last is not None:
        raise last
    listed = " ".join(f"{', '.join(slugs)}: {reason}" for reason, slugs in reasons.items())
    raise ConfigurationError(f"None of the {len(tenants)} tenants can be synced. {listed}")


async def chosen_tenants(engine: Engine, request: SyncRequest) -> list[Tenant]:
    """Return the requested tenants, or all active ones, in the order in which they begin.

    Raises:
        UnknownTenantError: a requested tenant does not exist, or none is active.
    """
    store = TenantStore(engine)
    if request.tenants:
        return [await store.get(slug) for slug in dict.fromkeys(request.tenants)]
    active = [tenant for tenant in await store.in_turn() if tenant.status is TenantStatus.ACTIVE]
    if not active:
        raise UnknownTenantError(
            "There is no active tenant. Add one with "
            "`raysync tenant add SLUG --guild ID --token-env NAME`, or unpause one with "
            "`raysync tenant unpause SLUG`."
        )
    return active


@dataclass(frozen=True, slots=True)
class Room:
    """Size of a run."""

    workers: int  #: maximum number of workers
    tenants: int  #: tenants under way at the same time; the others wait


async def room_of(engine: Engine, request: SyncRequest, settings: Settings, tenants: int) -> Room:
    """Return the requested size of the run, limited by the database's free connections.

    Raises:
        ConfigurationError: there are not enough connections for one worker.
    """
    wanted = request.workers or settings.max_channel_workers
    slots = settings.channel_batch_size
    state = await server_state(engine)
    free = state.max_connections - state.used_connections
    room = room_within(free, wanted, slots, tenants)
    if room.workers < 1:
        raise ConfigurationError(
            f"The database has {free} of {state.max_connections} connections left, and a run needs "
            f"at least {OWN_CONNECTIONS + slots}. Raise max_connections, close other connections, "
            "or lower SYNC_CHANNEL_BATCH_SIZE."
        )
    if room.workers < wanted:
        _log.warning("the database has connections for only %d of %d workers", room.workers, wanted)
    return room


def room_within(connections: int, workers: int, slots: int, tenants: int) -> Room:
    """Return the size of a run that fits into *connections*.

    A worker takes a connection for each of its *slots*; tenants take none of their own.
    """
    workers = min(workers, max((connections - OWN_CONNECTIONS) // slots, 0))
    return Room(workers, min(tenants, TENANTS_PER_WORKER * workers))


async def check_vault(extras: Extras, tenants: Sequence[Tenant]) -> None:
    """Raise an error, before anything is read, where attachments cannot be stored."""
    if extras.files is not None:
        await asyncio.to_thread(open_blob_store(extras.files.url, tenants[0].guild_id).check)


def bound_to_here(settings: Settings, extras: Extras, tenants: Sequence[Tenant]) -> str | None:
    """Return why workers must run here, as the rest of a sentence; None: they may run anywhere."""
    if settings.database_url is None:
        return (
            "cannot reach the embedded database. Set RAYSYNC_DATABASE_URL to a PostgreSQL server "
            "that all machines can reach."
        )
    if extras.files and open_blob_store(extras.files.url, tenants[0].guild_id).is_local:
        return (
            "would each store attachments in a folder of their own. Name one location for all, as "
            "in --attachments s3://bucket/path."
        )
    return None
