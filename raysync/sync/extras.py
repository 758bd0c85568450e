"""What is read after a channel's messages: who reacted, and attachments' bytes.

Both begin with what the store says is missing, and write each piece when it is there: a run that
is cut short goes on with what is still missing, and one that has nothing to do asks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from raysync.errors import (
    AttachmentBrokenError,
    AttachmentGoneError,
    PayloadError,
    PermanentError,
    RetryableError,
    UnknownEmojiError,
    UnknownMessageError,
)
from raysync.models.extras import (
    ExtraTally,
    FileRules,
    MissingFile,
    ReactionCount,
    Reactor,
    ReactorPage,
    StoredFile,
)
from raysync.models.ids import ChannelId, MessageId, UserId
from raysync.models.work import Claim
from raysync.sync.groups import first_error
from raysync.sync.retry import Retrier

REACTIONS_AT_ONCE = 100
FILES_AT_ONCE = 50
"""As many addresses as Discord signs anew in one request."""
LISTS_AT_ONCE = 5
DOWNLOADS_AT_ONCE = 8
"""Of one job in one worker: each takes room in the temporary folder."""
FAILURES_IN_A_ROW = 12
"""So many files that cannot be had, one after another, are the CDN's downloads, not theirs."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The stay at a channel in which extras are read."""

    claim: Claim
    again: Retrier
    gives_way: Callable[[], bool]  #: whether messages of other channels wait for the slot
    count: Callable[[ExtraTally], None]

    @property
    def channel_id(self) -> ChannelId:
        return self.claim.task.channel_id


class Extra(Protocol):
    """Something that is read after the messages."""

    async def due(self, visit: Visit) -> int:
        """Count the requests, or files, that are missing: for an estimate."""
        ...

    async def read(self, visit: Visit) -> bool:
        """Read all of it that is missing. False: it gave way before."""
        ...


class ReactorSource(Protocol):
    """Tells who reacted."""

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
    """Keeps who reacted; see `raysync.store.archive.extras`."""

    async def unread_reactions(
        self, claim: Claim, last: ReactionCount | None, most: int
    ) -> Sequence[ReactionCount]:
        """What is due behind *last*, by message and emoji."""
        ...

    async def count_unread(self, claim: Claim) -> int:
        """How many requests that is in all."""
        ...

    async def save_reactors(
        self,
        claim: Claim,
        reaction: ReactionCount,
        reactors: Sequence[Reactor] | None,
        *,
        is_whole: bool,
    ) -> None:
        """These have reacted; None: as before. The counts are read now.

        Nobody else has, where that *is_whole*: else those known before are kept beside them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reactors:
    """Reads who reacted, where the counts have changed since it was read."""

    source: ReactorSource
    store: ReactorStore

    async def due(self, visit: Visit) -> int:
        """See `Extra`."""
        return await visit.again(lambda: self.store.count_unread(visit.claim))

    async def read(self, visit: Visit) -> bool:
        """See `Extra`."""
        last: ReactionCount | None = None
        while True:
            due = await self._due(visit, last)
            if not due:
                return True
            last = due[-1]
            for start in range(0, len(due), LISTS_AT_ONCE):
                if visit.gives_way():
                    return False
                some = due[start : start + LISTS_AT_ONCE]
                await _side_by_side([self._read(visit, each) for each in some])

    async def _due(self, visit: Visit, last: ReactionCount | None) -> Sequence[ReactionCount]:
        return await visit.again(
            lambda: self.store.unread_reactions(visit.claim, last, REACTIONS_AT_ONCE)
        )

    async def _read(self, visit: Visit, reaction: ReactionCount) -> None:
        is_whole = True

        def note(page: ReactorPage) -> None:
            nonlocal is_whole
            is_whole &= page.is_whole

        reactors = await self._reactors(visit, reaction, note)
        await visit.again(
            lambda: self.store.save_reactors(visit.claim, reaction, reactors, is_whole=is_whole)
        )
        visit.count(ExtraTally(reactors=len(reactors or ()), extras_done=reaction.requests))

    async def _reactors(
        self, visit: Visit, reaction: ReactionCount, note: Callable[[ReactorPage], None]
    ) -> Sequence[Reactor] | None:
        """Who reacted; None where that is not to be had, which proves nothing of who did."""
        normal, burst = set[str](), set[str]()
        try:
            if reaction.count > reaction.burst_count:
                normal = await self._all(visit, reaction, note, burst=False)
            if reaction.burst_count:
                burst = await self._all(visit, reaction, note, burst=True)
        except (UnknownMessageError, UnknownEmojiError):
            return None
        except PermanentError as error:
            if type(error) not in (PermanentError, PayloadError):
                raise
            return None  # of this one alone: those behind it are to be read all the same
        found = [
            Reactor(ref, (ref in normal) + (ref in burst), int(ref in burst))
            for ref in sorted(normal | burst)
        ]
        return found or None

    async def _all(
        self,
        visit: Visit,
        reaction: ReactionCount,
        note: Callable[[ReactorPage], None],
        *,
        burst: bool,
    ) -> set[str]:
        found: set[str] = set()
        after: UserId | None = None
        while True:
            page = await self._page(visit, reaction, burst, after)
            found.update(page.refs)
            note(page)
            if page.next_after is None:
                return found
            after = page.next_after

    async def _page(
        self, visit: Visit, reaction: ReactionCount, burst: bool, after: UserId | None
    ) -> ReactorPage:
        return await visit.again(
            lambda: self.source.fetch_reactors(
                visit.channel_id, reaction.message_id, reaction.emoji, burst=burst, after=after
            )
        )


class FileSource(Protocol):
    """Signs addresses anew, and reads what is behind them."""

    async def sign_anew(
        self, channel_id: ChannelId, files: Sequence[MissingFile]
    ) -> Mapping[int, str]:
        """Fresh addresses by attachment; one that is gone is missing."""
        ...

    async def look_up(self, channel_id: ChannelId, file: MissingFile) -> str | None:
        """A fresh address as the file's message says it; None where either is gone."""
        ...

    def download(self, url: str, file: MissingFile, start: int) -> AsyncIterator[bytes]:
        """The file's bytes from *start* on; they are complete where it ends without an error.

        Raises:
            AttachmentGoneError: the address leads nowhere, or is no longer valid.
            AttachmentBrokenError: what came is not the file; begin anew.
            RetryableError: it was cut short; go on from there.
        """
        ...


