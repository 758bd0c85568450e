"""Client of Ray's Job Submission API, which needs only HTTP and attaches no driver."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
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
from raysync.actors.ray_token import about_token, is_sent, send_if_undecided
from raysync.discord_api.proxies import Proxy, is_loopback, proxies_here
from raysync.errors import ConfigurationError, OutOfSightError
from raysync.models.secret_texts import has_password, looks_like_token
from raysync.reasons import reason_of
from raysync.submission.shipments import checked_shipments

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
STOP_WAIT_S = 60
"""Seconds that a job may take to stop before Ray kills it; Ray's default is 3 s."""
LOOK_EVERY_S = 0.5
POLL_EVERY_S = 2.0
OUT_OF_SIGHT_S = 120.0
"""Seconds during which calls to a cluster that does not answer are retried."""
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_STOPPED = 130
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_PORTS = {"http": 80, "https": 443}
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$|DATABASE_URL", re.IGNORECASE)
"""Names of variables that hold secrets."""
_NO_RAYSYNC = "No module named raysync"
"""Python's last line if `python -m raysync` finds no raysync; an import inside has quotes."""
_SIGNAL_BASE = 128  # shells add it to the signal's number for an exit code

logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)
logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # about_token() says more


@dataclass(frozen=True, slots=True)
class JobOrder:
    """Job to run on a cluster. Ray's dashboard shows all of it."""

    submission_id: str
    entrypoint: str  #: a shell's command line
    metadata: Mapping[str, str]
    runtime_env_file: Path | None = None
    working_dir: str | None = None  #: shipped to the cluster; a folder, or a remote archive
    homes: tuple[Path, ...] = ()  #: folders that must not be shipped


@dataclass(frozen=True, slots=True)
class SubmissionEnd:
    """End of a submitted job."""

    status: str  #: Ray's status: succeeded, failed or stopped
    exit_code: int  #: the driver's; 130 if it was stopped, 1 if it never ran
    reason: str | None = field(default=None)  #: Ray's reason, unless the log has the driver's


class _Client(JobSubmissionClient):
    """Ray's client, which connects through the proxy that raysync finds, or directly."""

    def __init__(self, address: str, proxy: Proxy | None) -> None:
        through = None if proxy is None else proxy.url
        self._proxies = dict.fromkeys(("http", "https", "all"), through)
        super().__init__(address)

    def _do_request(self, method: str, endpoint: str, **given: Any) -> Any:
        return super()._do_request(method, endpoint, proxies=self._proxies, **given)


def _connected(address: str, proxy: Proxy | None) -> _Client:
    """Return a client, which sends Ray's token if the cluster requires it and it is here."""
    try:
        return _Client(address, proxy)
    except AuthenticationError:
        if not send_if_undecided():
            raise
    return _Client(address, proxy)


class ClusterJobs:
    """Jobs of one cluster."""

    def __init__(
        self, address: str, client: JobSubmissionClient, proxy: Proxy | None = None
    ) -> None:
        self.address = address
        self._client = client
        self._proxy = proxy

    @classmethod
    def at(cls, address: str | None) -> ClusterJobs:
        """Connect to the cluster at *address*; None: the environment's address, or this machine.

        Raises:
            ConfigurationError: the cluster cannot be reached, requires a token, or is not Ray.
        """
        found = address or _address_of_environment()
        shown = _without_password(found)
        _refuse_other_schemes(found, shown)
        proxy = _way_to(found)
        _require_listener(found, shown, proxy)
        with _explained(shown, proxy), _no_other_address(found):
            client = _connected(found, proxy)
        return cls(shown, client, proxy)

    def submit(self, order: JobOrder, report: Callable[[str], object] = lambda _: None) -> None:
        """Submit the job to the cluster, with time to end cleanly when it is stopped.

        *report* receives a sentence about each folder that is shipped.

        Raises:
            ConfigurationError: the runtime environment is invalid, it names files that must not
                leave this machine, or the cluster refuses the job.
        """
        runtime_env = _runtime_env(order)
        for shipment in checked_shipments(runtime_env, order.homes):
            size = f"{shipment.files:,} files, {shipment.size / 1e6:,.1f} MB"
            report(f"Ships {shipment.path} to {self.address} ({size}).")
        with _explained(self.address, self._proxy, "did not accept the job"):
            self._client.submit_job(
                entrypoint=order.entrypoint,
                submission_id=order.submission_id,
                runtime_env=runtime_env,
                metadata=dict(order.metadata),
            )

    def under_way(self) -> dict[str, Mapping[str, str]]:
        """Return the metadata of each submitted job that has not ended, by its id."""
        with _explained(self.address, self._proxy):
            jobs = self._client.list_jobs()
        return {
            job.submission_id: job.metadata or {}
            for job in jobs
            if job.submission_id and not job.status.is_terminal()
        }

    def stop(self, submission_id: str) -> None:
        """Stop a job, which has `STOP_WAIT_S` to end cleanly."""
        with _explained(self.address, self._proxy):
            self._client.stop_job(submission_id)

    def command(self, verb: str, *arguments: str) -> str:
        """Return a command line of Ray's own client for this cluster."""
        mode = "RAY_AUTH_MODE=token " if is_sent() else ""
        return mode + shlex.join(["ray", "job", verb, "--address", self.address, *arguments])

    async def follow(self, submission_id: str, write: Callable[[str], object]) -> SubmissionEnd:
        """Pass the job's log to *write* as it arrives, until the job has ended; return its end.

        Raises:
            OutOfSightError: the cluster has not answered for `OUT_OF_SIGHT_S`.
        """
        log = _Log(self._client, submission_id, write)
        # Ray's log stream is a WebSocket, which supports no proxy.
        tail = asyncio.create_task(log.follow() if self._proxy is None else log.poll())
        try:
            found = await self._ended(submission_id)
        finally:
            tail.cancel()
            await asyncio.gather(tail, return_exceptions=True)
        whole = ""
        with suppress(RuntimeError, OSError):  # a driver that never ran has no log
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
                        f"The cluster at {self.address} no longer answers. Job {submission_id} may "
                        "still run: see `raysync status`."
                    ) from None
            await asyncio.sleep(LOOK_EVERY_S)


