"""Files for their owner alone: written beside, moved when whole, and through nobody's link.

What is exported or reported is private whatever the umask is. In a folder that others may write
to, a name can be prepared by them: a draft is therefore made anew under a name that nobody can
guess, and a link is followed only where this user or root has placed it.
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
_MOST_LINKS: Final = 40
_LOOKING: Final = getattr(os, "O_PATH", os.O_RDONLY)
"""Enough to name a folder, also one that may be written to and not listed."""


def target(output: str) -> Path:
    """The file that is meant, links followed. Raises ConfigurationError where it cannot be."""
    try:
        path = _followed(Path(output).expanduser().absolute())
        is_directory = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"Cannot write to {output}: {why}.") from None
    if is_directory:
        raise ConfigurationError(f"Cannot write to {path}: it is no file, for it is a directory.")
    return path


def _followed(path: Path) -> Path:
    """Where *path* leads. Raises ConfigurationError for a link that somebody else has placed."""
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
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        leads_to = following.readlink()
        current = Path(leads_to.anchor) if leads_to.is_absolute() else current
        left.extendleft(reversed(leads_to.parts[1:] if leads_to.is_absolute() else leads_to.parts))
    return current


def _refuse_others(path: Path, owner: int, what: str) -> None:
    if owner not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"Cannot write to {path}: it is {what} that another user has placed. Name a file in a "
            "folder of your own."
        )


@contextmanager
def private_file(path: Path, failure: type[RaysyncError]) -> Iterator[BinaryIO]:
    """A file that takes the place of *path* when all went well; until then nothing is touched.

    It is its owner's alone, and never more open than the one whose place it takes. Raises
    ConfigurationError where nothing can be written there, *failure* where that shows later.
    """
    found = _found(path)
    if found is not None and not stat.S_ISREG(found.st_mode):  # a pipe or a device: not replaced
        with _as_it_is(path, failure) as file:
            yield file
        return
    mode = OWNER_ONLY if found is None else stat.S_IMODE(found.st_mode) & OWNER_ONLY
    folder = _folder(path.parent)
    draft = f".raysync-{secrets.token_hex(8)}.part"
    try:
        with _drafted(draft, folder, path) as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        raise failure(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):  # it is gone, or what was to be said of it has been said
            os.unlink(draft, dir_fd=folder)
        os.close(folder)


def _found(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # not there, or not to be looked at: opening it tells
        return None


def _folder(path: Path) -> int:
    """The folder itself, whatever its name leads to later."""
    try:
        return os.open(path, _LOOKING | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(path, error) from None


def _drafted(name: str, folder: int, path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(name, flags, OWNER_ONLY, dir_fd=folder), "wb")
    except OSError as error:
        raise _unwritable(path.parent, error) from None


@contextmanager
def _as_it_is(path: Path, failure: type[RaysyncError]) -> Iterator[BinaryIO]:
    """A pipe or a device. A reader who leaves a pipe has had enough, which is no failure."""
    file = _opened_as_it_is(path)
    try:
        yield file
        file.flush()
    except BrokenPipeError:
        raise ReaderGoneError(f"Nobody reads {path} any more.") from None
    except OSError as error:
        raise failure(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):  # what could not be written has been said
            file.close()


def _opened_as_it_is(path: Path) -> BinaryIO:
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
    """A file of our own, begun anew, that is written while others of us read it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        opened = os.open(path, flags, OWNER_ONLY)
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    os.fchmod(opened, OWNER_ONLY)
    return os.fdopen(opened, "wb")


def write_private(path: Path, text: str) -> None:
    """Write a file of our own whole, for its owner alone."""
    with private_file(path, ConfigurationError) as file:
        file.write(text.encode())
