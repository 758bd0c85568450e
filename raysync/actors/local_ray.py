"""Local Ray of one machine: only the processes that a run needs, and the dashboard on request.

`ray.init` also starts an autoscaler's monitor and a log monitor, which are of no use on one
machine, and it waits for the dashboard before it starts the raylet. Neither `ray.init` nor
`ray start` can leave that out, so this module starts Ray's own node. It uses private parts of
Ray, which may change. `tests/unit/actors/test_local_ray.py` then fails and names the part.
"""

from __future__ import annotations

import logging
import resource
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from ray._private import services as ray_services
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._private.resource_isolation_config import ResourceIsolationConfig

from raysync.reasons import reason_of
from raysync.signals import hangups_blocked

OBJECT_STORE_BYTES: Final = 128 * 1024 * 1024
"""Size of the object store. No large object crosses actors: workers write pages themselves."""
ANSWER_S: Final = 10.0
OPEN_FILES: Final = 65_536
_DASHBOARD: Final = "dashboard"
_NO_STATISTICS: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
_log = logging.getLogger(__name__)
_services: Any = ray_services
_Environment = Callable[[], AbstractContextManager[object]]
_T = TypeVar("_T")


class _EndedError(RuntimeError):
    """The node has ended, so it starts no more processes."""


class LocalRay:
    """Head node whose processes end with this process, however this process ends.

    The kernel kills a process of Ray's as soon as the *thread* that started it ends. So one thread
    starts all of them, and lasts as long as the node.
    """

    def __init__(self, environment: _Environment = nullcontext) -> None:
        """Prepare a node. Each of its processes is started within *environment*."""
        self._environment = environment
        self._started: list[tuple[str, Any]] = []
        self._node: _Node | None = None
        self._is_ended = False
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._takes_calls = True
        self._queueing = threading.Lock()
        threading.Thread(target=self._serve, name="local-ray", daemon=True).start()

    def start(self) -> None:
        """Start Ray without a dashboard, and wait until a driver can join it.

        Raises:
            RuntimeError, OSError, ValueError: Ray cannot start.
        """
        _allow_open_files()
        try:
            self._node = self._call(_Node)
        except BaseException:
            self.end()
            raise

    @property
    def address(self) -> str:
        """Address for `ray.init`."""
        return str(self._running.gcs_address)

    @property
    def session_directory(self) -> str:
        """Directory with the logs and the sockets."""
        return str(self._running.get_session_dir_path())

    def open_dashboard(self) -> str | None:
        """Start the dashboard, unless it runs; return its URL once it answers.

        Return None where it cannot start, or is ended first. Ray logs the reason, and runs go on.
        """
        try:
            return self._call(self._open_dashboard)
        except _EndedError:
            return None

    def count_drivers(self) -> int:
        """Return the number of connected programs, without the dashboard's own connections."""
        client = self._running.get_gcs_client()
        jobs = client.get_all_job_info(
            skip_submission_job_info_field=True, skip_is_running_tasks_field=True, timeout=ANSWER_S
        ).values()
        return sum(
            not job.is_dead and not job.config.ray_namespace.startswith("_ray_internal_")
            for job in jobs
        )

    def is_alive(self) -> bool:
        """Return whether all processes live, except the dashboard, which nothing depends on."""
        return all(kind == _DASHBOARD or process.poll() is None for kind, process in self._started)

    def close_dashboard(self) -> None:
        """Kill the dashboard, also while it starts; no other one is started.

        Ray would give it a second to end. It always needs longer, and has nothing to save.
        """
        self._is_ended = True
        self._kill({_DASHBOARD})

    def end(self) -> None:
        """End all processes."""
        self.close_dashboard()
        try:
            if self._node is None:
                self._kill({process_type for process_type, _ in self._started})
            else:
                self._node.kill_all_processes(check_alive=False, allow_graceful=True, wait=True)
        finally:
            with self._queueing:
                self._takes_calls = False
                self._calls.put(None)

    def _kill(self, process_types: Collection[str]) -> None:
        for process_type, process in list(self._started):
            if process_type in process_types:
                process.kill()
                process.wait()

    @property
    def _running(self) -> Any:
        if self._node is None:
            raise RuntimeError("Ray has not started")
        return self._node

    def _open_dashboard(self) -> str | None:
        node = self._running
        if self._is_ended:
            return None
        if not node.webui_url:
            try:
                node.open_dashboard()
            except Exception as error:  # noqa: BLE001 whatever Ray raises, a run needs no dashboard
                if not self._is_ended:
                    _log.warning("Ray's dashboard does not start: %s", reason_of(error))
        return f"http://{node.webui_url}" if node.webui_url else None

    def _call(self, function: Callable[[], _T]) -> _T:
        """Call *function* in the thread that starts processes, and return its result.

        Raises:
            _EndedError: the thread has ended, or is about to.
        """
        result: Future[_T] = Future()

        def call() -> None:
            try:
                result.set_result(function())
            except BaseException as error:  # noqa: BLE001 it is raised in the caller's thread
                result.set_exception(error)

        with self._queueing:  # a call behind the last one would never be answered
            if not self._takes_calls:
                raise _EndedError("the local Ray has ended")
            self._calls.put(call)
        return result.result()

    def _serve(self) -> None:
        with hangups_blocked(), self._starting():
            while call := self._calls.get():
                call()

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """Start Ray's processes in the environment of this object, and keep their handles."""
        before = _services.start_ray_process
        thread = threading.current_thread()

        def start(command: list[str], process_type: str, **options: Any) -> Any:
            if threading.current_thread() is not thread:
                return before(command, process_type, **options)
            # not set in os.environ, which other threads read and inherit meanwhile
            options["env_updates"] = {**(options.get("env_updates") or {}), **_NO_STATISTICS}
            with self._environment():
                started = before(command, process_type, **options)
            self._started.append((process_type, started.process))
            if self._is_ended:  # meanwhile, so that `end` has not seen it
                started.process.kill()
            return started

        def is_of_interest(_record: logging.LogRecord) -> bool:
            return not self._is_ended  # Ray warns of a dashboard that ends during its start

        logger = logging.getLogger(_services.__name__)
        logger.addFilter(is_of_interest)
        _services.start_ray_process = start
        try:
            yield
        finally:
            logger.removeFilter(is_of_interest)
            if _services.start_ray_process is start:
                _services.start_ray_process = before


class _Node(Node):
    """Head node of Ray's, without what a single machine does not need."""

    def __init__(self) -> None:
        new_parameters: Any = RayParams  # its annotations are wrong
        parameters = new_parameters(
            object_store_memory=OBJECT_STORE_BYTES,
            include_log_monitor=False,  # it only sends workers' output to the driver
            no_monitor=True,  # it only asks for more machines
            dashboard_host="127.0.0.1",
            dashboard_port=None,  # the first free one from 8265
            resource_isolation_config=ResourceIsolationConfig(),
        )
        try:
            super().__init__(
                parameters,
                head=True,
                shutdown_at_exit=False,
                spawn_reaper=True,
                ray_init_cluster=True,
            )
        except (RuntimeError, OSError, ValueError):
            raise
        except Exception as error:  # Ray raises a plain Exception for a timeout
            raise RuntimeError(str(error)) from error

    def start_api_server(self, **_options: object) -> None:
        """Start no dashboard: the raylet would have to wait for it."""

    def open_dashboard(self) -> None:
        """Start the dashboard, and wait until it answers or ends."""
        super().start_api_server(include_dashboard=True, raise_on_failure=False)


def _allow_open_files() -> None:
    """Raise the soft limit of open files, as `ray.init` does: the usual 1,024 are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < more:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
