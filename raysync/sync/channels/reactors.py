"""Reactors: the users who reacted to a message, read where the counts changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from raysync.errors import (
    PayloadError,
    PermanentError,
    UnknownEmojiError,
    UnknownMessageError,
)
from raysync.models.extras import ExtraTally, ReactionCount, Reactor, ReactorPage
from raysync.models.ids import ChannelId, MessageId, UserId
from raysync.models.work import Claim
from raysync.sync.channels.extras import Visit, run_together

REACTIONS_AT_ONCE = 100
"""Number of due reactions that are fetched from the store at a time."""
LISTS_AT_ONCE = 5
"""Number of reactor lists that one channel reads side by side."""


class ReactorSource(Protocol):
    """Lists of the users who reacted."""

    async def fetch_reactors(
        self,
        channel_id: ChannelId,
        message_id: MessageId,
        emoji: str,
        *,
        burst: bool,
        after: UserId | None,
    ) -> ReactorPage: ...


class ReactorStore(Protocol):
    """Storage of reactors; see `raysync.store.archive.extras`."""

    async def unread_reactions(
        self, claim: Claim, last: ReactionCount | None, most: int
    ) -> Sequence[ReactionCount]:
        """Return at most *most* due reactions after *last*, ordered by message and emoji."""
        ...

    async def count_unread(self, claim: Claim) -> int:
        """Return the number of requests that all due reactions take."""
        ...

    async def save_reactors(
        self,
        claim: Claim,
        reaction: ReactionCount,
        reactors: Sequence[Reactor] | None,
        *,
        is_whole: bool,
    ) -> None:
        """Store the reactors of one reaction, and note its counts as read.

        With *is_whole* they replace those stored before; otherwise they are added to them. None
        leaves the stored ones unchanged.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reactors:
    """Extra that reads the users of reactions with counts that changed since the last reading."""

    source: ReactorSource
    store: ReactorStore

    async def due(self, visit: Visit) -> int:
        """Return the number of missing requests; see `Extra`."""
        return await visit.retry(lambda: self.store.count_unread(visit.claim))

    async def read(self, visit: Visit) -> bool:
        """Read all due reactions; see `Extra`."""
        last: ReactionCount | None = None
        while True:
            due = await self._next_due(visit, last)
            if not due:
                return True
            last = due[-1]
            for start in range(0, len(due), LISTS_AT_ONCE):
                if visit.gives_way():
                    return False
                batch = due[start : start + LISTS_AT_ONCE]
                await run_together([self._read_one(visit, reaction) for reaction in batch])

    async def _next_due(self, visit: Visit, last: ReactionCount | None) -> Sequence[ReactionCount]:
        return await visit.retry(
            lambda: self.store.unread_reactions(visit.claim, last, REACTIONS_AT_ONCE)
        )

    async def _read_one(self, visit: Visit, reaction: ReactionCount) -> None:
        is_whole = True

        def note(page: ReactorPage) -> None:
            nonlocal is_whole
            is_whole &= page.is_whole

        reactors = await self._reactors(visit, reaction, note)
        await visit.retry(
            lambda: self.store.save_reactors(visit.claim, reaction, reactors, is_whole=is_whole)
        )
        visit.count(ExtraTally(reactors=len(reactors or ()), extras_done=reaction.requests))

    async def _reactors(
        self, visit: Visit, reaction: ReactionCount, note: Callable[[ReactorPage], None]
    ) -> Sequence[Reactor] | None:
        """Return who reacted; None if Discord does not list them, which proves nothing."""
        normal, burst = set[str](), set[str]()
        try:
            if reaction.count > reaction.burst_count:
                normal = await self._all_refs(visit, reaction, note, burst=False)
            if reaction.burst_count:
                burst = await self._all_refs(visit, reaction, note, burst=True)
        except (UnknownMessageError, UnknownEmojiError):
            return None
        except PermanentError as error:
            if type(error) not in (PermanentError, PayloadError):
                raise
            return None  # Only this list is refused. The lists after it are still read.
        found = [
            Reactor(ref, (ref in normal) + (ref in burst), int(ref in burst))
            for ref in sorted(normal | burst)
        ]
        return found or None

    async def _all_refs(
        self,
        visit: Visit,
        reaction: ReactionCount,
        note: Callable[[ReactorPage], None],
        *,
        burst: bool,
    ) -> set[str]:
        refs: set[str] = set()
        after: UserId | None = None
        while True:
            page = await self._page(visit, reaction, burst, after)
            refs.update(page.refs)
            note(page)
            if page.next_after is None:
                return refs
            after = page.next_after

    async def _page(
        self, visit: Visit, reaction: ReactionCount, burst: bool, after: UserId | None
    ) -> ReactorPage:
        return await visit.retry(
            lambda: self.source.fetch_reactors(
                visit.channel_id, reaction.message_id, reaction.emoji, burst=burst, after=after
            )
        )
