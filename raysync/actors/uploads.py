"""What Ray would copy to a cluster behind the user's back: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ray._common.runtime_env_uri import parse_uri
from ray._private import ray_constants

from raysync.actors.shipped import JOB_CONFIG, has_shipped_folder
from raysync.errors import ConfigurationError

_UV: Final = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
_HOOK: Final = "RAY_RUNTIME_ENV_HOOK"
_DRIVER: Final = "ray._private.worker"
_CLIENT: Final = "ray.util.client.worker"
"""Where Ray uploads: as a driver, and as a client of one."""
_UPLOADS: Final = ("upload_working_dir_if_needed", "upload_py_modules_if_needed")


def local_parts(runtime_env: Mapping[str, Any]) -> list[Path]:
    """What a runtime environment names of this machine, and Ray would upload."""
    modules = runtime_env.get("py_modules")
    named = [runtime_env.get("working_dir"), *(modules if isinstance(modules, list) else [])]
    paths = [getattr(each, "__file__", None) or each for each in named if each is not None]
    return [Path(str(each)) for each in paths if not _is_uri(str(each))]


def _is_uri(text: str) -> bool:
    try:
        parse_uri(text)
    except ValueError:
        return False
    return True


@contextmanager
def nothing_uploaded(address: str | None) -> Iterator[None]:
    """Have Ray upload nothing of this machine while it joins the cluster at *address*.

    Ray has several ways to be told of a folder behind the user's back: `uv run` among the
    ancestors of this process, a hook, a job's configuration in the environment. Whichever it is,
    this is where it would be uploaded.

    Raises:
        ConfigurationError: Ray was told of one.
    """
    places = [import_module(_DRIVER)]
    if address is not None and address.startswith("ray://"):
        places.append(import_module(_CLIENT))
    kept = [(place, name, getattr(place, name)) for place in places for name in _UPLOADS]
    has_uv = ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = has_uv and _is_uv_asked_for()
    try:
        for place, name, upload in kept:
            setattr(place, name, _checked(upload))
        yield
    finally:
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = has_uv
        for place, name, upload in kept:
            setattr(place, name, upload)


def _checked(upload: Any) -> Any:
    """An upload that refuses whatever is of this machine."""

    def refuse(runtime_env: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        for each in local_parts(runtime_env):
            raise ConfigurationError(_about(each))
        return upload(runtime_env, *arguments, **options)

    return refuse


def _is_uv_asked_for() -> bool:
    """Whether workers are to start by `uv run`: in a folder that was shipped, or by a variable."""
    return has_shipped_folder() or os.environ.get(_UV, "0").lower() in ("1", "true")


def _about(path: Path) -> str:
    told_by = [name for name in (_UV, _HOOK, JOB_CONFIG) if os.environ.get(name, "0") != "0"]
    why = f" ({', '.join(told_by)} says so)" if told_by else ""
    return (
        f"Ray would upload {path.absolute()} to the cluster{why}, and raysync uploads nothing that "
        "you did not name. Unset that, and install raysync on the cluster's nodes "
        "(docs/cluster.md); or name the folder: raysync submit --working-dir DIR."
    )
