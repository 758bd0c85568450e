"""Settings from environment variables, read once; lower layers receive values, not Settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from raysync.discord_api.address import DISCORD_API_URL, normalized
from raysync.errors import ConfigurationError
from raysync.logs import LogFormat

LOCAL_RAYS: Final = "local_ray"
"""Folder under RAYSYNC_HOME with the state files of warm local Rays."""


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("raysync", appauthor=False))


def home() -> Path:
    """Return the directory of raysync's own files, without validating other variables."""
    path = os.environ.get("RAYSYNC_HOME")
    return (Path(path) if path else _default_home()).expanduser().absolute()


class Settings(BaseSettings):
    """Settings of one process. Variable names are public: scripts and clusters depend on them."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    home: Path = Field(default_factory=_default_home, alias="RAYSYNC_HOME")
    database_url: SecretStr | None = Field(default=None, alias="RAYSYNC_DATABASE_URL")
    discord_api_url: str = Field(default=DISCORD_API_URL, alias="RAYSYNC_DISCORD_API_URL")
    secret_key: SecretStr | None = Field(default=None, alias="RAYSYNC_SECRET_KEY")
    max_channel_workers: int = Field(default=10, ge=1, le=1000, alias="SYNC_MAX_CHANNEL_WORKERS")
    channel_batch_size: int = Field(default=5, ge=1, le=100, alias="SYNC_CHANNEL_BATCH_SIZE")
    message_fetch_size: int = Field(default=100, ge=1, le=100, alias="SYNC_MESSAGE_FETCH_SIZE")
    retry_delay_ms: int = Field(default=1000, ge=0, le=600_000, alias="SYNC_RETRY_DELAY_MS")
    global_requests_per_second: float = Field(
        default=48.0, gt=0, le=10_000, alias="SYNC_GLOBAL_REQUESTS_PER_SECOND"
    )
    channel_pages_per_second: float = Field(
        default=1.0, gt=0, le=10_000, alias="SYNC_CHANNEL_PAGES_PER_SECOND"
    )
    invalid_request_limit: int = Field(
        default=1000, ge=1, le=9_000, alias="SYNC_INVALID_REQUEST_LIMIT"
    )
    worker_resource: str | None = Field(default=None, alias="SYNC_WORKER_RESOURCE")
    worker_timeout_s: float = Field(default=60.0, ge=1, le=3600, alias="SYNC_WORKER_TIMEOUT_S")
    log_format: LogFormat = Field(default=LogFormat.TEXT, alias="SYNC_LOG_FORMAT")
    local_ray_idle_s: float = Field(default=0.0, ge=0, le=86_400, alias="RAYSYNC_LOCAL_RAY_IDLE_S")
    ray_address: str | None = Field(default=None, alias="RAY_ADDRESS")

    @field_validator("discord_api_url")
    @classmethod
    def _in_one_spelling(cls, value: str) -> str:
        return normalized(value)

    @field_validator("ray_address")
    @classmethod
    def _none_if_local(cls, value: str | None) -> str | None:
        return None if value == "local" else value  # Ray's word for a Ray of one's own

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError(
                "must have at least 16 characters; create one with `openssl rand -hex 32`"
            )
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


_PROBLEMS: Final = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "enum": "must be {expected}",
}
"""Problem with a value, as the rest of a sentence, by pydantic's type of error."""


def read_settings() -> Settings:
    """Return the settings of this process's environment.

    Raises:
        ConfigurationError: a value is invalid. The error names the variable and shows no secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"The environment variable {name} cannot be used: it {problem_of(error)}."
        ) from None


def problem_of(error: ValidationError) -> str:
    """Return the first problem with a value, as the rest of a sentence."""
    first = error.errors(include_input=False, include_url=False)[0]
    context = first.get("ctx", {})
    if first["type"] == "value_error":
        return str(context["error"])
    problem = _PROBLEMS.get(first["type"])
    return problem.format(**context) if problem else f"cannot be read: {first['msg']}"
