"""The Ray that a run lives on: a cluster the user names, or a local one for as long as the run."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import ray
from ray._private import worker as ray_worker
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from raysync.actors.listener import reason_unreachable
from raysync.actors.ray_token import require_token
from raysync.actors.uploads import nothing_uploaded
from raysync.discord_api.proxies import asked_directly, proxies_here
from raysync.errors import ConfigurationError
from raysync.reasons import MORE_OPEN_FILES, reason_of
from raysync.signals import hangups_blocked

NAMESPACE = "raysync"
LOCAL_OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Nothing big crosses actors: pages go from a worker straight to the database."""

_OF_CLOUDS = ("169.254.169.254", "metadata.google.internal")
"""Where a machine of a cloud asks what it is; Ray does so at its start."""

_ADVICE: Final = (
    (
        "Version mismatch",
        "Run raysync with the cluster's versions of both, or on the cluster: raysync submit.",
    ),
    (
        "AF_UNIX path length",
        "Set RAY_TMPDIR to a directory with a shorter path, such as /tmp.",
    ),
    ("Too many open files", MORE_OPEN_FILES),
    (
        "No space left on device",
        "Make room, or set RAY_TMPDIR to a directory on another disk.",
    ),
    ("Permission denied", "Set RAY_TMPDIR to a directory that you may write to."),
    (
        "timed out during startup",
        "The machine may be short of memory, processes or open files: look at ulimit -a.",
    ),
)
"""What to do, by a part of the reason."""


@dataclass(frozen=True, slots=True)
class RayRuntime:
    """A connection to Ray."""

    is_local: bool  #: started by this process, and ends with it
    dashboard_url: str | None
    needs_token: bool  #: the dashboard asks for the token of this machine's Ray
    submission_id: str | None  #: what `ray job` calls it, where the run was submitted


def connect(
    address: str | None, *, dashboard: bool = True, hidden: Collection[str] = ()
) -> RayRuntime:
    """Join the cluster at *address*, or start a local one where it is None.

    What a local Ray starts has this process's environment, but for the variables *hidden*: half a
    dozen programs, and whoever asks them to report, have no use for a secret. Nothing of Ray's own
    goes through a proxy: none reaches this machine's loopback, and what it would be told of a cloud
    is about the proxy's machine.
    Installs Ray's own SIGTERM handling: signal handlers of ours come after this.

    Raises:
        ConfigurationError: nothing answers at *address*, or it refuses us.
        KeyboardInterrupt: SIGINT came meanwhile.
    """
    if address is not None:
        _require_listener(address)
        require_token(address)
    options: dict[str, Any] = {
        "address": address or "local",
        "namespace": NAMESPACE,
        "log_to_driver": False,  # workers log to files; what a user must know comes as a result
        "logging_level": logging.WARNING,
        "configure_logging": False,
    }
    if address is None:
        options |= {
            "include_dashboard": dashboard,
            "dashboard_host": "127.0.0.1",
            "object_store_memory": LOCAL_OBJECT_STORE_BYTES,
        }
    _keep_off_stdout()
    try:
        with (
            asked_directly(_own_hosts()),
            _without(hidden),
            nothing_uploaded(address),
            _interrupted_after(),
            hangups_blocked(),
        ):
            context = ray.init(**options)
    except ConfigurationError:
        ray.shutdown()  # it has joined, and is to leave nothing of us
        raise
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        where = f"the Ray cluster at {address}" if address else "a local Ray"
        raise ConfigurationError(f"Cannot use {where}: {_why(error)}") from error
    url = context.dashboard_url
    return RayRuntime(
        is_local=address is None,
        dashboard_url=f"http://{url}" if url else None,
        needs_token=os.environ.get("RAY_AUTH_MODE", "").lower() == "token",
        submission_id=_submission_id(),
    )


def _own_hosts() -> tuple[str, ...]:
    """Where the programs of one node find each other, and the cloud's word on it."""
    if not proxies_here().are_set:
        return ()
    loopback = ("localhost", "127.0.0.1", "::1")
    own: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call] # Ray has no types
    return (*loopback, own, socket.gethostname(), *_OF_CLOUDS)


def _why(error: Exception) -> str:
    """Return why Ray cannot be used, and what to do about it."""
    reason = reason_of(error)
    advice = next((advice for sign, advice in _ADVICE if sign in reason), "")
    return f"{reason}. {advice}".rstrip()


@contextmanager
def _interrupted_after() -> Iterator[None]:
    """Put SIGINT off. A terminal sends it to what Ray starts, too, and then Ray fails to start."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: came.set())
    try:
        yield
    except Exception:
        if not came.is_set():
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if came.is_set():
        ray.shutdown()
        raise KeyboardInterrupt


@contextmanager
def _without(variables: Collection[str]) -> Iterator[None]:
    """Have the environment lack some variables for a while."""
    kept = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _require_listener(address: str) -> None:
    """Raise ConfigurationError where no server listens; Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # a word of Ray's, such as "auto"
        return
    reason = reason_unreachable(host.strip("[]"), int(port))
    if reason is not None:
        raise ConfigurationError(
            f"Cannot connect to the Ray cluster at {address}: {reason}. Check that the cluster "
            "runs and that RAY_ADDRESS is correct."
        )


def _keep_off_stdout() -> None:
    """Have Ray print no messages of its own: stdout is the result's.

    It tells of every dead worker there, whatever `log_to_driver` says, and has no public switch.
    """
    ray_worker._worker_logs_enabled = False  # noqa: SLF001 as Ray's own debugger does


def disconnect() -> None:
    """Leave the cluster; a local one ends."""
    ray.shutdown()


def _submission_id() -> str | None:
    """The id under which `ray job` knows this process; its supervisor left it here."""
    try:
        config = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))
        found = config.get("metadata", {}).get("job_submission_id")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
