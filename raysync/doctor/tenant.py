"""Checks of one tenant: its archive, its token, and what its bot can read."""

from __future__ import annotations

from raysync.credentials import resolve_token, secret_key, tenant_key
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import pseudonymizer_for
from raysync.doctor.archive import check_archive, check_pseudonyms
from raysync.doctor.guild import check_guild
from raysync.doctor.sentences import FAIL, OK, clock_check, tenant_check
from raysync.errors import ConfigurationError, RaysyncError, RetryableError, TokenRejectedError
from raysync.models.checks import Check
from raysync.models.entities import Tenant
from raysync.ratelimit.slow import SlowLimiter
from raysync.settings import Settings
from raysync.store.connection.engine import Engine
from raysync.store.tenants import TenantStore

PAUSE_S = 0.7
"""Seconds between two requests. That is so slow that no run with the same token is affected."""


async def check_tenant(settings: Settings, engine: Engine, tenant: Tenant) -> list[Check]:
    """Check a tenant's archive, its token, and what Discord lets the token read."""
    checks = await check_archive(engine, tenant)
    try:
        secret = secret_key(settings)
        checks += await check_pseudonyms(engine, tenant, secret)
        sealed = await TenantStore(engine).sealed_token(tenant.slug)
        token = resolve_token(tenant.token_ref, sealed, secret, settings.discord_api_url)
    except ConfigurationError as error:
        return [*checks, tenant_check(tenant, "token", FAIL, str(error))]
    limiter = SlowLimiter(PAUSE_S)
    identities = pseudonymizer_for(tenant.privacy, tenant_key(secret, tenant.guild_id))
    try:
        async with DiscordClient(token, settings.discord_api_url, limiter, identities) as client:
            checks.append(tenant_check(tenant, "token", OK, "Discord accepts it."))
            checks += await check_guild(client, tenant)
    except RaysyncError as error:
        name = "token" if isinstance(error, TokenRejectedError) else "discord"
        checks.append(tenant_check(tenant, name, FAIL, str(error), _connection_advice(error)))
    if limiter.discord_says is not None:
        checks.append(clock_check("clock", "Discord", limiter.discord_says, tenant.slug))
    return checks


def _connection_advice(error: RaysyncError) -> str | None:
    """Return what to check if Discord gave no answer. Other errors contain their advice."""
    if not isinstance(error, RetryableError):
        return None
    return (
        "Check this machine's connection to Discord (name server, firewall, proxy), "
        "RAYSYNC_DISCORD_API_URL if it is set, and https://discordstatus.com."
    )
