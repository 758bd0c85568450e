"""Runs as jobs of a Ray cluster, by its Job Submission API: HTTP alone, no driver is attached."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from raysync.actors.listener import reason_unreachable
from raysync.actors.nodes import HOW_TO_INSTALL
from raysync.actors.ray_token import about_token
from raysync.discord_api.proxies import Proxy, is_loopback, proxies_here
from raysync.errors import ConfigurationError, OutOfSightError
from raysync.models.secret_texts import has_password, looks_like_token
from raysync.reasons import reason_of
from raysync.submission.shipments import checked_shipments

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
STOP_WAIT_S = 60
"""So long a job that is asked to stop may take before Ray kills it; Ray's own default is 3 s."""
LOOK_EVERY_S = 0.5
POLL_EVERY_S = 2.0
OUT_OF_SIGHT_S = 120.0
"""For so long a cluster that does not answer is asked again."""
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_STOPPED = 130
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_PORTS = {"http": 80, "https": 443}
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$|DATABASE_URL", re.IGNORECASE)
"""Names of variables that hold what nobody may see."""
_NO_RAYSYNC = "No module named raysync"
"""How Python ends where there is none to run; a module that is missing within it is in quotes."""
_SIGNAL_BASE = 128  # a shell's exit code of a program that a signal ended

logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What is to run on a cluster. All of it is shown in Ray's dashboard."""

    submission_id: str
    entrypoint: str  #: a shell's command line
    metadata: Mapping[str, str]
    runtime_env_file: Path | None = None
    working_dir: str | None = None  #: shipped to the cluster; a folder, or a remote archive
    homes: tuple[Path, ...] = ()  #: folders of which nothing may be shipped


@dataclass(frozen=True, slots=True)
class SubmissionEnd:
    """How a job ended."""

    status: str  #: of Ray: succeeded, failed or stopped
    exit_code: int  #: the driver's own; 130 where it was stopped, 1 where it never ran
    reason: str | None = field(default=None)  #: of Ray, where the driver did not say it itself


class _Client(JobSubmissionClient):
    """Ray's client, which asks through the proxy that raysync finds, or through none."""

    def __init__(self, address: str, proxy: Proxy | None) -> None:
        through = None if proxy is None else proxy.url
        self._proxies = dict.fromkeys(("http", "https", "all"), through)
        super().__init__(address)

    def _do_request(self, method: str, endpoint: str, **given: Any) -> Any:
        return super()._do_request(method, endpoint, proxies=self._proxies, **given)


class ClusterJobs:
    """The jobs of one cluster."""

    def __init__(
        self, address: str, client: JobSubmissionClient, proxy: Proxy | None = None
    ) -> None:
        self.address = address
        self._client = client
        self._proxy = proxy

    @classmethod
    def at(cls, address: str | None) -> ClusterJobs:
        """The cluster at *address*; None: where the environment says, or on this machine.

        Raises:
            ConfigurationError: it cannot be reached, asks for a token, or is no Ray.
        """
        found = address or _address_of_environment()
        shown = _without_password(found)
        proxy = _way_to(found)
        _require_listener(found, shown, proxy)
        with _told(shown, proxy), _no_other_address(found):
            client = _Client(found, proxy)
        return cls(shown, client, proxy)

    def submit(self, order: JobOrder, tell: Callable[[str], object] = lambda _: None) -> None:
        """Hand the job to the cluster, with time to end cleanly when it is stopped.

        *tell* hears what is shipped with it.

        Raises:
            ConfigurationError: its runtime environment cannot be used, names what must not leave
                this machine, or the cluster refuses.
        """
        runtime_env = _runtime_env(order)
        for each in checked_shipments(runtime_env, order.homes):
            size = f"{each.files:,} files, {each.size / 1e6:,.1f} MB"
            tell(f"Ships {each.path} to {self.address} ({size}).")
        with _told(self.address, self._proxy, "did not take the job"):
            self._client.submit_job(
                entrypoint=order.entrypoint,
                submission_id=order.submission_id,
                runtime_env=runtime_env,
                metadata=dict(order.metadata),
            )

    def under_way(self) -> dict[str, Mapping[str, str]]:
        """The metadata of each job that was submitted and has not ended, by its id."""
        with _told(self.address, self._proxy):
            jobs = self._client.list_jobs()
        return {
            each.submission_id: each.metadata or {}
            for each in jobs
            if each.submission_id and not each.status.is_terminal()
        }

    def stop(self, submission_id: str) -> None:
        """Ask a job to end; it has `STOP_WAIT_S` for it."""
        with _told(self.address, self._proxy):
            self._client.stop_job(submission_id)

    async def follow(self, submission_id: str, write: Callable[[str], object]) -> SubmissionEnd:
        """Hand the job's whole log to *write*, as it comes, until the job has ended.

        Raises:
            OutOfSightError: the cluster has not answered for two minutes.
        """
        log = _Log(self._client, submission_id, write)
        # Ray's tail of a log is a WebSocket that knows no proxy
        tail = asyncio.create_task(log.follow() if self._proxy is None else log.poll())
        try:
            found = await self._ended(submission_id)
        finally:
            tail.cancel()
            await asyncio.gather(tail, return_exceptions=True)
        whole = ""
        with suppress(RuntimeError, OSError):  # of a driver that never ran there is none
            whole = await asyncio.to_thread(self._client.get_job_logs, submission_id)
            log.complete(whole)
        return _end_of(found, whole)

    async def _ended(self, submission_id: str) -> Any:
        silent_s = 0.0
        while True:
            try:
                info = await asyncio.to_thread(self._client.get_job_info, submission_id)
                if info.status.is_terminal():
                    return info
                silent_s = 0.0
            except (RuntimeError, OSError, ValueError):
                silent_s += LOOK_EVERY_S
                if silent_s > OUT_OF_SIGHT_S:
                    raise OutOfSightError(
                        f"{self.address} does not answer any more. Job {submission_id} may go on: "
                        "see `raysync status`."
                    ) from None
            await asyncio.sleep(LOOK_EVERY_S)


