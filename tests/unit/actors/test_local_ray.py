"""Private parts of Ray that `raysync.actors.local_ray` uses."""

from __future__ import annotations

import inspect
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ray._private import services
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._raylet import InnerGcsClient

from raysync.actors import local_ray

_STARTERS = ("start_gcs_server", "start_raylet", "start_api_server")
STATISTICS = "RAY_USAGE_STATS_ENABLED"


@contextmanager
def open_local_ray() -> Iterator[local_ray.LocalRay]:
    """Yield a node without processes; end it, and wait until Ray's functions are restored."""
    local = local_ray.LocalRay()
    try:
        yield local
    finally:
        local.end()
        for thread in threading.enumerate():
            if thread.name == "local-ray":
                thread.join(30)


@pytest.mark.parametrize(
    ("function", "needed"),
    [
        (RayParams, "object_store_memory include_log_monitor no_monitor dashboard_host"),
        (RayParams, "dashboard_port resource_isolation_config"),
        (Node, "ray_params head shutdown_at_exit spawn_reaper ray_init_cluster"),
        (Node.start_api_server, "include_dashboard raise_on_failure"),
        (Node.kill_all_processes, "check_alive allow_graceful wait"),
        (services.start_ray_process, "command process_type env_updates"),
    ],
)
def test_ray_takes_the_parameters_that_a_local_ray_passes(function: Any, needed: str) -> None:
    missing = set(needed.split()) - inspect.signature(function).parameters.keys()

    assert not missing, f"{function.__qualname__} of Ray no longer takes {', '.join(missing)}"


def test_ray_starts_its_processes_by_the_functions_that_a_local_ray_replaces() -> None:
    head = inspect.getsource(Node.start_head_processes)
    assert "self.start_api_server(" in head, "Ray no longer starts the dashboard by this method"
    assert "if not self._ray_params.no_monitor:" in head, "no_monitor no longer means the monitor"
    rest = inspect.getsource(Node.start_ray_processes)
    assert "if self._ray_params.include_log_monitor:" in rest, "the log monitor starts elsewhere"
    for name in _STARTERS:
        source = inspect.getsource(getattr(services, name))
        assert "start_ray_process(" in source, f"{name} of Ray starts its process in another way"


def test_ray_has_the_attributes_that_a_local_ray_reads() -> None:
    wanted = ("gcs_address", "webui_url", "get_session_dir_path", "get_gcs_client")
    missing = [name for name in wanted if not hasattr(Node, name)]
    missing += [name for name in ("get_all_job_info",) if not hasattr(InnerGcsClient, name)]

    assert not missing, f"Ray no longer has {', '.join(missing)}"
    assert services.ProcessInfo._fields[0] == "process"
    assert local_ray._DASHBOARD == services.ray_constants.PROCESS_TYPE_DASHBOARD


def test_the_environment_of_this_process_stays_while_ray_starts_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(STATISTICS, raising=False)
    seen: list[str | None] = []
    start_ray_process: Any = services.start_ray_process

    def start(*arguments: Any, **options: Any) -> Any:
        seen.append(os.environ.get(STATISTICS))
        return start_ray_process(*arguments, **options)

    monkeypatch.setattr(services, "start_ray_process", start)
    out, into = os.pipe()
    with open_local_ray() as local, os.fdopen(out) as output, os.fdopen(into, "w") as file:
        options = {"fate_share": False, "env_updates": {"A": "b"}, "stdout_file": file}
        command = [sys.executable, "-c", "import os; print(dict(os.environ))"]
        found: Any = services
        local._call(lambda: found.start_ray_process(command, "raylet", **options)).process.wait()
        file.close()
        said = output.read()

    assert f"'{STATISTICS}': '0'" in said
    assert "'A': 'b'" in said
    assert seen == [None]


def test_more_files_may_be_open_than_a_shell_allows() -> None:
    """`ray.init` does the same, but only after this node has started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        local_ray._allow_open_files()
        now, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert now == min(hard, local_ray.OPEN_FILES) or hard == resource.RLIM_INFINITY
    assert now > 256


def test_a_call_after_the_end_fails_at_once() -> None:
    with open_local_ray() as local:
        pass
    answers: list[object] = []

    def call() -> None:
        answers.append(local.open_dashboard())
        with pytest.raises(RuntimeError, match="has ended") as refused:
            local.start()
        answers.append(refused.type)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(10)

    assert not caller.is_alive(), "the call waits for a thread that has ended"
    assert answers == [None, local_ray._EndedError]
