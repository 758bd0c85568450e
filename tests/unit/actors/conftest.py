"""A user's home without a token of Ray, and Ray's view of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._raylet import AuthenticationTokenLoader, Config, get_authentication_mode

VARIABLES = (
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
)


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Return a home without a token; Ray gets its own mode back afterwards."""
    with monkeypatch.context() as patch:
        for name in VARIABLES:
            patch.setenv(name, "")  # recorded, so that it is restored if the test sets it
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path))
        reread()
        yield tmp_path
    reread()


def reread() -> None:
    """Make Ray read the variables, which it has read at its import."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def keep_token(home: Path, token: str) -> None:
    """Store a token where Ray looks for it."""
    (home / ".ray").mkdir()
    (home / ".ray/auth_token").write_text(f"{token}\n")


def sends_token() -> bool:
    """Return whether Ray's clients in this process send a token."""
    return bool(get_authentication_mode())
