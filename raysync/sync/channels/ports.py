"""The ports and settings that the reading of a channel needs, as one frozen value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from raysync.clock import Clock
from raysync.models.ids import ChannelId
from raysync.sync.channels.extras import Extra
from raysync.sync.ports import ChannelBucket, HistorySource, PageStore
from raysync.sync.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class ChannelPorts:
    """The world as one worker's channels see it, for one job."""

    source: HistorySource
    bucket_of: Callable[[ChannelId], ChannelBucket]
    store: PageStore
    policy: RetryPolicy
    clock: Clock
    worker_id: str
    page_size: int = 100  #: messages
    extras: Sequence[Extra] = ()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
