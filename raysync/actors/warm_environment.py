"""Environment of a warm Ray, which outlives the run that starts it and so must keep no secret."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

_OF_WORKERS: Final = "PG[A-Z]+|AWS_.*|GOOGLE_.*|AZURE_.*"
"""Variables of PostgreSQL (libpq's names) and of the stores of attachments."""
_OF_RAY: Final = (
    "[a-z][a-z0-9_]*|AUTH_MODE|AUTH_TOKEN_PATH|TMPDIR|USE_TLS|TLS_CA_CERT|TLS_SERVER_CERT|"
    "TLS_SERVER_KEY|BACKEND_LOG_LEVEL|DEFAULT_PYTHON_VERSION_MATCH_LEVEL|"
    "DISABLE_DOCKER_CPU_WARNING|USE_MULTIPROCESSING_CPU_COUNT|OBJECT_STORE_ALLOW_SLOW_STORAGE|"
    "ROTATION_MAX_BYTES|ROTATION_BACKUP_COUNT|ENABLE_UV_RUN_RUNTIME_ENV|PROMETHEUS_HOST|"
    "PROMETHEUS_NAME|GRAFANA_HOST|GRAFANA_IFRAME_HOST|METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR"
)
"""Variables of Ray, without RAY_: its flags, which have lower case, and those that a head needs.

No others: Ray's own secrets, addresses of other clusters and hooks are among them.
"""
_INHERITED: Final = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHON.*|"
    f"SSL_CERT_FILE|SSL_CERT_DIR|RAY_({_OF_RAY})|{_OF_WORKERS}"
)
"""Variables that workers may need. Tokens are in none of them, and workers get proxies sealed."""
_SECRET: Final = re.compile(
    ".*(PASS|SECRET|TOKEN|CREDENTIAL|SAS|KEY|CONNECTION_STRING).*", re.IGNORECASE
)
"""Names of variables that may hold a secret, which a head that outlives the run must not keep."""
_NAMES_FILE: Final = re.compile(
    ".*_(FILE|PATH)|PGPASSFILE|PGSSLKEY|RAY_TLS_SERVER_KEY|GOOGLE_APPLICATION_CREDENTIALS"
)
"""Variables that name a file, so that the secret is not in the environment."""


def environment(environ: Mapping[str, str], hidden: Collection[str]) -> dict[str, str]:
    """Return the variables of *environ* that a head gets: an allowlist, without *hidden*."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if _INHERITED.fullmatch(name) and not _is_secret(name) and name not in hidden
    }


def _is_secret(name: str) -> bool:
    """Return whether a variable may hold a secret, by its name."""
    return bool(_SECRET.fullmatch(name)) and not _NAMES_FILE.fullmatch(name)


def secrets_of_workers(names: Collection[str]) -> list[str]:
    """Return those of *names* that workers may need and that may hold a secret."""
    needed = (name for name in names if re.fullmatch(_OF_WORKERS, name))
    return sorted(filter(_is_secret, needed))
