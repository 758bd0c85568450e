"""Secrets: their sources, their encryption at rest, and sealed boxes for transport.

A tenant names its token by reference: ``env:NAME``, ``file:/path`` or ``stored`` (encrypted in the
database). The demo's reference is ``demo:URL``; its token is encrypted, too, and valid at that
address only. The driver resolves the reference. A worker gets its secrets sealed to a public key
whose private key exists only in that worker's memory. So neither Ray's object store, its control
plane nor its dashboard ever has them in clear.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from raysync.discord_api.address import DISCORD_API_URL, is_same
from raysync.errors import ConfigurationError, TokenUnavailableError
from raysync.settings import Settings

STORED = "stored"
DEMO = "demo"
KEY_FILE = "secret.key"
_ALWAYS_SECRET = frozenset({"RAYSYNC_DATABASE_URL", "RAYSYNC_SECRET_KEY"})

_NO_REPLACEMENT = (
    "A stored token cannot be replaced. Removing the tenant and adding it again with its token "
    "would also delete its stored messages."
)


def secret_key(settings: Settings) -> bytes:
    """Return the installation's secret: ``RAYSYNC_SECRET_KEY``, or the embedded database's.

    Raises:
        ConfigurationError: the database is the user's own and no key is set.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode(errors="surrogateescape")
    if settings.database_url is not None:
        raise ConfigurationError(
            "RAYSYNC_SECRET_KEY is not set. Pseudonyms and stored tokens need it, and every "
            "machine that uses this database needs the same key: `openssl rand -hex 32` makes one."
        )
    return _kept_key(settings.home / KEY_FILE)


def _kept_key(path: Path) -> bytes:
    try:
        write_secret_once(path)
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(
            f"Cannot store the secret key in {path}: {error.strerror}. Set RAYSYNC_HOME to a "
            "directory of your own, or RAYSYNC_SECRET_KEY."
        ) from None
    if len(key) < 32:
        raise ConfigurationError(
            f"{path} holds no usable key. Restore it from a backup: the pseudonyms depend on it."
        )
    return key


def write_secret_once(path: Path) -> None:
    """Write a random secret of 64 hexadecimal digits, which only the owner can read, if none is.

    The file is complete or not there, also with concurrent attempts.
    """
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another command was first, and its secret is used
    finally:
        draft.unlink()


def tenant_key(secret: bytes, guild_id: int) -> bytes:
    """Return the key of one tenant's pseudonyms: always the same for a guild, unique to it."""
    return hmac.new(secret, f"raysync/pseudonyms/v1/{guild_id}".encode(), hashlib.sha256).digest()


def key_mark(secret: bytes, guild_id: int) -> str:
    """Return a mark that distinguishes keys of a guild's pseudonyms and reveals nothing of them."""
    key = tenant_key(secret, guild_id)
    return hmac.new(key, b"raysync/key-mark/v1", hashlib.sha256).hexdigest()[:16]


def another_key(slug: str) -> ConfigurationError:
    """Return the error for a key in use that differs from the one of the tenant's pseudonyms."""
    return ConfigurationError(
        f"The pseudonyms of {slug} were made under another RAYSYNC_SECRET_KEY: set that one again. "
        f"If it is lost for good, `raysync privacy accept-key --tenant {slug}` continues under "
        "this one. People then get new pseudonyms, and forgotten people are stored again."
    )


def unmarked_key(slug: str) -> ConfigurationError:
    """Return the error for a worker's run of a tenant whose key the owner has not accepted yet."""
    return ConfigurationError(
        f"No RAYSYNC_SECRET_KEY is recorded for {slug} yet, and the role that raysync connects as "
        "may not record the first one. As the owner of the tables, with the key of these runs, "
        f"run `raysync privacy accept-key --tenant {slug}` once."
    )


def token_fingerprint(secret: bytes, token: str) -> str:
    """Return the token's fingerprint, which limits and logs use in place of the token."""
    return hmac.new(secret, b"raysync/token/v1/" + token.encode(), hashlib.sha256).hexdigest()[:24]


def _token_box(secret: bytes) -> SecretBox:
    return SecretBox(hmac.new(secret, b"raysync/stored-token/v1", hashlib.sha256).digest())


def seal_token(token: str, secret: bytes) -> bytes:
    """Encrypt *token* for the database."""
    return bytes(_token_box(secret).encrypt(token.encode()))


def resolve_token(
    reference: str, sealed: bytes | None, secret: bytes, api_url: str = DISCORD_API_URL
) -> str:
    """Return the token that *reference* names. *sealed* is the encrypted one in the database.

    Raises:
        TokenUnavailableError: the variable is not set, the file cannot be read, the key is another
            one, or the token is the demo's and *api_url* is not the demo's Discord.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env":
        token = _variable(rest)
        missing = (
            f"The environment variable {rest}, which should hold the bot token, is not set here."
        )
    elif kind == "file":
        token = _read_token_file(Path(rest))
        missing = f"The token file {rest} is empty."
    elif kind == DEMO and not is_same(rest, api_url):
        raise TokenUnavailableError(
            "The demo's Discord has ended: `raysync demo --keep` keeps one running. (If it still "
            f"runs, set RAYSYNC_DISCORD_API_URL={rest}.)"
        )
    elif kind in (STORED, DEMO) and sealed is not None:
        token = _unseal_stored(sealed, secret)
        missing = f"The stored token is empty. {_NO_REPLACEMENT}"
    else:
        raise TokenUnavailableError(
            "The tenant has no usable token reference: remove it and add it again with "
            "--token-env, --token-file or --token-stdin."
        )
    if not token.strip():
        raise TokenUnavailableError(missing)
    return token.strip()


def _variable(name: str) -> str:
    try:
        return os.environ.get(name, "")
    except ValueError:  # no valid name of a variable
        return ""


def _read_token_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # a zero byte in the name, or a file that is no text
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise TokenUnavailableError(f"The token file {path} cannot be read: {reason}.") from None


def _unseal_stored(sealed: bytes, secret: bytes) -> str:
    try:
        return _token_box(secret).decrypt(sealed).decode()
    except CryptoError:
        raise TokenUnavailableError(
            "The stored token was sealed under another RAYSYNC_SECRET_KEY: set that key again. "
            + _NO_REPLACEMENT
        ) from None


def secret_variables(references: Iterable[str], secrets: Collection[str]) -> frozenset[str]:
    """Return this process's environment variables that hold a secret of raysync.

    These are the variables that always do, those that *references* name, and all that hold one of
    *secrets*.
    """
    named = {
        reference.removeprefix("env:") for reference in references if reference.startswith("env:")
    }
    holding = {name for name, value in os.environ.items() if value.strip() in secrets}
    return frozenset((_ALWAYS_SECRET | named | holding) & os.environ.keys())


def readable_by_others(path: Path) -> bool:
    """Return whether users other than the owner may read the file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


class SealedInbox:
    """Receiver of secrets in a worker: anyone can seal to its public key, only it can open."""

    def __init__(self) -> None:
        self._private = PrivateKey.generate()

    def public_key(self) -> bytes:
        """Return the key to seal secrets with."""
        return bytes(self._private.public_key)

    def open(self, sealed: bytes) -> bytes:
        """Return the plain secret. Raises nacl's CryptoError if it was sealed for another inbox."""
        return bytes(SealedBox(self._private).decrypt(sealed))


def seal_for(public_key: bytes, plain: bytes) -> bytes:
    """Encrypt *plain* so that only the inbox with *public_key* can read it."""
    return bytes(SealedBox(PublicKey(public_key)).encrypt(plain))
