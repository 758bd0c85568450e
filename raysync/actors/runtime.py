"""Connection to Ray: the user's cluster, or a local one that lasts as long as the run."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ray
from ray._private import worker as ray_worker
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.exceptions import AuthenticationError

from raysync.actors.local_ray import LocalRay
from raysync.actors.ray_calls import leave_ray
from raysync.actors.ray_token import is_sent, source, use_own_token
from raysync.actors.uploads import nothing_uploaded
from raysync.actors.warm_ray import WarmRay, WarmRayUnavailableError, end_heads
from raysync.discord_api.proxies import asked_directly, proxies_here
from raysync.errors import ConfigurationError
from raysync.reasons import MORE_OPEN_FILES, reason_of
from raysync.signals import hangups_blocked

NAMESPACE = "raysync"

_log = logging.getLogger(__name__)
_connecting = threading.RLock()
_local: LocalRay | None = None


def _no_dashboard() -> None:
    """Open no dashboard: a cluster has its own, or none is wanted."""


_open_dashboard: Callable[[], str | None] = _no_dashboard

_OF_CLOUDS = ("169.254.169.254", "metadata.google.internal")
"""Metadata servers of clouds, which Ray asks at its start."""

_SHORT_MACHINE: Final = (
    "The machine may be short of memory, processes or open files. Check `ulimit -a`."
)
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
    ("timed out during startup", _SHORT_MACHINE),
    ("Timed out waiting for file", _SHORT_MACHINE),
)
"""Advice to the user, by a part of the reason."""


@dataclass(frozen=True, slots=True)
class RayRuntime:
    """A connection to Ray."""

    is_local: bool  #: on this machine, and for runs of raysync only
    dashboard_url: str | None  #: None while `open_dashboard` still has to start it
    token_source: str | None  #: variable or file with the dashboard's token; None without one
    submission_id: str | None  #: id of a submitted run in `ray job`


def connect(
    address: str | None,
    home: Path,
    *,
    dashboard: bool = True,
    hidden: Collection[str] = (),
    idle_s: float = 0.0,
) -> RayRuntime:
    """Join the cluster at *address*, or start a local one where it is None.

    With *idle_s*, the local one is a warm Ray (`raysync.actors.warm_ray`): later runs join it, and
    it ends after that time without a run. Without *idle_s*, warm Rays under *home* end.

    The token of a local Ray lies under *home*, so that the user's own Ray keeps its own.
    Processes of a local Ray inherit this environment without the variables *hidden*: several
    programs could report the environment, and none of them needs a secret. Ray's own connections
    use no proxy: a proxy cannot reach this machine's loopback, and a cloud's metadata server would
    describe the proxy's machine.
    A local Ray gets its dashboard by `open_dashboard`, unless *dashboard* is false.
    Ray replaces the handler of SIGTERM, also when this runs in another thread. Its C++ part then
    dumps its stack before it calls the former handler. So install raysync's handlers afterwards.

    Raises:
        ConfigurationError: no server answers at *address*, or this process cannot join it.
        KeyboardInterrupt: SIGINT arrived during the call.
    """
    with _connecting:
        if address is None:
            return _use_local(home, frozenset(hidden), idle_s, dashboard=dashboard)
        from raysync.actors.joining import require_joinable  # here: a local run needs no gRPC

        joined = require_joinable(address).address
        url = _join(joined, f"the Ray cluster at {joined}")
        return _runtime(is_local=False, dashboard_url=url)


def _use_local(
    home: Path, hidden: Collection[str], idle_s: float, *, dashboard: bool
) -> RayRuntime:
    """Use a local Ray: a warm one, or one of this process."""
    global _open_dashboard
    use_own_token(home)
    if idle_s > 0:
        try:
            warm = WarmRay.of(home, idle_s, hidden)
            with _interrupted_after():
                head = warm.use(lambda found: _join_warm(found.address))
        except (WarmRayUnavailableError, OSError) as error:
            reason = reason_of(error)
            _log.warning("RAYSYNC_LOCAL_RAY_IDLE_S has no effect on this run: %s", reason)
        else:
            _open_dashboard = (lambda: warm.open_dashboard(head)) if dashboard else _no_dashboard
            return _runtime(is_local=True, dashboard_url=head.dashboard_url or None)
    else:
        end_heads(home)
    return _start_local(hidden, dashboard=dashboard)


def _join_warm(address: str) -> None:
    _join(address, "the warm Ray")


def _start_local(hidden: Collection[str], *, dashboard: bool) -> RayRuntime:
    """Start a Ray of this process, and join it."""
    global _local, _open_dashboard
    own_hosts = _own_hosts()

    @contextmanager
    def environment() -> Iterator[None]:
        with asked_directly(own_hosts), _without(hidden):
            yield

    _local = local = LocalRay(environment)
    _open_dashboard = local.open_dashboard if dashboard else _no_dashboard
    where = "a local Ray"
    try:
        with _interrupted_after():
            with _explained(where):
                local.start()
            _join(local.address, where)
    except BaseException:
        disconnect()
        raise
    return _runtime(is_local=True)


def _join(address: str, where: str) -> str | None:
    """Connect this process to the head at *address*; return the URL of its dashboard."""
    _keep_off_stdout()
    try:
        with (
            _explained(where),
            asked_directly(_own_hosts()),
            nothing_uploaded(),
            _interrupted_after(),
            hangups_blocked(),
            _quiet_about_sigterm(),
        ):
            context = ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,  # workers log to files; results carry what the user must know
                logging_level=logging.WARNING,
                configure_logging=False,
            )
    except ConfigurationError:
        ray.shutdown()  # Ray may have joined the cluster already
        raise
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn Ray's errors into ConfigurationError."""
    try:
        yield
    except (ConnectionError, RuntimeError, OSError, ValueError, AuthenticationError) as error:
        raise ConfigurationError(f"Cannot use {where}: {_why(error)}") from error


