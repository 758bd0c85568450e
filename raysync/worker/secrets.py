"""Secrets of a job, which travel to workers sealed."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr, field_serializer

from raysync.credentials import SealedInbox, seal_for
from raysync.discord_api.proxies import Proxies
from raysync.models.entities import BotIdentity, Privacy
from raysync.models.extras import Extras
from raysync.models.ids import GuildId, JobId
from raysync.models.privacy import PeopleRules


class JobSecrets(BaseModel):
    """Secrets and settings that open a job in a worker."""

    model_config = ConfigDict(frozen=True)

    job_id: JobId
    tenant: str
    guild_id: GuildId
    database_url: SecretStr
    token: SecretStr
    token_fingerprint: str
    pseudonym_key: SecretBytes
    privacy: Privacy
    discord_api_url: str
    requests_per_second: float
    channel_pages_per_second: float
    invalid_request_limit: int
    page_size: int
    retry_base_s: float
    extras: Extras = Extras()
    people: PeopleRules = PeopleRules()
    proxies: Proxies | None = None  #: the driver's; None: those of the node's environment
    identity: BotIdentity | None = None  #: known once a first client has logged in

    @field_serializer("database_url", "token", when_used="json")
    def _plain(self, secret: SecretStr) -> str:
        return secret.get_secret_value()

    @field_serializer("pseudonym_key", when_used="json")
    def _hex(self, secret: SecretBytes) -> str:
        return secret.get_secret_value().hex()

    def key(self) -> bytes:
        """Return the key of the tenant's pseudonyms."""
        return self.pseudonym_key.get_secret_value()

    def sealed_for(self, public_key: bytes) -> bytes:
        """Return the secrets sealed for the worker with that public key."""
        return seal_for(public_key, self.model_dump_json().encode())


def export_proxies(secrets: JobSecrets) -> None:
    """Set the driver's proxies in this worker, for libraries of object stores.

    Never call this in the driver: Ray's processes inherit its environment, without passwords.
    """
    if secrets.proxies is not None:
        for name, value in secrets.proxies.variables.items():
            os.environ.setdefault(name, value)


def opened(inbox: SealedInbox, sealed: bytes) -> JobSecrets:
    """Return the secrets that `sealed_for` sealed."""
    received = JobSecrets.model_validate_json(inbox.open(sealed))
    key = bytes.fromhex(received.key().decode())
    return received.model_copy(update={"pseudonym_key": SecretBytes(key)})
