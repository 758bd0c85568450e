"""Connection to Ray: the user's cluster, or a local one that lasts as long as the run."""

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
from pathlib import Path
from typing import Any, Final

import ray
from ray._private import worker as ray_worker
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.exceptions import AuthenticationError

from raysync.actors.ray_calls import leave_ray
from raysync.actors.ray_token import is_sent, source, use_own_token
from raysync.actors.uploads import nothing_uploaded
from raysync.discord_api.proxies import asked_directly, proxies_here
from raysync.errors import ConfigurationError
from raysync.reasons import MORE_OPEN_FILES, reason_of
from raysync.signals import hangups_blocked

NAMESPACE = "raysync"
LOCAL_OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Size of the object store. No large object crosses actors: workers write pages themselves."""

_OF_CLOUDS = ("169.254.169.254", "metadata.google.internal")
"""Metadata servers of clouds, which Ray asks at its start."""

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
        "Free some space, or set RAY_TMPDIR to a directory on another disk.",
    ),
    ("Permission denied", "Set RAY_TMPDIR to a directory that you may write to."),
    (
        "timed out during startup",
        "The machine may be short of memory, processes or open files. Check `ulimit -a`.",
    ),
)
"""Advice to the user, by a part of the reason."""


@dataclass(frozen=True, slots=True)
class RayRuntime:
    """A connection to Ray."""

    is_local: bool  #: this process started it, and will end it
    dashboard_url: str | None
    token_source: str | None  #: variable or file with the dashboard's token; None without one
    submission_id: str | None  #: id of a submitted run in `ray job`


def connect(
    address: str | None, home: Path, *, dashboard: bool = True, hidden: Collection[str] = ()
) -> RayRuntime:
    """Join the cluster at *address*, or start a local one where it is None.

    The token of a local Ray lies under *home*, so that the user's own Ray keeps its own.
    Processes of a local Ray inherit this environment without the variables *hidden*: several
    programs could report the environment, and none of them needs a secret. Ray's own connections
    use no proxy: a proxy cannot reach this machine's loopback, and a cloud's metadata server would
    describe the proxy's machine.
    Ray installs a handler of SIGTERM, so raysync's handlers must be installed later.

    Raises:
        ConfigurationError: no server answers at *address*, or this process cannot join it.
        KeyboardInterrupt: SIGINT arrived during the call.
    """
    is_local = address is None
    if address is None:
        use_own_token(home)
        joined = "local"
    else:
        from raysync.actors.joining import require_joinable  # here: a local run needs no gRPC

        joined = require_joinable(address).address
    options: dict[str, Any] = {
        "address": joined,
        "namespace": NAMESPACE,
        "log_to_driver": False,  # workers log to files; results carry what the user must know
        "logging_level": logging.WARNING,
        "configure_logging": False,
    }
    if is_local:
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
            nothing_uploaded(),
            _interrupted_after(),
            hangups_blocked(),
        ):
            context = ray.init(**options)
    except ConfigurationError:
        ray.shutdown()  # Ray has joined the cluster already
        raise
    except (ConnectionError, RuntimeError, OSError, ValueError, AuthenticationError) as error:
        where = "a local Ray" if is_local else f"the Ray cluster at {joined}"
        raise ConfigurationError(f"Cannot use {where}: {_why(error)}") from error
    url = context.dashboard_url
    return RayRuntime(
        is_local=is_local,
        dashboard_url=f"http://{url}" if url else None,
        token_source=source() if is_sent() else None,
        submission_id=_submission_id(),
    )


def _own_hosts() -> tuple[str, ...]:
    """Return the hosts of this node and of metadata servers, which need no proxy."""
    if not proxies_here().are_set:
        return ()
    loopback = ("localhost", "127.0.0.1", "::1")
    own: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call] # Ray has no types
    return (*loopback, own, socket.gethostname(), *_OF_CLOUDS)


def _why(error: Exception) -> str:
    """Return the reason why Ray cannot be used, with advice."""
    reason = reason_of(error)
    advice = next((advice for sign, advice in _ADVICE if sign in reason), "")
    return f"{reason}. {advice}".rstrip()


@contextmanager
def _interrupted_after() -> Iterator[None]:
    """Delay SIGINT: a terminal also sends it to Ray's processes, and Ray then fails to start."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield
    except Exception:
        if not interrupted.is_set():
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted.is_set():
        ray.shutdown()
        raise KeyboardInterrupt


@contextmanager
def _without(variables: Collection[str]) -> Iterator[None]:
    """Remove *variables* from the environment until the end."""
    kept = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _keep_off_stdout() -> None:
    """Keep Ray's messages off stdout, which is for the result.

    Ray prints each worker's death there in spite of `log_to_driver`, and has no public setting.
    """
    ray_worker._worker_logs_enabled = False  # noqa: SLF001 Ray's debugger does the same


def disconnect() -> None:
    """Leave the cluster, or end a local one."""
    leave_ray()


def _submission_id() -> str | None:
    """Return this process's id in `ray job`, which its supervisor has set; None without one."""
    try:
        config = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))
        found = config.get("metadata", {}).get("job_submission_id")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
