"""Events of Discord's gateway, as far as the archive keeps them, and the state of a tail."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from raysync.models.entities import BotMember, Channel, Guild, Message, Role
from raysync.models.ids import ChannelId, MessageId, TenantId


@dataclass(frozen=True, slots=True)
class Position:
    """Place in a session of the gateway, from which it can be resumed."""

    session_id: str
    resume_url: str
    sequence: int  #: all events up to it are stored


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Event as the gateway sent it."""

    sequence: int
    name: str  #: as in ``MESSAGE_CREATE``
    payload: dict[str, Any] = field(repr=False)
    received_s: float  #: monotonic


@dataclass(frozen=True, slots=True)
class IdentifyBudget:
    """Sessions that Discord still lets a bot begin. Beyond the last one it resets the token."""

    remaining: int
    total: int
    reset_after_s: float
    max_concurrency: int = 1  #: sessions that may begin in five seconds


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Address of the gateway, with the number of shards that the bot needs."""

    url: str
    shards: int
    budget: IdentifyBudget


@dataclass(frozen=True, slots=True)
class MessageSeen:
    """Message that was created or changed, whole."""

    channel_id: ChannelId
    message: Message
    has_reactions: bool = False  #: its reactions are all that there are; otherwise unknown


@dataclass(frozen=True, slots=True)
class MessagesGone:
    """Messages that were deleted."""

    channel_id: ChannelId
    message_ids: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class ReactionChange:
    """Reaction that somebody added to a message, or removed."""

    channel_id: ChannelId
    message_id: MessageId
    emoji: str
    count: int  #: 1 or -1; after folding, any number
    burst_count: int


@dataclass(frozen=True, slots=True)
class ReactionsCleared:
    """All reactions of a message were removed, or all with one emoji."""

    channel_id: ChannelId
    message_id: MessageId
    emoji: str | None  #: None: all


@dataclass(frozen=True, slots=True)
class Doubt:
    """Message whose present state an event does not tell. A settle pass reads it."""

    channel_id: ChannelId
    message_id: MessageId


@dataclass(frozen=True, slots=True)
class ChannelSeen:
    """Channel or thread that was created or changed."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class ChannelGone:
    """Channel or thread that was deleted."""

    channel_id: ChannelId


@dataclass(frozen=True, slots=True)
class GuildSeen:
    """Guild, as the gateway describes it at the start of a session and when the bot joins."""

    guild: Guild
    member: BotMember | None  #: the bot; None if its roles cannot be read
    channels: tuple[Channel, ...]  #: channels and active threads


@dataclass(frozen=True, slots=True)
class GuildChanged:
    """Guild whose owner, or something else of its own, has changed."""

    guild: Guild


@dataclass(frozen=True, slots=True)
class GuildGone:
    """Guild without events from now on."""

    is_outage: bool  #: Discord's own; otherwise the bot was removed


@dataclass(frozen=True, slots=True)
class RoleSeen:
    """Role that was created or changed."""

    role: Role


@dataclass(frozen=True, slots=True)
class RoleGone:
    """Role that was deleted."""

    role_id: int


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """Bot's own membership after a change of its roles."""

    member: BotMember


LiveEvent = (
    MessageSeen
    | MessagesGone
    | ReactionChange
    | ReactionsCleared
    | Doubt
    | ChannelSeen
    | ChannelGone
    | GuildSeen
    | GuildChanged
    | GuildGone
    | RoleSeen
    | RoleGone
    | MemberSeen
)


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """Changes of one guild to store in one transaction, each message once in each part."""

    events: int = 0  #: events that it stands for
    messages: tuple[MessageSeen, ...] = ()
    deleted: tuple[tuple[ChannelId, MessageId], ...] = ()
    cleared: tuple[ReactionsCleared, ...] = ()  #: before `reactions`
    reactions: tuple[ReactionChange, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    channels: tuple[Channel, ...] = ()
    gone_channels: tuple[ChannelId, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantBatch:
    """Batch of a tenant, read under the rules on people of an epoch."""

    tenant_id: TenantId
    rules_epoch: int
    batch: LiveBatch


@dataclass(frozen=True, slots=True)
class SessionLease:
    """Right to listen with a token's shard, until another process takes it."""

    fingerprint: str
    shard: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ListenedTenant:
    """State of a tenant's tail. The fields are columns of `tenant_listening`."""

    listened_since: datetime | None = None
    alive_at: datetime | None = None
    interrupted_at: datetime | None = None
    settled_at: datetime | None = None
    looked_back_at: datetime | None = None
    events: int = 0
    last_event_at: datetime | None = None
    events_a_minute: int | None = None
    lag_ms: int | None = None
    missed: int = 0
    gaps: int = 0
    is_alive: bool = False  #: a tail has said so lately
    identifies_left: int | None = None

    def unbroken_since(self, later: ListenedTenant | None) -> datetime | None:
        """Return since when everything was heard, up to *later*; None: not all, or not settled."""
        since = self.listened_since
        if since is None or later is None or later.listened_since != since:
            return None
        return since if self.settled_at is not None and self.settled_at >= since else None


@dataclass(frozen=True, slots=True)
class DoubtfulMessage:
    """Message that a settle pass has to read."""

    channel_id: ChannelId
    message_id: MessageId


@dataclass(frozen=True, slots=True)
class TailNote:
    """Something that a tail tells its user."""

    tenant: str
    event: str  #: listening, settled, interrupted, resumed or stopped
    at: datetime
    details: dict[str, object] = field(default_factory=dict)
