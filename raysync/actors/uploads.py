"""Protection against uploads to a cluster that the user did not request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ray._common.runtime_env_uri import parse_uri
from ray._private import ray_constants
from ray._private import worker as ray_worker

from raysync.actors.shipped import JOB_CONFIG, has_shipped_folder
from raysync.errors import ConfigurationError

_UV: Final = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
_HOOK: Final = "RAY_RUNTIME_ENV_HOOK"
_UPLOADS: Final = ("upload_working_dir_if_needed", "upload_py_modules_if_needed")


def local_parts(runtime_env: Mapping[str, Any]) -> list[Path]:
    """Return the local paths in a runtime environment, which Ray would upload."""
    modules = runtime_env.get("py_modules")
    parts = [runtime_env.get("working_dir"), *(modules if isinstance(modules, list) else [])]
    paths = [getattr(part, "__file__", None) or part for part in parts if part is not None]
    return [Path(str(path)) for path in paths if not _is_uri(str(path))]


def _is_uri(text: str) -> bool:
    try:
        parse_uri(text)
    except ValueError:
        return False
    return True


@contextmanager
def nothing_uploaded() -> Iterator[None]:
    """Prevent uploads of local files while Ray joins a cluster.

    Ray finds folders to upload in several ways that the user may not know: `uv run` as an ancestor
    of this process, a hook, a job's configuration in the environment. All of them end in the
    functions that this context manager replaces.

    Raises:
        ConfigurationError: Ray would upload a local path.
    """
    kept = [(name, getattr(ray_worker, name)) for name in _UPLOADS]
    has_uv = ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = has_uv and _is_uv_requested()
    try:
        for name, upload in kept:
            setattr(ray_worker, name, _checked(upload))
        yield
    finally:
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = has_uv
        for name, upload in kept:
            setattr(ray_worker, name, upload)


def _checked(upload: Any) -> Any:
    """Return an upload function that refuses local paths."""

    def refuse(runtime_env: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        for path in local_parts(runtime_env):
            raise ConfigurationError(_about(path))
        return upload(runtime_env, *arguments, **options)

    return refuse


def _is_uv_requested() -> bool:
    """Return whether workers start by `uv run`: in a shipped folder, or by a variable."""
    return has_shipped_folder() or os.environ.get(_UV, "0").lower() in ("1", "true")


def _about(path: Path) -> str:
    causes = [name for name in (_UV, _HOOK, JOB_CONFIG) if os.environ.get(name, "0") != "0"]
    why = f" (because of {', '.join(causes)})" if causes else ""
    return (
        f"Ray would upload {path.absolute()} to the cluster{why}, but raysync uploads only what "
        "you name. Unset that, and install raysync on the cluster's nodes (docs/cluster.md); or "
        "name the folder: raysync submit --working-dir DIR."
    )
