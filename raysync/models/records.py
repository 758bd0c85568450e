"""What the store tells about jobs, long after they ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from raysync.models.events import JobView
from raysync.models.ids import ChannelId, JobId, MessageId, TenantId
from raysync.models.results import SyncJobResult
from raysync.models.status import FailureClass, JobStatus
from raysync.models.work import SyncWindow


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """A message that is stored, and of which some fields could not be read."""

    channel_id: ChannelId
    channel: str  #: its name
    message_id: MessageId
    fields: tuple[str, ...]  #: those that could not; "payload": nothing of it is kept


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A tenant's messages that could not be read whole, as they are now."""

    messages: int = 0
    channels: int = 0  #: that hold some
    first: tuple[QuarantinedMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class LockRecord:
    """Holder of a tenant's lock, alive or vanished."""

    host: str  #: its machine
    taken_at: datetime
    renewed_at: datetime  #: last sign of life ...
    seen_ago_s: float  #: ... and its age, by the database's clock
    is_held: bool  #: False: the holder is gone, and the next one may take the lock


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it is stored: enough to show it, and to resume it."""

    id: JobId
    tenant_id: TenantId
    tenant: str  #: the slug
    status: JobStatus
    window: SyncWindow
    ray_job_id: str | None
    started_at: datetime
    completed_at: datetime | None
    heartbeat_age_s: float  #: by the database's clock
    error: str | None  #: why it stopped, where it stopped by itself
    view: JobView | None  #: as last saved, its channels from their own rows
    result: SyncJobResult | None
    compared_since: datetime | None = None  #: every message stored was compared since then
    quarantine: Quarantine = field(default_factory=Quarantine)  #: of its tenant, now
    driver: LockRecord | None = None  #: of a running job, as its tenant's lock says
    is_abandoned: bool = False  #: it counts as running, and no driver holds its tenant


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A channel that was given up and has not been read to its end since."""

    channel_id: ChannelId
    name: str
    job_id: JobId  #: the last job that gave it up
    failure_class: FailureClass
    error: str  #: the class of the error
    message: str
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class LearnedLimit:
    """A limit as Discord's own answers revealed it."""

    route: str
    bucket: str
    limit: int  #: requests ...
    window_s: float  #: ... in so many seconds
    source: str = "refusal"
    form: str = "unknown"


@dataclass(frozen=True, slots=True)
class BelievedLimit:
    """A limit that was learned, and until when it is believed if nothing is heard of it."""

    limit: LearnedLimit
    until: datetime


@dataclass(frozen=True, slots=True)
class ShareClaim:
    """What one governor has of a token's requests per second, and has a use for."""

    requested: int
    granted: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what."""

    at: datetime
    actor: str  #: as the client's machine names its user
    action: str
    tenant: str | None
    details: Mapping[str, Any] = field(default_factory=dict)
    db_role: str | None = None  #: role that was connected; None: an entry of before it was kept
