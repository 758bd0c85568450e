"""Blob store for attachments: a folder, or any place that fsspec can write to.

A file's name is the SHA-256 of its bytes, under its guild. So a guild stores equal files once, and
cannot tell what another guild has. A file under such a name is complete: a folder gets it by a
rename, an object store by its own upload. If a file is stored before its row, it is found by name.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from raysync.errors import ConfigurationError, FileVaultError
from raysync.models.extras import StoredFile
from raysync.models.ids import GuildId
from raysync.reasons import reason_of


class Draft:
    """Download in progress, in a temporary file."""

    def __init__(self, store: BlobStore, file: IO[bytes]) -> None:
        self._store = store
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append *chunk*. Raises FileVaultError."""
        with _in_temporary_folder():
            self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Discard the bytes so far."""
        with _in_temporary_folder():
            self._file.seek(0)
            self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    async def keep(self) -> StoredFile:
        """Move the file into the blob store. Raises FileVaultError."""
        digest = self._hash.digest()
        putting = asyncio.ensure_future(
            asyncio.to_thread(self._store.put, self._file, digest, self.size)
        )
        try:
            return StoredFile(digest, await asyncio.shield(putting))
        except asyncio.CancelledError:
            await asyncio.wait([putting])  # the thread still reads from the draft
            raise


@contextmanager
def _in_temporary_folder() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileVaultError(
            f"Cannot write a download to {tempfile.gettempdir()}: {_reason(error)} "
            "Make room there, or set TMPDIR to another folder."
        ) from None


class BlobStore:
    """Files of one guild."""

    def __init__(self, url: str, guild_id: GuildId) -> None:
        """See `open_blob_store`."""
        self._files, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._guild_id = guild_id

    @property
    def is_local(self) -> bool:
        """True if the store is a folder of this machine."""
        return isinstance(self._files, LocalFileSystem)

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[Draft]:
        """Yield a draft for one download. It is deleted with the block unless kept."""
        with tempfile.TemporaryFile(prefix="raysync-") as file:
            yield Draft(self, file)

    def put(self, file: IO[bytes], digest: bytes, size: int) -> str:
        """Store *file* under its name unless it is there. Return its key beneath the URL."""
        name = digest.hex()
        key = f"{self._guild_id}/{name[:2]}/{name}"
        path = f"{self._root}/{key}"
        try:
            if not self._has(path, size):
                file.seek(0)
                self._write(file, path)
        except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
            raise FileVaultError(
                f"Cannot write attachments to {self._root}: {_reason(error)}"
            ) from None
        return key

    def _has(self, path: str, size: int) -> bool:
        try:
            return bool(self._files.info(path)["size"] == size)
        except FileNotFoundError:
            return False

    def _write(self, file: IO[bytes], path: str) -> None:
        folder = path.rpartition("/")[0]
        self._make(folder)
        partial = f"{folder}/.{uuid.uuid4().hex}.part" if self.is_local else path
        try:
            with self._opened(partial) as target:
                while chunk := file.read(1 << 20):
                    target.write(chunk)
                if self.is_local:  # the bytes must reach the disk before the name
                    target.flush()
                    os.fsync(target.fileno())
            if partial != path:
                self._files.mv(partial, path)
                _to_disk(folder)
        except BaseException:
            if partial != path and self._files.exists(partial):
                self._files.rm(partial)
            raise

    def _opened(self, partial: str) -> IO[bytes]:
        """Open *partial* for writing. A local file is new, and only its owner can open it."""
        if not self.is_local:
            opened: IO[bytes] = self._files.open(partial, "wb")
            return opened
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(partial, flags, 0o600), "wb")
        os.fchmod(file.fileno(), 0o600)  # regardless of the umask
        return file

    def sweep(self, kept: Collection[str]) -> int:
        """Remove the guild's files, partial ones included, except those with the keys *kept*.

        Return the number of files. Nothing may be stored meanwhile. Raises FileVaultError.
        """
        with self._swept():
            gone = self._unkept(kept)
            for path in gone:
                self._files.rm_file(path)
        return len(gone)

    def count_unkept(self, kept: Collection[str]) -> int:
        """Count the files that `sweep` would remove. Raises FileVaultError."""
        with self._swept():
            return len(self._unkept(kept))

    def _unkept(self, kept: Collection[str]) -> list[str]:
        folder = f"{self._root}/{self._guild_id}"
        found = self._files.find(folder) if self._files.exists(folder) else []
        return [path for path in found if "/".join(path.split("/")[-3:]) not in kept]

    @contextmanager
    def _swept(self) -> Iterator[None]:
        if self.is_local and not Path(self._root).is_dir():
            raise FileVaultError(
                f"There is no folder {self._root} on this machine, where attachments were kept: "
                "run this on the machine that has it. If it is gone for good: `raysync forget "
                "--without-place`."
            )
        try:
            yield
        except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
            raise FileVaultError(
                f"Cannot remove attachments from {self._root}: {_reason(error)} Fix that and run "
                "the command again. If the place is gone for good: `raysync forget "
                "--without-place`."
            ) from None

    def _make(self, folder: str) -> None:
        """Create *folder* if it is missing. On this machine only its owner can open it."""
        if not self.is_local:
            self._files.makedirs(folder, exist_ok=True)
            return
        missing = [
            parent for parent in (Path(folder), *Path(folder).parents) if not parent.exists()
        ]
        for parent in reversed(missing):
            parent.mkdir(mode=0o700, exist_ok=True)

    def check(self) -> None:
        """Write a file and remove it. Raises ConfigurationError if that fails."""
        probe = f"{self._root}/.raysync-{uuid.uuid4().hex}"
        try:
            self._make(self._root)
            self._files.pipe_file(probe, b"raysync")
            self._files.rm(probe)
        except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
            raise ConfigurationError(
                f"Cannot write attachments to {self._root}: {_reason(error)} "
                "Make sure that it exists and is writable, or name another place."
            ) from None


def open_blob_store(url: str, guild_id: GuildId) -> BlobStore:
    """Open a guild's files beneath *url*: a folder, s3://bucket/path, gs://bucket/path, ….

    Raises:
        ConfigurationError: the URL's scheme is unknown, its package is not installed, its files
            would end with the process, or it contains a user or a password.
    """
    if any("@" in urlsplit(part).netloc for part in url.split("::")):
        raise ConfigurationError(
            "The address of the attachments must have no user and no password, because it is "
            "stored with the job. Set them in the environment, for S3 in AWS_ACCESS_KEY_ID and so "
            "on."
        )
    if url.startswith("memory:"):
        raise ConfigurationError(
            "Attachments in memory would be gone at the end of the run: name a folder or a bucket."
        )
    try:
        return BlobStore(url, guild_id)
    except ImportError as error:
        raise ConfigurationError(f"Cannot keep attachments there: {_reason(error)}") from None
    except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
        raise ConfigurationError(f"Cannot keep attachments there: {_reason(error)}") from None


def _to_disk(folder: str) -> None:
    """Flush the names in a local folder to disk, as their bytes are, against a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    reason: Any = getattr(error, "strerror", None)
    return f"{str(reason).strip().rstrip('.') if reason else reason_of(error)}."
