"""The ports of the sync engine. Adapters satisfy these protocols by shape and never import them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from raysync.models.entities import BotIdentity, BotMember, Channel, Guild, Message
from raysync.models.extras import Extras
from raysync.models.ids import ChannelId, ChannelKey, GuildId, MessageId, UserId
from raysync.models.work import (
    ArchiveKey,
    ArchiveRecord,
    ChannelOutcome,
    ChannelTask,
    Claim,
    DeadLetterNote,
    IdRange,
    KnownChannel,
    PageReceipt,
    PageWrite,
    Recheck,
    Skipped,
    StoredChannel,
)


class GuildSource(Protocol):
    """The lists of a guild. Every method raises the errors of `raysync.errors`."""

    async def identify(self) -> BotIdentity:
        """Return the identity of the token's bot."""
        ...

    async def fetch_guild(self, guild_id: GuildId) -> Guild: ...

    async def fetch_member(self, guild_id: GuildId, user_id: UserId) -> BotMember: ...

    async def list_channels(self, guild_id: GuildId) -> Sequence[Channel]:
        """List all channels of the guild, also those the bot may not see; never threads."""
        ...

    async def list_active_threads(self, guild_id: GuildId) -> Sequence[Channel]: ...

    def list_archived_threads(
        self, parent: Channel, *, private: bool, joined_only: bool = False
    ) -> AsyncIterator[Channel]:
        """Yield the archived threads under *parent*, the last archived first."""
        ...

    def search_archived_threads(self, parent: Channel) -> AsyncIterator[Channel]:
        """Yield archived threads by Discord's search, which finds threads that no list has.

        Raises SearchIndexError while Discord has no index of them.
        """
        ...

    async def has_channel(self, channel_id: ChannelId) -> bool:
        """Return whether the channel or thread exists, even if the bot may not see it.

        Raises NotFoundError where a 404 does not say so with a code of Discord's.
        """
        ...


class HistorySource(Protocol):
    """The messages of a guild's channels."""

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int
    ) -> Sequence[Message]:
        """Fetch the oldest *limit* messages above *after*, in no promised order."""
        ...

    async def has_message(self, channel_id: ChannelId, message_id: MessageId) -> bool:
        """Return whether the message exists.

        Raises AccessDeniedError without the permission to read it.
        """
        ...

    async def is_reachable(self) -> bool:
        """Return whether Discord answers anything at all; cached for a few seconds."""
        ...

    async def has_content_intent(self, *, anew: bool = False) -> bool:
        """Return whether messages come with their content; cached for a minute, unless *anew*."""
        ...


class ChannelBucket(Protocol):
    """The rate-limit bucket of one channel's pages."""

    head_start_s: float
    """Head start of the next page over other requests that wait for a permit, in seconds."""

    def pause_s(self) -> float:
        """Return how long the next page would wait for the bucket, in seconds."""
        ...

    def return_s(self, requests: float) -> float:
        """Return when to come back for so many pages, in seconds, without losing any time."""
        ...

    def ages_s(self) -> tuple[float, ...]:
        """Return how many seconds ago the pages were read that still count."""
        ...

    def restore(self, ages_s: Iterable[float]) -> None:
        """Count the pages that another worker read so many seconds ago."""
        ...

    def assume_exhausted(self, ago_s: float) -> None:
        """Count the bucket as used up *ago_s* seconds ago, by an unknown number of pages."""
        ...


class PageStore(Protocol):
    """The store of the pages that a worker reads; see `raysync.store.archive.pages`."""

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
        """Claim the channel; return None while another worker holds a lease on it."""
        ...

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        """Write the page, its coverage and its checkpoint in one transaction; renew the lease.

        Raises:
            ClaimLostError: another worker took over; nothing was written.
            StoreRestartedError: the server restarted after the claim; nothing was written.
        """
        ...

    async def renew(self, claim: Claim) -> None:
        """Renew the lease while nothing is written. Raises ClaimLostError."""
        ...

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        """Release the claim and record the attempt's outcome; a lost claim is no error."""
        ...


class ChannelCatalog(Protocol):
    """The store's list of a tenant's channels."""

    async def record(self, channels: Sequence[Channel]) -> Mapping[ChannelId, StoredChannel]:
        """Insert or update *channels* and return what is stored of each."""
        ...

    async def listings(self) -> Mapping[ArchiveKey, ArchiveRecord]:
        """Return what is known of each list of archived threads that was compared before."""
        ...

    async def note_listings(self, listings: Mapping[ArchiveKey, ArchiveRecord]) -> None:
        """Store the comparisons of lists; an earlier watermark than the stored one stays out."""
        ...

    async def plan_rechecks(
        self, requests: int, before: int, readable: Collection[ChannelId]
    ) -> Sequence[Recheck]:
        """Choose old pages to read again, those read longest ago first, for so many requests.

        The pages are of *readable* channels, and below *before*, the message id where the
        look-back begins.
        """
        ...

    async def plan_sample(self, pages: int, readable: Collection[ChannelId]) -> Sequence[Recheck]:
        """Choose so many pages of stored messages at random, from *readable* channels."""
        ...

    async def plan_messages(
        self, messages: Collection[tuple[ChannelId, MessageId]], readable: Collection[ChannelId]
    ) -> Sequence[Recheck]:
        """Return the pages with these *messages* of *readable* channels."""
        ...

    async def plan_leftovers(self, extras: Extras, window: IdRange) -> Sequence[Recheck]:
        """List the channels where extras of messages in *window* are missing.

        They need not have new messages.
        """
        ...

    async def note_rechecks(
        self, done: Mapping[ChannelKey, int | None], began_at: datetime
    ) -> None:
        """Record up to where a run that began at *began_at* compared old messages (None: all)."""
        ...

    async def letters(self) -> Mapping[ChannelId, DeadLetterNote]:
        """Return the dead letters of channels that were not read to their end since."""
        ...

    async def known(self) -> Sequence[KnownChannel]:
        """List every channel and thread that is not marked as deleted."""
        ...

    async def mark_deleted(self, channels: Collection[ChannelId]) -> None:
        """Mark channels as deleted; their messages are kept as they are."""
        ...


class ChannelDispatcher(Protocol):
    """The place where channel tasks run."""

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        """Sync a channel, in as many visits as it takes; a failure is an outcome."""
        ...


class ProgressSink(Protocol):
    """The receiver of a job's progress."""

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        """Add planned channels; a channel that is already known stays as it is."""
        ...

    async def planned(self) -> None:
        """Note that no more channels will be planned."""
        ...

    async def settle(self, outcome: ChannelOutcome) -> None:
        """Record the outcome of an attempt at a channel."""
        ...
