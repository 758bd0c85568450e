"""Secrets: found by reference, kept once, sealed on their way."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nacl.exceptions import CryptoError
from pydantic import SecretBytes, SecretStr

from raysync.credentials import (
    SealedInbox,
    resolve_token,
    seal_for,
    seal_token,
    secret_key,
    secret_variables,
    tenant_key,
    token_fingerprint,
)
from raysync.errors import ConfigurationError, TokenUnavailableError
from raysync.models.entities import Privacy
from raysync.models.extras import Extras, FileRules
from raysync.models.ids import GuildId, JobId
from raysync.settings import Settings
from raysync.worker.secrets import JobSecrets, opened

SECRET = b"0123456789abcdef"
TOKEN = "a-bot-token-that-nobody-may-see"


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(RAYSYNC_HOME=tmp_path / "home")

    with ThreadPoolExecutor(8) as racing:
        keys = set(racing.map(lambda _: secret_key(settings), range(32)))

    [path] = (tmp_path / "home").iterdir()
    assert len(keys) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_database_of_ones_own_needs_a_key_of_ones_own(tmp_path: Path) -> None:
    url = SecretStr("postgresql://somewhere/db")

    with pytest.raises(ConfigurationError, match="RAYSYNC_SECRET_KEY is not set"):
        secret_key(Settings(RAYSYNC_HOME=tmp_path, RAYSYNC_DATABASE_URL=url))


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("short")

    with pytest.raises(ConfigurationError, match="Restore it from a backup"):
        secret_key(Settings(RAYSYNC_HOME=tmp_path))


def test_tokens_are_found_where_their_reference_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", f" {TOKEN}\n")
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    assert resolve_token("env:A_TOKEN", None, SECRET) == TOKEN
    assert resolve_token(f"file:{tmp_path}/token", None, SECRET) == TOKEN
    assert resolve_token("stored", seal_token(TOKEN, SECRET), SECRET) == TOKEN


@pytest.mark.parametrize(
    ("reference", "sealed", "told"),
    [
        pytest.param("env:NO_SUCH_TOKEN", None, "NO_SUCH_TOKEN", id="variable-unset"),
        pytest.param("file:/nowhere/token", None, "cannot be read", id="no-file"),
        pytest.param("stored", seal_token(TOKEN, b"another-key-16-b"), "another", id="other-key"),
        pytest.param("stored", None, "no usable token", id="nothing-stored"),
        pytest.param("magic:x", None, "no usable token", id="unknown-kind"),
    ],
)
def test_a_reference_that_leads_nowhere_says_so(
    reference: str, sealed: bytes | None, told: str
) -> None:
    os.environ.pop("NO_SUCH_TOKEN", None)

    with pytest.raises(TokenUnavailableError, match=told):
        resolve_token(reference, sealed, SECRET)


def test_the_demos_token_is_for_the_demos_discord_alone() -> None:
    sealed, url = seal_token(TOKEN, SECRET), "http://127.0.0.1:4711/api/v10"

    assert resolve_token(f"demo:{url}", sealed, SECRET, url) == TOKEN
    for other in ("https://discord.com/api/v10", "http://127.0.0.1:4712/api/v10"):
        with pytest.raises(TokenUnavailableError, match="demo's Discord has ended"):
            resolve_token(f"demo:{url}", sealed, SECRET, other)


def test_what_is_derived_from_the_secret_differs_by_tenant_and_by_token() -> None:
    assert tenant_key(SECRET, 1) != tenant_key(SECRET, 2)
    assert tenant_key(SECRET, 1) == tenant_key(SECRET, 1)
    assert token_fingerprint(SECRET, TOKEN) != token_fingerprint(SECRET, TOKEN + "x")
    assert TOKEN not in token_fingerprint(SECRET, TOKEN)


def test_only_the_inbox_it_was_sealed_for_opens_a_letter() -> None:
    mine, anothers = SealedInbox(), SealedInbox()
    letter = seal_for(mine.public_key(), b"a secret")

    assert mine.open(letter) == b"a secret"
    with pytest.raises(CryptoError):
        anothers.open(letter)


def test_a_jobs_secrets_arrive_whole_and_show_in_no_repr() -> None:
    box = SealedInbox()
    secrets = JobSecrets(
        job_id=JobId("job"),
        tenant="takaro",
        guild_id=GuildId(1),
        extras=Extras(reactors=True, files=FileRules("s3://key:hunter2@bucket", 10, ("image/*",))),
        database_url=SecretStr("postgresql://user:hunter2@host/db"),
        token=SecretStr(TOKEN),
        token_fingerprint="f",
        pseudonym_key=SecretBytes(bytes(range(32))),
        privacy=Privacy.PSEUDONYMOUS,
        discord_api_url="https://discord.com/api/v10",
        requests_per_second=48.0,
        channel_pages_per_second=1.0,
        invalid_request_limit=1000,
        page_size=100,
        retry_base_s=1.0,
    )

    sealed = secrets.sealed_for(box.public_key())

    assert opened(box, sealed) == secrets
    assert TOKEN.encode() not in sealed
    assert TOKEN not in repr(secrets)
    assert "hunter2" not in f"{secrets} {secrets!r}"


def test_the_variables_that_hold_secrets_are_known_by_name_and_by_what_they_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RAYSYNC_DATABASE_URL", "RAYSYNC_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "RAYSYNC_DATABASE_URL": "postgresql://u:p@h/d",
        "ITS_TOKEN": "one",
        "ANOTHERS_TOKEN": "two",
        "A_COPY": " one\n",
        "HARMLESS": "three",
    }.items():
        monkeypatch.setenv(name, value)

    assert secret_variables(["env:ANOTHERS_TOKEN", "env:UNSET", "stored", "file:/x"], {"one"}) == {
        "RAYSYNC_DATABASE_URL",
        "ITS_TOKEN",
        "ANOTHERS_TOKEN",
        "A_COPY",
    }
