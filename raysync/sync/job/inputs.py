"""Inputs of one job: the ports that it works through, and the limits of what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from raysync.clock import Clock
from raysync.models.events import JobHeader
from raysync.models.ids import ChannelId, TenantId, snowflake_at
from raysync.models.privacy import PeopleRules
from raysync.models.status import SyncType
from raysync.models.work import IdRange, SyncWindow
from raysync.sync.planning.planner import GuildPlanner
from raysync.sync.ports import ChannelCatalog, ChannelDispatcher, ProgressSink
from raysync.sync.retry import Retrier
from raysync.sync.window import kept_window, window_of

_EVERYBODY = PeopleRules()


@dataclass(frozen=True, slots=True)
class JobPorts:
    """Access of one job to Discord, the store, the workers and the clock."""

    planner: GuildPlanner
    catalog: ChannelCatalog
    dispatcher: ChannelDispatcher
    sink: ProgressSink
    clock: Clock
    retry: Retrier


@dataclass(frozen=True, slots=True)
class JobScope:
    """Limits of one job: message ids, look-back, and channels that are excluded."""

    header: JobHeader
    tenant_id: TenantId
    window: SyncWindow  #: as the user asked for it
    ids: IdRange  #: message ids to read: the window without ids past retention
    lookback_at: datetime  #: start of the look-back
    lookback_start: int  #: lowest message id of the look-back
    forgotten: frozenset[ChannelId]  #: channels that `raysync forget` excludes, with their threads

    @classmethod
    def of(
        cls,
        header: JobHeader,
        tenant_id: TenantId,
        window: SyncWindow,
        now: datetime,
        people: PeopleRules = _EVERYBODY,
    ) -> JobScope:
        """Return the limits of a job that starts *now*.

        Raises:
            ConfigurationError: the whole window is past the tenant's retention.
        """
        lookback_at = now - timedelta(seconds=window.lookback_s)
        return cls(
            header=header,
            tenant_id=tenant_id,
            window=window,
            ids=kept_window(window_of(window.since, window.until), people.before),
            lookback_at=lookback_at,
            lookback_start=snowflake_at(lookback_at),
            forgotten=people.channels,
        )

    @property
    def is_verification(self) -> bool:
        """True if the job compares lists, and reads no new messages."""
        return self.window.sync_type is SyncType.VERIFY

    @property
    def settles_archives(self) -> bool:
        """True if later runs can skip what the job reads of the lists of archived threads."""
        return self.window.is_whole and not self.is_verification

    @property
    def covers_guild(self) -> bool:
        """True if a channel that no list of the job names may be gone."""
        return not self.window.channels and not self.is_verification
