"""Where attachments' bytes are kept: a folder, or what else fsspec can write to.

A file's name is the SHA-256 of its bytes, under its guild: what a guild has twice is kept once, and
no guild can tell what another has. What stands under such a name is whole: a folder gets it by
renaming, an object store by its own upload. A file that was stored and is not in the database yet
is found again by its name.
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
    """Bytes that are being downloaded, in a temporary file."""

    def __init__(self, vault: BlobStore, file: IO[bytes]) -> None:
        self._vault = vault
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append. Raises FileVaultError."""
        with _in_temporary_folder():
            self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Forget what was written."""
        with _in_temporary_folder():
            self._file.seek(0)
            self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    async def keep(self) -> StoredFile:
        """Put it into the vault. Raises FileVaultError."""
        digest = self._hash.digest()
        putting = asyncio.ensure_future(
            asyncio.to_thread(self._vault.put, self._file, digest, self.size)
        )
        try:
            return StoredFile(digest, await asyncio.shield(putting))
        except asyncio.CancelledError:
            await asyncio.wait([putting])  # the thread goes on, and reads from the draft
            raise


@contextmanager
def _in_temporary_folder() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileVaultError(
            f"No room for a download in {tempfile.gettempdir()}: {_why(error)}"
        ) from None


class BlobStore:
    """One guild's files."""

    def __init__(self, url: str, guild_id: GuildId) -> None:
        """See `open_blob_store`."""
        self._files, root = fsspec.core.url_to_fs(url)
        self._root = root.rstrip("/")
        self._guild_id = guild_id

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self._files, LocalFileSystem)

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[Draft]:
        """A place for the bytes of one download; gone with the block unless kept."""
        with tempfile.TemporaryFile(prefix="raysync-") as file:
            yield Draft(self, file)

    def put(self, file: IO[bytes], digest: bytes, size: int) -> str:
        """Store *file* under its name, unless it is there; returns its key beneath the URL."""
        name = digest.hex()
        key = f"{self._guild_id}/{name[:2]}/{name}"
        path = f"{self._root}/{key}"
        try:
            if not self._has(path, size):
                file.seek(0)
                self._write(file, path)
        except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
            raise FileVaultError(
                f"Cannot write attachments to {self._root}: {_why(error)}"
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
                if self.is_local:  # a name must not reach the disk before the bytes
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
        """Where bytes go; on this machine a new file that only its owner can ever open."""
        if not self.is_local:
            opened: IO[bytes] = self._files.open(partial, "wb")
            return opened
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(partial, flags, 0o600), "wb")
        os.fchmod(file.fileno(), 0o600)  # whatever the umask takes away
        return file

    def sweep(self, kept: Collection[str]) -> int:
        """Remove the guild's files but those whose keys are *kept*, and what is half written.

        The number of files. Nothing may be stored meanwhile. Raises FileVaultError.
        """
        with self._swept():
            gone = self._unkept(kept)
            for each in gone:
                self._files.rm_file(each)
        return len(gone)

    def count_unkept(self, kept: Collection[str]) -> int:
        """Count what `sweep` would remove. Raises FileVaultError."""
        with self._swept():
            return len(self._unkept(kept))

    def _unkept(self, kept: Collection[str]) -> list[str]:
        folder = f"{self._root}/{self._guild_id}"
        found = self._files.find(folder) if self._files.exists(folder) else []
        return [each for each in found if "/".join(each.split("/")[-3:]) not in kept]

    @contextmanager
    def _swept(self) -> Iterator[None]:
        if self.is_local and not Path(self._root).is_dir():
            raise FileVaultError(
                f"There is no folder {self._root} on this machine, where attachments were kept: "
                "run it where that folder is. If it is gone for good: `raysync forget "
                "--without-place`."
            )
        try:
            yield
        except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
            raise FileVaultError(
                f"Cannot remove attachments from {self._root}: {_why(error)}. Run it again when "
                "that is mended; if the place is gone for good: `raysync forget --without-place`."
            ) from None

    def _make(self, folder: str) -> None:
        """Have *folder*; one of this machine is its owner's alone where it is made here."""
        if not self.is_local:
            self._files.makedirs(folder, exist_ok=True)
            return
        missing = [each for each in (Path(folder), *Path(folder).parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)

    def check(self) -> None:
        """Write something and take it away. Raises ConfigurationError."""
        probe = f"{self._root}/.raysync-{uuid.uuid4().hex}"
        try:
            self._make(self._root)
            self._files.pipe_file(probe, b"raysync")
            self._files.rm(probe)
        except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
            raise ConfigurationError(
                f"Cannot write attachments to {self._root}: {_why(error)} "
                "Make sure that it exists and may be written, or name another place."
            ) from None


def open_blob_store(url: str, guild_id: GuildId) -> BlobStore:
    """The files of a guild beneath *url*: a folder, s3://bucket/path, gs://bucket/path, ….

    Raises:
        ConfigurationError: nothing is known of such a URL, its package is not installed, it lives
            no longer than a process, or there is a password in it.
    """
    if any("@" in urlsplit(each).netloc for each in url.split("::")):
        raise ConfigurationError(
            "Name no user and no password in the address of the attachments: it is kept with the "
            "job. Give them as its package reads them, for S3 in AWS_ACCESS_KEY_ID and the like."
        )
    if url.startswith("memory:"):
        raise ConfigurationError("Attachments in memory would be gone at the end of the run.")
    try:
        return BlobStore(url, guild_id)
    except ImportError as error:
        raise ConfigurationError(f"Cannot keep attachments there: {_why(error)}") from None
    except Exception as error:  # noqa: BLE001 each of fsspec's backends has errors of its own
        raise ConfigurationError(f"Cannot keep attachments there: {_why(error)}") from None


def _to_disk(folder: str) -> None:
    """Have the names in a folder of this machine survive a power cut, as their bytes do."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(error: Exception) -> str:
    told: Any = getattr(error, "strerror", None)
    return f"{str(told).strip().rstrip('.') if told else reason_of(error)}."
