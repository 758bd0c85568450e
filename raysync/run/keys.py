"""The secrets of a run, and what each of its jobs needs of them."""

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
    """The secrets of a run, found before anything else."""

    label: str  #: of the run, in the names of its actors
    settings: Settings
    database_url: str = field(repr=False)
    secret: bytes = field(repr=False)
    tokens: Mapping[TenantId, str] = field(repr=False)
    missing: Mapping[TenantId, ConfigurationError] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()  #: of the environment, that hold secrets
    proxies: Proxies | None = None  #: where this process starts the Ray; a cluster's nodes have own

    @classmethod
    async def find(cls, settings: Settings, engine: Engine, tenants: Sequence[Tenant]) -> RunKeys:
        """Find them; `missing` says for which tenants one is, or is another than before.

        Raises:
            ConfigurationError: there is no secret key, or a proxy is named that cannot be used.
        """
        proxies = proxies_here()
        proxies.way_to(settings.discord_api_url)
        secret = secret_key(settings)
        store = TenantStore(engine)
        tokens: dict[TenantId, str] = {}
        missing: dict[TenantId, ConfigurationError] = {}
        for each in tenants:
            sealed = await store.sealed_token(each.slug)
            try:
                tokens[each.id] = resolve_token(
                    each.token_ref, sealed, secret, settings.discord_api_url
                )
            except ConfigurationError as error:
                missing[each.id] = error
        for tenant_id, wrong in (await _wrong_keys(engine, secret, tenants)).items():
            missing.setdefault(tenant_id, wrong)
        whose = tenants[0].slug if len(tenants) == 1 else f"{len(tenants)}-tenants"
        label = f"{whose}/{uuid.uuid4().hex[:8]}"
        references = [each.token_ref for each in await store.list()]  # of those beside, too
        variables = secret_variables(references, {*tokens.values()}) | proxies.holding_password
        url = database_url(settings)
        own = proxies if settings.ray_address is None else None
        return cls(label, settings, url, secret, tokens, missing, variables, own)

    def require(self, tenant: Tenant) -> None:
        """Make sure that the tenant can be synced. Raises ConfigurationError."""
        if tenant.id in self.missing:
            raise self.missing[tenant.id]

    def of(self, tenant: Tenant, job_id: JobId, extras: Extras, people: PeopleRules) -> JobSecrets:
        """What a worker needs for one job."""
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
    """Whose pseudonyms might fit none of those that are stored; the others' key is remembered."""
    named = {each.id: each for each in tenants if each.privacy is not Privacy.FULL}
    marks = {each.id: key_mark(secret, each.guild_id) for each in named.values()}
    checks = KeyChecks(engine)
    unmarked = await checks.note(marks)
    differing = await checks.differing(marks)
    wrong = {each: unmarked_key(named[each].slug) for each in unmarked}
    return wrong | {each: another_key(named[each].slug) for each in differing}