class _Log:
    """A job's log, each character of it handed on once, however often the connection breaks."""

    def __init__(
        self, client: JobSubmissionClient, submission_id: str, write: Callable[[str], object]
    ) -> None:
        self._client = client
        self._submission_id = submission_id
        self._write = write
        self._written = 0

    async def follow(self) -> None:
        """Hand on what comes, without end."""
        while True:
            read = 0
            with suppress(RuntimeError, OSError, aiohttp.ClientError):
                async for chunk in self._client.tail_job_logs(self._submission_id):
                    read += len(chunk)
                    self._hand_on(chunk, read)
            await asyncio.sleep(LOOK_EVERY_S)

    async def poll(self) -> None:
        """The same by asking for the whole log, again and again."""
        while True:
            with suppress(RuntimeError, OSError):
                self.complete(
                    await asyncio.to_thread(self._client.get_job_logs, self._submission_id)
                )
            await asyncio.sleep(POLL_EVERY_S)

    def complete(self, whole: str) -> None:
        """Hand on what is missing of the *whole* log."""
        self._hand_on(whole, len(whole))

    def _hand_on(self, chunk: str, read: int) -> None:
        """Write of *chunk*, which ends after *read* characters, what is new."""
        new = read - self._written
        if new > 0:
            self._write(chunk[-new:])
            self._written = read


def _end_of(info: Any, log: str = "") -> SubmissionEnd:
    status, code = info.status, info.driver_exit_code
    if status is JobStatus.STOPPED:
        return SubmissionEnd("stopped", EXIT_STOPPED)
    if status is JobStatus.SUCCEEDED:
        return SubmissionEnd("succeeded", code or 0)
    if code is None:  # its environment could not be set up, or its node is gone
        return SubmissionEnd(
            "failed", EXIT_FAILED, reason_of(info.message) if info.message else None
        )
    if code == EXIT_FAILED and log.rstrip().endswith(_NO_RAYSYNC):
        return SubmissionEnd(
            "failed", EXIT_USAGE, f"the cluster's head has no raysync. {HOW_TO_INSTALL}"
        )
    return SubmissionEnd("failed", code if code >= 0 else _SIGNAL_BASE - code)


def _runtime_env(order: JobOrder) -> dict[str, Any]:
    found = {} if order.runtime_env_file is None else _read(order.runtime_env_file)
    if order.working_dir is not None:
        found["working_dir"] = order.working_dir
    variables = found.get("env_vars") or {}
    for name, value in variables.items():
        if _SECRET.search(name) or looks_like_token(value) or has_password(value):
            raise ConfigurationError(
                f"{name} is in the runtime environment, which Ray shows to everybody who sees its "
                "dashboard: set it where Ray starts on the cluster's nodes."
            )
    return {**found, "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)} | variables}


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"The runtime environment {file} cannot be read: {reason_of(error)}."
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("env_vars") or {}, dict):
        raise ConfigurationError(f"{file} is not a runtime environment of Ray.")
    variables = found.get("env_vars") or {}
    if not all(isinstance(each, str) for pair in variables.items() for each in pair):
        raise ConfigurationError(
            f"A name or a value under env_vars in {file} is no text: write it in quotes."
        )
    return found


def _address_of_environment() -> str:
    named = (os.environ.get(name) for name in _ADDRESS_VARIABLES)
    return next((address for address in named if address), DEFAULT_ADDRESS)


@contextmanager
def _no_other_address(address: str) -> Iterator[None]:
    """Ray's client prefers its variables to the address it is given; we do not."""
    name = _ADDRESS_VARIABLES[0]
    before = os.environ.get(name)
    os.environ[name] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _without_password(address: str) -> str:
    """The address as it may be shown: without what stands before its @."""
    scheme, separator, rest = address.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _way_to(address: str) -> Proxy | None:
    """Return the proxy for a cluster's address. This machine's loopback has none."""
    host, _ = _host_and_port(address)
    if is_loopback(host):
        return None
    return proxies_here().way_to(address if "://" in address else f"http://{address}")


def _require_listener(address: str, shown: str, proxy: Proxy | None) -> None:
    """Raise ConfigurationError where no server listens; Ray's client would wait for ever."""
    to, what = address, f"the Ray cluster at {shown}"
    advice = "Name its dashboard with --address http://HOST:8265 or RAY_API_SERVER_ADDRESS."
    if proxy is not None:
        to, what = proxy.shown, f"the proxy {proxy.shown} of {proxy.variable} to {what}"
        advice = "Correct that variable, or list the host in NO_PROXY to connect directly."
    reason = reason_unreachable(*_host_and_port(to))
    if reason is not None:
        raise ConfigurationError(f"Cannot reach {what}: {reason}. {advice}")


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # a port that is no number
        host, port = None, None
    if host is None or port is None:
        raise ConfigurationError(
            f"{_without_password(address)} is not the address of a Ray cluster, which looks like "
            f"{DEFAULT_ADDRESS}."
        )
    return host, port


@contextmanager
def _told(address: str, proxy: Proxy | None, what: str = "cannot be used") -> Iterator[None]:
    """Whatever the client raises, as a sentence that says what to do."""
    try:
        yield
    except AuthenticationError:
        raise ConfigurationError(about_token(address)) from None
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        through = "" if proxy is None else f" (through the proxy {proxy.shown} of {proxy.variable})"
        raise ConfigurationError(
            f"The Ray cluster at {address} {what}: {reason_of(error)}{through}."
        ) from None
