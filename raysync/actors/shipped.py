"""Detection of a folder that was shipped with a job, before Ray is imported."""

from __future__ import annotations

import json
import os
from typing import Final

JOB_CONFIG: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Variable in which Ray gives a job's configuration to the job's driver."""


def has_shipped_folder() -> bool:
    """Return whether this process is a job's driver in a folder that was shipped with the job."""
    try:
        config = json.loads(os.environ.get(JOB_CONFIG, "{}"))
        folder = (config.get("runtime_env") or {}).get("working_dir")
    except (ValueError, AttributeError):
        return False
    return isinstance(folder, str) and "://" in folder
