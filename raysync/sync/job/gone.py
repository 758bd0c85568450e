"""Verdict on channels that exist no more: Discord confirms each one before it is marked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from raysync.errors import (
    NotFoundError,
    PermanentError,
    PermitUnavailableError,
    RetryableError,
    RouteMissingError,
    StoreUnavailableError,
    UnknownChannelError,
)
from raysync.models import channel_types
from raysync.models.ids import ChannelId
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome
from raysync.sync.job.inputs import JobPorts, JobScope
from raysync.sync.job.ledger import JobLedger
from raysync.sync.job.outcome import Trouble

UNLISTED = "not read: the channel exists, but Discord's list of the guild's channels lacks it"


@dataclass(frozen=True, slots=True)
class GoneChannels:
    """Stored channels that no list names: those that Discord denies are marked as gone."""

    scope: JobScope
    ports: JobPorts
    ledger: JobLedger

    async def mark_unlisted(
        self, whole: Collection[ChannelId], vanished: Collection[ChannelId] = ()
    ) -> None:
        """Mark stored channels that no list names, once Discord says that they do not exist.

        *whole* are the channels whose list of archived threads was read to its end, *vanished* the
        threads that were active before and would be in the part that was read. Other threads may be
        in a part that was not read; they are marked only together with their channel. A
        channel that exists although the guild's list lacks it is reported as not read. A run of
        named channels, or a verification, marks nothing.
        """
        if not self.scope.covers_guild:
            return
        known = await self.ports.retry(self.ports.catalog.known)
        seen = self.ledger.seen
        gone: set[ChannelId] = set()
        for channel in known:
            is_thread = channel.type in channel_types.THREADS
            listable = channel.id in vanished or (
                channel.type != channel_types.PRIVATE_THREAD and channel.parent_id in whole
            )
            if channel.id in seen or (is_thread and not listable):
                continue
            exists = await self._ask(channel.id)
            if exists is False:
                gone.add(channel.id)
            elif exists and not is_thread:
                self.ledger.troubles.append(Trouble(channel.id, UNLISTED))
        gone |= {
            channel.id
            for channel in known
            if channel.type in channel_types.THREADS
            and channel.id not in seen
            and channel.parent_id in gone
        }
        await self._mark(gone)

    async def settle_named(self) -> None:
        """Report channels that the user named and no list holds; mark those that are gone.

        Raises:
            UnknownChannelError: Discord and the store know none of the named channels.
        """
        named, seen = self.scope.window.channels, self.ledger.seen
        unseen = named - seen
        known = await self.ports.retry(self.ports.catalog.known) if unseen else ()
        stored = {channel.id for channel in known}
        gone = {channel_id for channel_id in unseen & stored if not await self._exists(channel_id)}
        await self._mark(gone)
        unknown = sorted(unseen - gone)
        hint = self.ports.planner.uncovered.hint()
        if unknown and len(unknown) == len(named):
            listed = ", ".join(str(channel_id) for channel_id in unknown)
            raise UnknownChannelError(
                f"The bot sees no channel or thread {listed} in this guild. Check the ids "
                f"(Discord, User Settings, Advanced, Developer Mode; then Copy Channel ID).{hint}"
            )
        for channel_id in unknown:
            message = f"The bot sees no channel or thread with this id.{hint}"
            self.ledger.troubles.append(Trouble(channel_id, message))
        seen |= gone

    async def resolve(self, outcome: ChannelOutcome) -> ChannelOutcome:
        """Return *outcome* as completed, and mark the channel, if it was deleted meanwhile."""
        failure = outcome.failure
        if failure is None or failure.error != NotFoundError.__name__:
            return outcome
        if await self._exists(outcome.channel_id):
            return outcome
        await self._mark({outcome.channel_id})
        return replace(outcome, status=ChannelJobStatus.COMPLETED, failure=None)

    async def _exists(self, channel_id: ChannelId) -> bool:
        """Return whether Discord has the channel; true unless Discord denies it."""
        return await self._ask(channel_id) is not False

    async def _ask(self, channel_id: ChannelId) -> bool | None:
        """Return whether Discord has the channel; None, with a report, if it does not say."""
        source, uncovered = self.ports.planner.source, self.ports.planner.uncovered
        try:
            return await self.ports.retry(lambda: source.has_channel(channel_id))
        except (StoreUnavailableError, PermitUnavailableError):
            raise
        except RouteMissingError as error:
            uncovered.note(error, channel_id)
        except (RetryableError, PermanentError) as error:
            message = f"cannot find out whether it exists: {error}"
            self.ledger.troubles.append(Trouble(channel_id, message))
        return None

    async def _mark(self, channels: Collection[ChannelId]) -> None:
        """Mark channels as gone; their messages stay stored."""
        if channels:
            self.ledger.gone.update(channels)
            await self.ports.retry(lambda: self.ports.catalog.mark_deleted(channels))
