"""Ports of the live tail. Adapters satisfy these protocols by shape and never import them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from raysync.models.ids import ChannelId, TenantId
from raysync.models.live import (
    Dispatch,
    GatewayAddress,
    ListenedTenant,
    LiveEvent,
    Position,
    SessionLease,
    TenantBatch,
)


class Connection(Protocol):
    """Open connection to the gateway."""

    @property
    def heard_s(self) -> float:
        """Monotonic time of the last frame that Discord sent."""
        ...

    async def receive(self) -> Dispatch:
        """Return the next event. Raises GatewayClosedError at the end of the connection."""
        ...

    def confirm(self, sequence: int) -> None:
        """Tell Discord that all events up to *sequence* are stored."""
        ...

    async def close(self) -> None:
        """Close the connection so that the session can be resumed."""
        ...


class GatewaySource(Protocol):
    """One token's access to the gateway."""

    async def address(self) -> GatewayAddress:
        """Ask Discord for the gateway's address, and for how many sessions may still begin."""
        ...

    async def connect(
        self, url: str, position: Position | None = None, shard: int = 0, shards: int = 1
    ) -> Connection:
        """Continue the session of *position*, or begin a new one.

        Raises GatewayClosedError where the connection cannot be opened now.
        """
        ...


class EventStore(Protocol):
    """Store of events with the position that they reach."""

    async def write(
        self, lease: SessionLease, position: Position | None, batches: Sequence[TenantBatch]
    ) -> None:
        """Store all or nothing.

        Raises:
            SessionTakenError: another process listens by now.
            RulesChangedError: a tenant's rules changed; read the events again under the new ones.
        """
        ...


class IdentifyLog(Protocol):
    """Record of the sessions that were begun with a token."""

    async def note_identify(self, lease: SessionLease, left: int) -> None:
        """Count a session that is about to begin."""
        ...

    async def identify_ages_s(self, fingerprint: str, within_s: float) -> Sequence[float]:
        """Return how many seconds ago sessions began, the oldest first."""
        ...


class ListeningLog(Protocol):
    """Record of what each tenant's tail has heard without a gap."""

    async def state(self, tenant_id: TenantId) -> ListenedTenant | None:
        """Return what is known of a tenant's tail; None: it never had one."""
        ...

    async def begin(self, tenants: Collection[TenantId]) -> None:
        """Note that everything that happens from now on is stored."""
        ...

    async def lose(self, tenants: Collection[TenantId]) -> None:
        """Note that events were lost."""
        ...

    async def interrupt(self, tenants: Collection[TenantId]) -> None:
        """Note that the connection broke."""
        ...

    async def beat(
        self, tenant_id: TenantId, events_a_minute: int | None = None, lag_ms: int | None = None
    ) -> None:
        """Note that the tail is connected and has stored what it received."""
        ...


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """Rules on people by which a tenant's events are read."""

    epoch: int
    read: Callable[[Dispatch], Sequence[LiveEvent]]
    forgotten: Collection[ChannelId]
    horizon: Callable[[datetime], int]  #: lowest message id that may be kept at a time
