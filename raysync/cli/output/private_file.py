"""Files that only their owner can read, moved into place when they are complete.

Exports and reports are private whatever the umask is. In a folder that other users can write to,
an attacker can prepare a name. A draft is therefore created under a name that nobody can guess,
and a link is followed only if this user or root has created it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from raysync.cli.output.streams import ReaderGoneError
from raysync.errors import ConfigurationError, RaysyncError

OWNER_ONLY: Final = 0o600
_MAX_LINKS: Final = 40
_PATH_ONLY: Final = getattr(os, "O_PATH", os.O_RDONLY)
"""Flag that is enough to name a folder, even one that cannot be listed."""


def target(output: str) -> Path:
    """Return the file that *output* names, links followed. Raises ConfigurationError."""
    try:
        path = _followed(Path(output).expanduser().absolute())
        is_directory = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"Cannot write to {output}: {why}.") from None
    if is_directory:
        raise ConfigurationError(f"Cannot write to {path}: it is a directory. Name a file.")
    return path


def _followed(path: Path) -> Path:
    """Return where *path* leads. Raises ConfigurationError for a link of another user."""
    current, left, links = Path(path.anchor), deque(path.parts[1:]), 0
    while left:
        name = left.popleft()
        if name == "..":
            current = current.parent
            continue
        following = current / name
        try:
            found = following.lstat()
        except FileNotFoundError:
            return following.joinpath(*left)
        if not stat.S_ISLNK(found.st_mode):
            current = following
            continue
        _refuse_others(following, found.st_uid, "a link")
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        leads_to = following.readlink()
        current = Path(leads_to.anchor) if leads_to.is_absolute() else current
        left.extendleft(reversed(leads_to.parts[1:] if leads_to.is_absolute() else leads_to.parts))
    return current


def _refuse_others(path: Path, owner: int, what: str) -> None:
    if owner not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"Cannot write to {path}: it is {what} that another user has created. Name a file in "
            "a folder of your own."
        )


@contextmanager
def private_file(path: Path, failure: type[RaysyncError]) -> Iterator[BinaryIO]:
    """Yield a file that replaces *path* at the end, if nothing failed. Until then *path* stays.

    Only its owner can read it, and it never has more permissions than the file that it replaces.

    Raises:
        ConfigurationError: nothing can be written there.
        failure: a write failed later.
    """
    found = _stat(path)
    if found is not None and not stat.S_ISREG(found.st_mode):  # a pipe or a device is not replaced
        with _in_place(path, failure) as file:
            yield file
        return
    mode = OWNER_ONLY if found is None else stat.S_IMODE(found.st_mode) & OWNER_ONLY
    folder = _open_folder(path.parent)
    draft = f".raysync-{secrets.token_hex(8)}.part"
    try:
        with _open_draft(draft, folder, path) as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        raise failure(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):  # it was moved, or the error was reported already
            os.unlink(draft, dir_fd=folder)
        os.close(folder)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # missing, or not accessible: opening it raises
        return None


def _open_folder(path: Path) -> int:
    """Open the folder, so that it stays the same even if its name changes."""
    try:
        return os.open(path, _PATH_ONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(path, error) from None


def _open_draft(name: str, folder: int, path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(name, flags, OWNER_ONLY, dir_fd=folder), "wb")
    except OSError as error:
        raise _unwritable(path.parent, error) from None


@contextmanager
def _in_place(path: Path, failure: type[RaysyncError]) -> Iterator[BinaryIO]:
    """Yield a pipe or a device. A reader that closes a pipe has enough, which is no failure."""
    file = _open_in_place(path)
    try:
        yield file
        file.flush()
    except BrokenPipeError:
        raise ReaderGoneError(f"The reader of {path} has closed the pipe.") from None
    except OSError as error:
        raise failure(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):  # the write error was reported already
            file.close()


def _open_in_place(path: Path) -> BinaryIO:
    try:
        opened = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    file = os.fdopen(opened, "wb")
    try:
        _refuse_others(path, os.fstat(opened).st_uid, "a pipe")
    except ConfigurationError:
        file.close()
        raise
    return file


def _unwritable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"Cannot write in {folder}: {error.strerror or error}.")


def private_log(path: Path) -> BinaryIO:
    """Open a private file, emptied, that other processes of raysync read meanwhile."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        opened = os.open(path, flags, OWNER_ONLY)
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    os.fchmod(opened, OWNER_ONLY)
    return os.fdopen(opened, "wb")


def write_private(path: Path, text: str) -> None:
    """Write a complete file that only its owner can read."""
    with private_file(path, ConfigurationError) as file:
        file.write(text.encode())