class _Log:
    """Log of a job, each character written once even if the connection breaks."""

    def __init__(
        self, client: JobSubmissionClient, submission_id: str, write: Callable[[str], object]
    ) -> None:
        self._client = client
        self._submission_id = submission_id
        self._write = write
        self._written = 0

    async def follow(self) -> None:
        """Stream the log and write what arrives, without end."""
        while True:
            read = 0
            with suppress(RuntimeError, OSError, aiohttp.ClientError):
                async for chunk in self._client.tail_job_logs(self._submission_id):
                    read += len(chunk)
                    self._write_new(chunk, read)
            await asyncio.sleep(LOOK_EVERY_S)

    async def poll(self) -> None:
        """Fetch the whole log periodically and write what is new, without end."""
        while True:
            with suppress(RuntimeError, OSError):
                self.complete(
                    await asyncio.to_thread(self._client.get_job_logs, self._submission_id)
                )
            await asyncio.sleep(POLL_EVERY_S)

    def complete(self, whole: str) -> None:
        """Write the part of the *whole* log that is not written yet."""
        self._write_new(whole, len(whole))

    def _write_new(self, chunk: str, read: int) -> None:
        """Write the new part of *chunk*, which ends at character *read* of the log."""
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
    if code is None:  # the environment's setup failed, or the node is gone
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
                f"{name} is in the runtime environment, which Ray's dashboard shows to every user. "
                "Remove it, and set it on the cluster's nodes where Ray starts."
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
        raise ConfigurationError(
            f"{file} is not a runtime environment of Ray. See jobs/runtime_env.yaml for an example."
        )
    variables = found.get("env_vars") or {}
    if not all(isinstance(text, str) for pair in variables.items() for text in pair):
        raise ConfigurationError(
            f"A name or a value under env_vars in {file} is not a string. Write it in quotes."
        )
    return found


def _address_of_environment() -> str:
    named = (os.environ.get(name) for name in _ADDRESS_VARIABLES)
    return next((address for address in named if address), DEFAULT_ADDRESS)


@contextmanager
def _no_other_address(address: str) -> Iterator[None]:
    """Set Ray's variable to *address*: its client prefers the variable to its argument."""
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


def _refuse_other_schemes(address: str, shown: str) -> None:
    """Raise ConfigurationError for an address of Ray Client, or of something else."""
    scheme, separator, _ = address.partition("://")
    if separator and scheme not in _PORTS:
        what = "an address of Ray Client" if scheme == "ray" else "no address of a dashboard"
        raise ConfigurationError(
            f"{shown} is {what}, but jobs are submitted to the cluster's dashboard. Name it with "
            "--address http://HOST:8265 or RAY_API_SERVER_ADDRESS."
        )


def _without_password(address: str) -> str:
    """Return the address without user name and password, so that it may be shown."""
    scheme, separator, rest = address.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _way_to(address: str) -> Proxy | None:
    """Return the proxy for a cluster's address; None for this machine's loopback."""
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
    except ValueError:  # the port is not a number
        host, port = None, None
    if host is None or port is None:
        raise ConfigurationError(
            f"{_without_password(address)} is not the address of a Ray cluster. Use an address "
            f"such as {DEFAULT_ADDRESS}."
        )
    return host, port


@contextmanager
def _explained(address: str, proxy: Proxy | None, what: str = "cannot be used") -> Iterator[None]:
    """Translate the client's errors into a ConfigurationError with advice."""
    try:
        yield
    except AuthenticationError:
        raise ConfigurationError(about_token(address)) from None
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        through = "" if proxy is None else f" (through the proxy {proxy.shown} of {proxy.variable})"
        raise ConfigurationError(
            f"The Ray cluster at {address} {what}: {reason_of(error)}{through}."
        ) from None
