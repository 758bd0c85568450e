"""Checks of files and folders that a user ships with a job: no secrets, no exports, size."""

from __future__ import annotations

import gzip
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from ray._private import ray_constants
from ray._private.runtime_env import packaging

from raysync.actors.uploads import local_parts
from raysync.errors import ConfigurationError
from raysync.models.secret_texts import looks_like_token
from raysync.reasons import reason_of

MOST_BYTES: Final = 100 * 10**6
"""Maximum size. A checkout of raysync has 5 MB; a larger folder is a mistake."""
_SHOWN: Final = 5
_LONGEST_LINE: Final = 1 << 20
_TAIL_BYTES: Final = 4096
_SECRET_NAMES: Final = (
    ".env",
    ".env.*",
    "*.env",
    "*.key",
    "*.pem",
    "*.p12",
    "*.pfx",
    "*.token",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    "auth_token",
    "ray_auth_token",
    # exports and dumps
    "*.jsonl",
    "*.jsonl.*",
    "*.parquet",
    "*.sqlite",
    "*.sqlite3",
    "*.db",
    "*.dump",
)
_HARMLESS_NAMES: Final = ("*.example", "*.sample", "*.template", "*.dist")
_DATABASE_MARK: Final = "PG_VERSION"
"""File in each data directory of PostgreSQL."""
_EXPORT_KEYS: Final = ({"channel_id", "author"}, {"channel_id", "kind"}, {"url", "token"})
"""Keys in `raysync export`, in `raysync privacy export`, and in the emulator's ready file."""
_REPORT_MARK: Final = re.compile(rb"Made by raysync (?!{)")
"""Footer of a report; its template in raysync's own checkout has a placeholder there."""
_HOW_TO_EXCLUDE: Final = (
    "Exclude what a run does not need, with a line in .rayignore or with `excludes` in the file of "
    "--runtime-env (see jobs/runtime_env.yaml)."
)


@dataclass(frozen=True, slots=True)
class Shipment:
    """File or folder that is shipped to a cluster because a user named it."""

    path: Path
    files: int
    size: int  #: bytes


def checked_shipments(
    runtime_env: Mapping[str, Any], homes: Collection[Path] = ()
) -> list[Shipment]:
    """Return the shipments of a job, after a check that nothing in them must stay here.

    *homes* are folders that must not be shipped: raysync's own, with its database and its keys.

    Raises:
        ConfigurationError: a shipment contains secrets or exports, or is too large.
    """
    excludes = list(runtime_env.get("excludes") or [])
    return [_checked(path, excludes, homes) for path in local_parts(runtime_env)]


def _checked(path: Path, excludes: Sequence[str], homes: Collection[Path]) -> Shipment:
    if not path.exists():
        raise ConfigurationError(f"{path} cannot be shipped with the job: it does not exist.")
    try:
        files = list(_files_of(path, excludes))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from None
    _refuse_private(path, files, homes)
    size = sum(_size(file) for file in files)
    if size > MOST_BYTES:
        largest = sorted(files, key=_size, reverse=True)[:_SHOWN]
        named = ", ".join(f"{_under(file, path)} ({_size(file) / 1e6:,.0f} MB)" for file in largest)
        raise ConfigurationError(
            f"{path} has {size / 1e6:,.0f} MB to ship with the job, but raysync ships at most "
            f"{MOST_BYTES // 10**6} MB. The largest files: {named}. {_HOW_TO_EXCLUDE}"
        )
    return Shipment(path, len(files), size)


def _files_of(path: Path, excludes: Sequence[str]) -> Iterator[Path]:
    """Return the files that Ray would put into its package of *path*, by Ray's rules."""
    if not path.is_dir():
        return iter([path])
    found: list[Path] = []
    patterns = [*ray_constants.get_runtime_env_default_excludes(), *excludes]
    ignores_git = os.environ.get(ray_constants.RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") == "1"
    packaging._dir_travel(  # noqa: SLF001 Ray ships what this function finds
        path.absolute(),
        [packaging._get_excludes(path, patterns)],  # noqa: SLF001
        lambda file: found.append(file) if file.is_file() else None,
        include_gitignore=not ignores_git,
    )
    return iter(found)


def _refuse_private(path: Path, files: Sequence[Path], homes: Collection[Path]) -> None:
    private = [file for file in files if _is_private(file, homes)]
    if not private and path.is_file() and any(_private_members(path)):
        private = [path]
    if not private:
        return
    named = ", ".join(_under(file, path) for file in private[:_SHOWN])
    more = f" and {len(private) - _SHOWN} more" if len(private) > _SHOWN else ""
    raise ConfigurationError(
        f"{path} contains files that must not leave this machine: {named}{more}. Every user of the "
        f"cluster could read them. {_HOW_TO_EXCLUDE}"
    )


def _is_private(file: Path, homes: Collection[Path]) -> bool:
    is_at_home = any(file.resolve().is_relative_to(home.resolve()) for home in homes)
    return is_at_home or _is_secret_name(file.name) or _holds_exports(file)


def _is_secret_name(name: str) -> bool:
    lower = name.lower()
    if lower == _DATABASE_MARK.lower():
        return True
    is_harmless = any(fnmatch(lower, pattern) for pattern in _HARMLESS_NAMES)
    return not is_harmless and any(fnmatch(lower, pattern) for pattern in _SECRET_NAMES)


def _private_members(file: Path) -> Iterator[str]:
    """Yield the members with a secret's name in an archive that is shipped unpacked."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        elif file.is_file() and tarfile.is_tarfile(file):
            with tarfile.open(file) as tar:
                names = tar.getnames()
        else:
            return
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ConfigurationError(f"{file} cannot be read: {reason_of(error)}.") from None
    yield from (name for name in names if _is_secret_name(name.rstrip("/").rpartition("/")[2]))


def _holds_exports(file: Path) -> bool:
    """Return whether raysync exported the file, or the file holds only a token."""
    if file.suffix in (".html", ".htm"):
        return _ends_as_report(file)
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            line = opened.readline(_LONGEST_LINE).decode(errors="replace").strip()
            text = line if len(line) > 1 or file.suffix != ".json" else line + _rest(opened)
    except (OSError, EOFError):
        return False
    if text.startswith("{"):
        return _is_export_line(text)
    return _size(file) < _TAIL_BYTES and looks_like_token(text)


def _rest(opened: Any) -> str:
    """Return the text after the first line of a JSON file, up to `_TAIL_BYTES`."""
    return str(opened.read(_TAIL_BYTES).decode(errors="replace"))


def _ends_as_report(file: Path) -> bool:
    with file.open("rb") as opened:
        opened.seek(max(_size(file) - _TAIL_BYTES, 0))
        return _REPORT_MARK.search(opened.read()) is not None


def _is_export_line(text: str) -> bool:
    try:
        line = json.loads(text)
    except ValueError:
        return False
    return isinstance(line, dict) and any(keys <= line.keys() for keys in _EXPORT_KEYS)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _under(file: Path, folder: Path) -> str:
    base = folder.absolute()
    return str(file.relative_to(base)) if file.is_relative_to(base) and file != base else file.name