class FileDraft(Protocol):
    """Bytes on their way into the vault."""

    size: int

    def write(self, chunk: bytes) -> None: ...

    def restart(self) -> None:
        """Forget what was written."""
        ...

    async def keep(self) -> StoredFile:
        """Put it into the vault. Raises FileVaultError."""
        ...


class FileVault(Protocol):
    """Where bytes are kept; see `raysync.store.archive.blobs`."""

    def draft(self) -> AbstractAsyncContextManager[FileDraft]: ...


class FileStore(Protocol):
    """Knows which attachments' bytes are stored; see `raysync.store.archive.extras`."""

    async def missing_files(
        self, claim: Claim, rules: FileRules, last: MissingFile | None, most: int
    ) -> Sequence[MissingFile]:
        """What is due behind *last*, by message and attachment."""
        ...

    async def count_missing(self, claim: Claim, rules: FileRules) -> int:
        """How many files that is in all."""
        ...

    async def note_file(self, claim: Claim, file: MissingFile, stored: StoredFile) -> None: ...

    async def note_missed(self, claim: Claim, file: MissingFile, why: str) -> None:
        """Try it again later: after an hour at first, then ever more rarely."""
        ...


@dataclass(slots=True)
class Cdn:
    """Tells a CDN that is away from files that cannot be had: no more is noted against those."""

    failures_in_a_row: int = 0  #: of a worker, whatever the channels

    def failed(self, error: RetryableError) -> None:
        """Count a failure. Raises *error* where it is one of many, with no success between."""
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= FAILURES_IN_A_ROW:
            raise error


@dataclass(frozen=True, slots=True)
class Files:
    """Keeps attachments' bytes: whole, as long as told, and never an error page."""

    source: FileSource
    store: FileStore
    vault: FileVault
    rules: FileRules
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DOWNLOADS_AT_ONCE))
    cdn: Cdn = field(default_factory=Cdn)

    async def due(self, visit: Visit) -> int:
        """See `Extra`."""
        return await visit.again(lambda: self.store.count_missing(visit.claim, self.rules))

    async def read(self, visit: Visit) -> bool:
        """See `Extra`."""
        last: MissingFile | None = None
        while True:
            due = await self._due(visit, last)
            if not due:
                return True
            if visit.gives_way():
                return False
            urls = await visit.again(lambda: self.source.sign_anew(visit.channel_id, due))  # noqa: B023
            left: list[MissingFile] = []
            await _side_by_side(
                [self._fetch(visit, each, urls.get(each.attachment_id), left) for each in due]
            )
            if left:
                return False
            last = due[-1]

    async def _due(self, visit: Visit, last: MissingFile | None) -> Sequence[MissingFile]:
        return await visit.again(
            lambda: self.store.missing_files(visit.claim, self.rules, last, FILES_AT_ONCE)
        )

    async def _fetch(
        self, visit: Visit, file: MissingFile, url: str | None, left: list[MissingFile]
    ) -> None:
        """Store the file, or note why not; *left* gets it where messages wait for the slot."""
        async with self.room:
            if visit.gives_way():
                left.append(file)
                return
            try:
                stored = await self._keep(visit, file, url)
            except AttachmentGoneError as error:
                await self._miss(visit, file, error)
            except RetryableError as error:
                self.cdn.failed(error)
                await self._miss(visit, file, error)
            else:
                self.cdn.failures_in_a_row = 0
                await visit.again(lambda: self.store.note_file(visit.claim, file, stored))
                visit.count(ExtraTally(files=1, file_bytes=file.size, extras_done=1))

    async def _miss(self, visit: Visit, file: MissingFile, error: Exception) -> None:
        await visit.again(lambda: self.store.note_missed(visit.claim, file, str(error)))
        visit.count(ExtraTally(files_failed=1, extras_done=1))

    async def _keep(self, visit: Visit, file: MissingFile, url: str | None) -> StoredFile:
        async with self.vault.draft() as draft:
            try:
                await self._download(visit, file, url, draft)
            except AttachmentGoneError:  # expired meanwhile, or stored without a user's id
                draft.restart()
                own = await visit.again(lambda: self.source.look_up(visit.channel_id, file))
                await self._download(visit, file, own, draft)
            return await draft.keep()

    async def _download(
        self, visit: Visit, file: MissingFile, url: str | None, draft: FileDraft
    ) -> None:
        if url is None:
            raise AttachmentGoneError("Discord has no address of it any more.")

        async def attempt() -> None:
            try:
                async for chunk in self.source.download(url, file, draft.size):
                    draft.write(chunk)
            except AttachmentBrokenError:
                draft.restart()
                raise

        while True:
            before = draft.size
            try:
                return await visit.again(attempt)
            except RetryableError:
                if draft.size <= before:  # else it gets on, if slowly
                    raise


async def _side_by_side(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it; the first error ends the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
