"""What the engine needs of the world. Adapters satisfy these by shape and never import them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from raysync.models.entities import BotIdentity, BotMember, Channel, Guild, Message
from raysync.models.extras import Extras
from raysync.models.ids import ChannelId, ChannelKey, GuildId, MessageId, UserId
from raysync.models.work import (
    ArchiveKey,
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
    """Lists what there is to sync. Every method raises the errors of `raysync.errors`."""

    async def identify(self) -> BotIdentity:
        """Say who the token is."""
        ...

    async def fetch_guild(self, guild_id: GuildId) -> Guild: ...

    async def fetch_member(self, guild_id: GuildId, user_id: UserId) -> BotMember: ...

    async def list_channels(self, guild_id: GuildId) -> Sequence[Channel]:
        """All channels of the guild, those the bot may not see included; never threads."""
        ...

    async def list_active_threads(self, guild_id: GuildId) -> Sequence[Channel]: ...

    def list_archived_threads(
        self, parent: Channel, *, private: bool, joined_only: bool = False
    ) -> AsyncIterator[Channel]:
        """The archived threads under *parent*, the last archived first, page after page."""
        ...

    def search_archived_threads(self, parent: Channel) -> AsyncIterator[Channel]:
        """The same by Discord's search, which knows announcement threads that no list has.

        Raises SearchIndexError while Discord has no index of them.
        """
        ...

    async def has_channel(self, channel_id: ChannelId) -> bool:
        """Whether the channel or thread exists, seen or not. NotFoundError where nobody says."""
        ...


class HistorySource(Protocol):
    """Reads messages."""

    async def fetch_after(
        self, channel_id: ChannelId, after: MessageId, limit: int, head_start_s: float = 0.0
    ) -> Sequence[Message]:
        """Up to *limit* messages above *after*: the oldest of them, in no promised order.

        Of the requests that wait for the token, it goes as if it had come *head_start_s* ago.
        """
        ...

    async def has_message(self, channel_id: ChannelId, message_id: MessageId) -> bool:
        """Whether the message is there. AccessDeniedError without the right to read it."""
        ...

    async def is_reachable(self) -> bool:
        """Whether Discord answers anything at all; asked anew, but not more than every seconds."""
        ...

    async def has_content_intent(self, *, anew: bool = False) -> bool:
        """Whether messages come with their content; unless *anew*, asked once a minute at most."""
        ...

    def pause_s(self, channel_id: ChannelId) -> float:
        """How long the next page of the channel would wait for the channel's rate limit."""
        ...

    def return_s(self, channel_id: ChannelId, pages: float) -> float:
        """When to come back to the channel for so many pages, at no loss."""
        ...

    def paged_ago_s(self, channel_id: ChannelId) -> tuple[float, ...]:
        """When pages of the channel were read, as far as they still count: seconds ago."""
        ...

    def take_over(self, channel_id: ChannelId, paged_ago_s: Sequence[float]) -> None:
        """Go on with a channel where another worker read pages so many seconds ago."""
        ...

    def assume_exhausted(self, channel_id: ChannelId, ago_s: float) -> None:
        """Count the channel's limit as used up so long ago: by whom and how far is not known."""
        ...


class PageStore(Protocol):
    """Keeps what a worker reads; see `raysync.store.archive.pages`."""

    async def claim(self, task: ChannelTask, worker_id: str) -> Claim | None:
        """Take the channel, or None where another worker's lease on it lives."""
        ...

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        """Write the page, its coverage and its checkpoint in one transaction; renew the lease.

        Raises:
            ClaimLostError: another worker took over; nothing was written.
            StoreRestartedError: the server was started anew since the claim; nothing was written.
        """
        ...

    async def renew(self, claim: Claim) -> None:
        """Keep the lease while nothing is written. Raises ClaimLostError."""
        ...

    async def release(self, claim: Claim, outcome: ChannelOutcome) -> None:
        """Give the channel back and record how the attempt ended; no error if it was lost."""
        ...


class ChannelCatalog(Protocol):
    """The store's list of a tenant's channels."""

    async def record(self, channels: Sequence[Channel]) -> Mapping[ChannelId, StoredChannel]:
        """Insert or update *channels* and return what is stored of each."""
        ...

    async def listings(self) -> Mapping[ArchiveKey, datetime]:
        """Up to which time of archival each list of archived threads was read, threads and all."""
        ...

    async def note_listings(self, until: Mapping[ArchiveKey, datetime]) -> None:
        """Keep that; an earlier time than the one known changes nothing."""
        ...

    async def plan_rechecks(
        self, requests: int, before: int, readable: Collection[ChannelId]
    ) -> Sequence[Recheck]:
        """Old pages, those read longest ago first, as many as so many requests read again.

        They are of *readable* channels alone, and below *before*, the message id where the
        look-back begins.
        """
        ...

    async def plan_sample(self, pages: int, readable: Collection[ChannelId]) -> Sequence[Recheck]:
        """So many pages of stored messages of *readable* channels, chosen at random."""
        ...

    async def plan_leftovers(self, extras: Extras, window: IdRange) -> Sequence[Recheck]:
        """The channels where extras of messages in *window* are missing, news or none."""
        ...

    async def note_rechecks(
        self, done: Mapping[ChannelKey, int | None], began_at: datetime
    ) -> None:
        """Keep up to where old messages were compared (None: all) in a run that *began_at* then."""
        ...

    async def letters(self) -> Mapping[ChannelId, DeadLetterNote]:
        """The channels that were given up and have not been read to their end since."""
        ...

    async def known(self) -> Sequence[KnownChannel]:
        """Every channel and thread that is not marked as deleted."""
        ...

    async def mark_deleted(self, channels: Collection[ChannelId]) -> None:
        """Mark channels as gone; their messages are kept as they are."""
        ...


class ChannelDispatcher(Protocol):
    """Runs channel tasks somewhere."""

    async def run(self, task: ChannelTask) -> ChannelOutcome:
        """Have it synced, in as many visits as it takes; a failure is an outcome."""
        ...


class ProgressSink(Protocol):
    """Takes in what happens in a job."""

    async def plan(self, tasks: Sequence[ChannelTask], skipped: Sequence[Skipped]) -> None:
        """Add planned channels; a channel that is known already is left as it is."""
        ...

    async def planned(self) -> None:
        """No more channels will be planned."""
        ...

    async def settle(self, outcome: ChannelOutcome) -> None:
        """Record how an attempt at a channel ended."""
        ...
