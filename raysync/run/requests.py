"""What a user asks for, and what can be said of it before anything runs."""

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
from raysync.models.ids import ChannelId, JobId, TenantId
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
OWN_CONNECTIONS = 11
"""Of a run beside its workers: driver, planner, tracker, governor, and one that holds tenants."""
TENANTS_PER_WORKER = 10
"""So many are under way for each worker: most of them wait for a bucket, or have little to read."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What a user asks for."""

    tenants: tuple[str, ...] = ()  #: slugs; none: every active tenant
    sync_type: SyncType | None = None  #: None: incremental
    since: datetime | None = None
    until: datetime | None = None
    channels: frozenset[ChannelId] = field(default_factory=frozenset)
    lookback_s: float = DEFAULT_LOOKBACK_S
    reconcile_requests: int = 0
    sample: int = 0  #: of a verification
    extras: Extras = field(default_factory=Extras)
    workers: int | None = None  #: None: as the settings say
    resume: JobId | None = None  #: go on with this job; all but *workers* is as it was begun

    @property
    def window(self) -> SyncWindow:
        """What each tenant's job is about."""
        return SyncWindow(
            sync_type=self.sync_type or SyncType.INCREMENTAL,
            since=self.since,
            until=self.until,
            channels=self.channels,
            lookback_s=self.lookback_s,
            reconcile_requests=self.reconcile_requests,
            sample=self.sample,
            extras=self.extras,
        )

    @property
    def action(self) -> AuditAction:
        """What the audit log calls it."""
        if self.resume is not None:
            return AuditAction.RESUME
        return AuditAction.VERIFY if self.sync_type is SyncType.VERIFY else AuditAction.START


async def as_begun(engine: Engine, request: SyncRequest) -> SyncRequest:
    """What a job that is to be resumed was begun with; any other request as it is.

    Raises ConfigurationError where it has ended well.
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
    )


async def require_any(
    engine: Engine, tenants: Sequence[Tenant], missing: Mapping[TenantId, ConfigurationError]
) -> None:
    """Say at once, before Ray starts, that no tenant can be synced, and why not.

    *missing* is what is wrong with the secrets of some. Of several tenants, those that can be
    synced are, and the others are told of at the end.

    Raises:
        JobRunningError: the only tenant is being synced.
        ConfigurationError: each has a reason of its own.
    """
    jobs = JobStore(engine)
    reasons: dict[str, list[str]] = {}
    last: ConfigurationError | None = None
    for each in tenants:
        last = missing.get(each.id)
        if last is None:
            try:
                await jobs.require_free(each.id)
            except JobRunningError as error:
                last = error
            else:
                return
        reasons.setdefault(str(last), []).append(each.slug)
    if len(tenants) == 1 and last is not None:
        raise last
    told = " ".join(f"{', '.join(slugs)}: {reason}" for reason, slugs in reasons.items())
    raise ConfigurationError(f"None of the {len(tenants)} tenants can be synced. {told}")


async def chosen_tenants(engine: Engine, request: SyncRequest) -> list[Tenant]:
    """The tenants that were named, or all active ones, in the order in which they are begun.

    Raises UnknownTenantError.
    """
    store = TenantStore(engine)
    if request.tenants:
        return [await store.get(slug) for slug in dict.fromkeys(request.tenants)]
    active = [each for each in await store.in_turn() if each.status is TenantStatus.ACTIVE]
    if not active:
        raise UnknownTenantError(
            "There is no active tenant: add one with "
            "`raysync tenant add SLUG --guild ID --token-env NAME`, or let one that is paused be "
            "synced again with `raysync tenant unpause SLUG`."
        )
    return active


@dataclass(frozen=True, slots=True)
class Room:
    """For how much a run has room."""

    workers: int
    tenants: int  #: under way at the same time; the others wait for their turn


async def room_of(engine: Engine, request: SyncRequest, settings: Settings, tenants: int) -> Room:
    """As many workers as were asked for, and tenants for them, or as there are connections for.

    Raises:
        ConfigurationError: there are not even enough for one.
    """
    wanted = request.workers or settings.max_channel_workers
    each = settings.channel_batch_size
    state = await server_state(engine)
    free = state.max_connections - state.used_connections
    room = room_within(free, wanted, each, tenants)
    if room.workers < 1:
        raise ConfigurationError(
            f"The database has {free} of {state.max_connections} connections left, and a run needs "
            f"{OWN_CONNECTIONS + each} at least: raise max_connections, end what else uses it, "
            "or lower SYNC_CHANNEL_BATCH_SIZE."
        )
    if room.workers < wanted:
        _log.warning(
            "the database has connections for %d workers, not for %d", room.workers, wanted
        )
    return room


def room_within(connections: int, workers: int, slots: int, tenants: int) -> Room:
    """Of so many workers those for which there are connections, and tenants for them.

    A worker takes a connection for each of its *slots*; tenants take none of their own.
    """
    workers = min(workers, max((connections - OWN_CONNECTIONS) // slots, 0))
    return Room(workers, min(tenants, TENANTS_PER_WORKER * workers))


async def check_vault(extras: Extras, tenants: Sequence[Tenant]) -> None:
    """Say before anything is read where attachments cannot be kept."""
    if extras.files is not None:
        await asyncio.to_thread(open_blob_store(extras.files.url, tenants[0].guild_id).check)


def bound_to_here(settings: Settings, extras: Extras, tenants: Sequence[Tenant]) -> str | None:
    """Why workers must be on this machine, as the rest of a sentence on others; None: anywhere."""
    if settings.database_url is None:
        return (
            "cannot reach the embedded database: set RAYSYNC_DATABASE_URL to a PostgreSQL server "
            "that all of them reach."
        )
    if extras.files and open_blob_store(extras.files.url, tenants[0].guild_id).is_local:
        return (
            "would keep attachments in a folder of their own: name one place for all, as in "
            "--attachments s3://bucket/path."
        )
    return None
