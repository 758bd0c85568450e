"""Files: the bytes of attachments, downloaded whole and stored once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from raysync.errors import AttachmentBrokenError, AttachmentGoneError, RetryableError
from raysync.models.extras import ExtraTally, FileRules, MissingFile, StoredFile
from raysync.models.ids import ChannelId
from raysync.models.work import Claim
from raysync.sync.channels.extras import Visit, run_together

FILES_AT_ONCE = 50
"""Number of addresses that Discord signs in one request."""
DOWNLOADS_AT_ONCE = 8
"""Limit on downloads of one job in one worker: each takes room in the temporary folder."""
FAILURES_IN_A_ROW = 12
"""Failed downloads, one after another, from which on the CDN counts as down."""


class FileSource(Protocol):
    """Discord's side: signed addresses of attachments, and their downloads."""

    async def sign_anew(
        self, channel_id: ChannelId, files: Sequence[MissingFile]
    ) -> Mapping[int, str]:
        """Return fresh addresses by attachment id, without attachments that are gone."""
        ...

    async def look_up(self, channel_id: ChannelId, file: MissingFile) -> str | None:
        """Return the address that the file's message holds now; None if either is gone."""
        ...

    def download(self, url: str, file: MissingFile, start: int) -> AsyncIterator[bytes]:
        """Yield the file's bytes from *start* on; they are complete if it ends without an error.

        Raises:
            AttachmentGoneError: the address does not exist, or has expired.
            AttachmentBrokenError: the answer is not the file; start over.
            RetryableError: the download was interrupted; continue from there.
        """
        ...


class FileDraft(Protocol):
    """File that is being written to the blob store."""

    size: int

    def write(self, chunk: bytes) -> None: ...

    def restart(self) -> None:
        """Discard the bytes written so far."""
        ...

    async def keep(self) -> StoredFile:
        """Move the file into the blob store. Raises FileVaultError."""
        ...


class BlobStore(Protocol):
    """Storage of attachments' bytes; see `raysync.store.archive.blobs`."""

    def draft(self) -> AbstractAsyncContextManager[FileDraft]: ...


class FileStore(Protocol):
    """Register of attachments with stored bytes; see `raysync.store.archive.extras`."""

    async def missing_files(
        self, claim: Claim, rules: FileRules, last: MissingFile | None, most: int
    ) -> Sequence[MissingFile]:
        """Return at most *most* missing files after *last*, by message and attachment."""
        ...

    async def count_missing(self, claim: Claim, rules: FileRules) -> int:
        """Return the number of missing files."""
        ...

    async def note_file(self, claim: Claim, file: MissingFile, stored: StoredFile) -> None: ...

    async def note_missed(self, claim: Claim, file: MissingFile, why: str) -> None:
        """Postpone the file's retry: by an hour at first, then by growing intervals."""
        ...


@dataclass(slots=True)
class CdnHealth:
    """Health of Discord's CDN: while it is down, no file is noted as missed."""

    failures_in_a_row: int = 0  #: in one worker, over all channels

    def failed(self, error: RetryableError) -> None:
        """Count a failure. Raise *error* from `FAILURES_IN_A_ROW` without a success on."""
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= FAILURES_IN_A_ROW:
            raise error


@dataclass(frozen=True, slots=True)
class Files:
    """Extra that stores attachments' bytes: of the announced length, and never an error page."""

    source: FileSource
    store: FileStore
    blobs: BlobStore
    rules: FileRules
    downloads: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(DOWNLOADS_AT_ONCE)
    )
    cdn: CdnHealth = field(default_factory=CdnHealth)

    async def due(self, visit: Visit) -> int:
        """Return the number of missing files; see `Extra`."""
        return await visit.retry(lambda: self.store.count_missing(visit.claim, self.rules))

    async def read(self, visit: Visit) -> bool:
        """Store all missing files; see `Extra`."""
        last: MissingFile | None = None
        while True:
            due = await self._next_due(visit, last)
            if not due:
                return True
            if visit.gives_way():
                return False
            urls = await self._sign(visit, due)
            left: list[MissingFile] = []
            await run_together(
                [self._fetch(visit, file, urls.get(file.attachment_id), left) for file in due]
            )
            if left:
                return False
            last = due[-1]

    async def _next_due(self, visit: Visit, last: MissingFile | None) -> Sequence[MissingFile]:
        return await visit.retry(
            lambda: self.store.missing_files(visit.claim, self.rules, last, FILES_AT_ONCE)
        )

    async def _sign(self, visit: Visit, files: Sequence[MissingFile]) -> Mapping[int, str]:
        return await visit.retry(lambda: self.source.sign_anew(visit.channel_id, files))

    async def _fetch(
        self, visit: Visit, file: MissingFile, url: str | None, left: list[MissingFile]
    ) -> None:
        """Store the file, or note why not; add it to *left* if messages wait for the slot."""
        async with self.downloads:
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
                await visit.retry(lambda: self.store.note_file(visit.claim, file, stored))
                visit.count(ExtraTally(files=1, file_bytes=file.size, extras_done=1))

    async def _miss(self, visit: Visit, file: MissingFile, error: Exception) -> None:
        await visit.retry(lambda: self.store.note_missed(visit.claim, file, str(error)))
        visit.count(ExtraTally(files_failed=1, extras_done=1))

    async def _keep(self, visit: Visit, file: MissingFile, url: str | None) -> StoredFile:
        async with self.blobs.draft() as draft:
            try:
                await self._download(visit, file, url, draft)
            except AttachmentGoneError:  # it expired meanwhile, or was stored without a user's id
                draft.restart()
                own = await visit.retry(lambda: self.source.look_up(visit.channel_id, file))
                await self._download(visit, file, own, draft)
            return await draft.keep()

    async def _download(
        self, visit: Visit, file: MissingFile, url: str | None, draft: FileDraft
    ) -> None:
        if url is None:
            raise AttachmentGoneError("Discord no longer has an address of this attachment.")

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
                return await visit.retry(attempt)
            except RetryableError:
                if draft.size <= before:  # a slow download that makes progress goes on
                    raise