def _runtime(*, is_local: bool, dashboard_url: str | None = None) -> RayRuntime:
    return RayRuntime(
        is_local=is_local,
        dashboard_url=dashboard_url,
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


@contextmanager
def _quiet_about_sigterm() -> Iterator[None]:
    """Drop Ray's warning that it sets no handler in another thread: raysync has its own."""

    def is_of_interest(record: logging.LogRecord) -> bool:
        return "SIGTERM handler is not set" not in record.getMessage()

    logger = logging.getLogger(ray_worker.__name__)
    logger.addFilter(is_of_interest)
    try:
        yield
    finally:
        logger.removeFilter(is_of_interest)


def _keep_off_stdout() -> None:
    """Keep Ray's messages off stdout, which is for the result.

    Ray prints each worker's death there in spite of `log_to_driver`, and has no public setting.
    """
    ray_worker._worker_logs_enabled = False  # noqa: SLF001 Ray's debugger does the same


def open_dashboard() -> str | None:
    """Start the dashboard of a local Ray, and return its URL once it answers.

    The dashboard takes four seconds of a core to start, so a run calls this only after its workers
    have started. Return None without a local Ray, or where it shows no dashboard.
    """
    return _open_dashboard()


def disconnect() -> None:
    """Leave the cluster, or end a local one. A `connect` in another thread finishes first."""
    global _local, _open_dashboard
    with _connecting:
        local, _local = _local, None
        _open_dashboard = _no_dashboard
        if local is not None:
            local.close_dashboard()  # first: it uses what `ray.shutdown` removes
        leave_ray()
        if local is not None:
            local.end()


def _submission_id() -> str | None:
    """Return this process's id in `ray job`, which its supervisor has set; None without one."""
    try:
        config = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))
        found = config.get("metadata", {}).get("job_submission_id")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
