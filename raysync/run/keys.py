"""Secrets of a run, and of each of its jobs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretBytes, SecretStr

from raysync.credentials import (
    another_key,
    key_mark,
    resolve_token,
    secret_key,
    secret_variables,
    tenant_key,
    token_fingerprint,
    unmarked_key,
)
from raysync.database import database_url
from raysync.discord_api.proxies import Proxies, proxies_here
from raysync.errors import ConfigurationError
from raysync.models.entities import Privacy, Tenant
from raysync.models.extras import Extras
from raysync.models.ids import JobId, TenantId
from raysync.models.privacy import PeopleRules
from raysync.settings import Settings
from raysync.store.connection.engine import Engine
from raysync.store.privacy.key_checks import KeyChecks
from raysync.store.tenants import TenantStore
from raysync.worker.secrets import JobSecrets


@dataclass(frozen=True, slots=True)
class RunKeys:
    """Secrets of a run, resolved before anything else."""

    label: str  #: name of the run, part of its actors' names
    settings: Settings
    database_url: str = field(repr=False)
    secret: bytes = field(repr=False)
    tokens: Mapping[TenantId, str] = field(repr=False)
    missing: Mapping[TenantId, ConfigurationError] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()  #: environment variables that hold secrets
    proxies: Proxies | None = None  #: for a local Ray; nodes of a cluster have their own

    @classmethod
    async def find(cls, settings: Settings, engine: Engine, tenants: Sequence[Tenant]) -> RunKeys:
        """Resolve the secrets; `missing` has the tenants without a token, or with another key.

        Raises:
            ConfigurationError: there is no secret key, or a configured proxy cannot be used.
        """
        proxies = proxies_here()
        proxies.way_to(settings.discord_api_url)
        secret = secret_key(settings)
        store = TenantStore(engine)
        tokens: dict[TenantId, str] = {}
        missing: dict[TenantId, ConfigurationError] = {}
        for tenant in tenants:
            sealed = await store.sealed_token(tenant.slug)
            try:
                tokens[tenant.id] = resolve_token(
                    tenant.token_ref, sealed, secret, settings.discord_api_url
                )
            except ConfigurationError as error:
                missing[tenant.id] = error
        for tenant_id, wrong in (await _wrong_keys(engine, secret, tenants)).items():
            missing.setdefault(tenant_id, wrong)
        name = tenants[0].slug if len(tenants) == 1 else f"{len(tenants)}-tenants"
        label = f"{name}/{uuid.uuid4().hex[:8]}"
        references = [tenant.token_ref for tenant in await store.list()]  # of all tenants
        variables = secret_variables(references, {*tokens.values()}) | proxies.holding_password
        url = database_url(settings)
        own = proxies if settings.ray_address is None else None
        return cls(label, settings, url, secret, tokens, missing, variables, own)

    def require(self, tenant: Tenant) -> None:
        """Raise ConfigurationError unless the tenant can be synced."""
        if tenant.id in self.missing:
            raise self.missing[tenant.id]

    def of(self, tenant: Tenant, job_id: JobId, extras: Extras, people: PeopleRules) -> JobSecrets:
        """Return the secrets of one job, for a worker."""
        token = self.tokens[tenant.id]
        return JobSecrets(
            job_id=job_id,
            tenant=tenant.slug,
            guild_id=tenant.guild_id,
            extras=extras,
            people=people,
            database_url=SecretStr(self.database_url),
            token=SecretStr(token),
            token_fingerprint=token_fingerprint(self.secret, token),
            pseudonym_key=SecretBytes(tenant_key(self.secret, tenant.guild_id)),
            privacy=tenant.privacy,
            discord_api_url=self.settings.discord_api_url,
            requests_per_second=self.settings.global_requests_per_second,
            channel_pages_per_second=self.settings.channel_pages_per_second,
            invalid_request_limit=self.settings.invalid_request_limit,
            page_size=self.settings.message_fetch_size,
            retry_base_s=self.settings.retry_delay_ms / 1000,
            proxies=self.proxies,
        )


async def _wrong_keys(
    engine: Engine, secret: bytes, tenants: Sequence[Tenant]
) -> dict[TenantId, ConfigurationError]:
    """Return the tenants whose pseudonyms may not match the stored ones; note the others' keys."""
    named = {tenant.id: tenant for tenant in tenants if tenant.privacy is not Privacy.FULL}
    marks = {tenant.id: key_mark(secret, tenant.guild_id) for tenant in named.values()}
    checks = KeyChecks(engine)
    unmarked = await checks.note(marks)
    differing = await checks.differing(marks)
    wrong = {id_: unmarked_key(named[id_].slug) for id_ in unmarked}
    return wrong | {id_: another_key(named[id_].slug) for id_ in differing}
