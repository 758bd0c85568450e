"""Records of the store on jobs, tenants and limits, which outlive a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from raysync.models.events import JobView
from raysync.models.ids import ChannelId, JobId, MessageId, TenantId
from raysync.models.live import ListenedTenant
from raysync.models.results import SyncJobResult
from raysync.models.status import FailureClass, JobStatus
from raysync.models.work import SyncWindow


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """Stored message with fields that could not be read."""

    channel_id: ChannelId
    channel: str  #: its name
    message_id: MessageId
    fields: tuple[str, ...]  #: unreadable fields; "payload": the whole payload was dropped


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Present messages of a tenant with fields that could not be read."""

    messages: int = 0
    channels: int = 0  #: channels with such messages
    first: tuple[QuarantinedMessage, ...] = ()
    has_more: bool = False  #: there are more: `messages` and `channels` are lower bounds


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
    """Stored job: enough to show it, and to resume it."""

    id: JobId
    tenant_id: TenantId
    tenant: str  #: the slug
    status: JobStatus
    window: SyncWindow
    ray_job_id: str | None
    started_at: datetime
    completed_at: datetime | None
    heartbeat_age_s: float  #: by the database's clock
    error: str | None  #: reason of its end, if it stopped by itself
    view: JobView | None  #: as last saved, with channels from their own rows
    result: SyncJobResult | None
    compared_since: datetime | None = None  #: every stored message was compared since then
    quarantine: Quarantine = field(default_factory=Quarantine)  #: of its tenant, at present
    tail: ListenedTenant | None = None  #: of its tenant, at present; None: it never had one
    driver: LockRecord | None = None  #: of a running job, as its tenant's lock says
    is_abandoned: bool = False  #: its status is running, but no driver holds its tenant's lock


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Channel that was given up, and has not been read to its end since."""

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
    """Rate limit that Discord's answers revealed."""

    route: str
    bucket: str
    limit: int  #: requests per window
    window_s: float  #: length of the window, in seconds
    source: str = "refusal"
    form: str = "unknown"


@dataclass(frozen=True, slots=True)
class BelievedLimit:
    """Learned limit with its expiry."""

    limit: LearnedLimit
    until: datetime  #: expiry, unless an answer confirms the limit before


@dataclass(frozen=True, slots=True)
class ShareClaim:
    """Share of one governor in a token's requests per second: requested and granted."""

    requested: int
    granted: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Entry of the audit log."""

    at: datetime
    actor: str  #: name of the user on the client's machine
    action: str
    tenant: str | None
    details: Mapping[str, Any] = field(default_factory=dict)
    db_role: str | None = None  #: connected database role; None in entries of earlier versions
