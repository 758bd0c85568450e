"""Whether a user has shipped a folder with a job; asked before Ray is imported."""

from __future__ import annotations

import json
import os
from typing import Final

JOB_CONFIG: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Where Ray leaves a job's configuration for the job's driver."""


def has_shipped_folder() -> bool:
    """Whether this process is a job's driver, in a folder that came with the job."""
    try:
        config = json.loads(os.environ.get(JOB_CONFIG, "{}"))
        folder = (config.get("runtime_env") or {}).get("working_dir")
    except (ValueError, AttributeError):
        return False
    return isinstance(folder, str) and "://" in folder
