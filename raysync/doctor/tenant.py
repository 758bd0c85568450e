"""What one tenant has for a run: its archive, its token, and what the bot may read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from raysync.credentials import (
    another_key,
    key_mark,
    resolve_token,
    secret_key,
    tenant_key,
)
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import pseudonymizer_for
from raysync.doctor.sentences import FAIL, OK, WARN, about_clock, about_tenant
from raysync.errors import (
    ConfigurationError,
    ContentIntentError,
    RaysyncError,
    RetryableError,
    TokenRejectedError,
)
from raysync.models.checks import Check
from raysync.models.entities import BotIdentity, Privacy, Tenant
from raysync.models.work import UNDOCUMENTED
from raysync.ratelimit.slow import SlowLimiter
from raysync.settings import Settings
from raysync.store.archive.dead_letters import DeadLetterStore
from raysync.store.archive.quarantine import quarantine_of
from raysync.store.connection.engine import Engine
from raysync.store.privacy.key_checks import KeyChecks
from raysync.store.privacy.rotation import Rotation
from raysync.store.privacy.scrubbings import scrubbing_of
from raysync.store.privacy.suppressions import SuppressionStore
from raysync.store.tenants import TenantStore
from raysync.sync.partition import partition_readable
from raysync.sync.planner import GuildPlanner

PAUSE_S = 0.7
"""Between two questions: so few that no run on the token notices."""
SHOWN_CHANNELS = 20
SHOWN_MESSAGES = 5
_TO_GRANT: Mapping[str, str] = {
    "VIEW_CHANNEL": "View Channel",
    "READ_MESSAGE_HISTORY": "Read Message History",
    "CONNECT": "Connect",
    "MANAGE_THREADS": "Manage Threads",
}


async def check_tenant(settings: Settings, engine: Engine, tenant: Tenant) -> list[Check]:
    """Look at a tenant's archive, and at what Discord lets its token read."""
    checks = [
        *await _dead_letters(engine, tenant),
        *await _erasures(engine, tenant),
        *await _scrubbing(engine, tenant),
        *await _quarantine(engine, tenant),
    ]
    try:
        secret = secret_key(settings)
        checks += await _pseudonyms(engine, tenant, secret)
        sealed = await TenantStore(engine).sealed_token(tenant.slug)
        token = resolve_token(tenant.token_ref, sealed, secret, settings.discord_api_url)
    except ConfigurationError as error:
        return [*checks, about_tenant(tenant, "token", FAIL, str(error))]
    slow = SlowLimiter(PAUSE_S)
    identities = pseudonymizer_for(tenant.privacy, tenant_key(secret, tenant.guild_id))
    try:
        async with DiscordClient(token, settings.discord_api_url, slow, identities) as client:
            checks.append(about_tenant(tenant, "token", OK, "Discord accepts it."))
            checks += await _guild(client, tenant)
    except RaysyncError as error:
        name = "token" if isinstance(error, TokenRejectedError) else "discord"
        checks.append(about_tenant(tenant, name, FAIL, str(error), _way_to_discord(error)))
    if slow.discord_says is not None:
        checks.append(about_clock("clock", "Discord", slow.discord_says, tenant.slug))
    return checks


def _way_to_discord(error: RaysyncError) -> str | None:
    """What to look at where Discord gave no answer; other errors say it themselves."""
    if not isinstance(error, RetryableError):
        return None
    return (
        "Look at this machine's way to Discord (name server, firewall, proxy), at "
        "RAYSYNC_DISCORD_API_URL if it is set, and at https://discordstatus.com."
    )


async def _dead_letters(engine: Engine, tenant: Tenant) -> list[Check]:
    letters = await DeadLetterStore(engine, tenant.id).list()
    if not letters:
        return []
    advice = f"Look at them: raysync dead-letters list --tenant {tenant.slug}"
    named = ", ".join(f"#{each.name} ({each.channel_id})" for each in letters[:SHOWN_CHANNELS])
    more = f" and {len(letters) - SHOWN_CHANNELS} more" if len(letters) > SHOWN_CHANNELS else ""
    says = f"{len(letters)} channels were given up and not read to their end since: {named}{more}."
    return [about_tenant(tenant, "dead letters", WARN, says, advice)]


async def _quarantine(engine: Engine, tenant: Tenant) -> list[Check]:
    found = await quarantine_of(engine, tenant.id, SHOWN_MESSAGES)
    if not found.messages:
        return []
    named = "; ".join(
        f"message {each.message_id} in {each.channel} ({each.channel_id}): {', '.join(each.fields)}"
        for each in found.first
    )
    left = found.messages - len(found.first)
    more = f'; and {left} more, whose lines of `raysync export` have a key "quarantine"'
    says = (
        f"{found.messages} stored messages in {found.channels} channels have fields that this "
        f"version could not read: {named}{more if left else ''}."
    )
    advice = (
        "Nothing is lost, and the rest of each is stored. Upgrade raysync, then read them again: "
        f"raysync start --tenant {tenant.slug} --full (or --lookback 7d for young ones). If this "
        "is the newest version, report the fields named here."
    )
    return [about_tenant(tenant, "quarantine", WARN, says, advice)]


async def _scrubbing(engine: Engine, tenant: Tenant) -> list[Check]:
    """What is to be done where rows may be there that were kept under earlier rules."""
    scrubbing = await scrubbing_of(engine, tenant.id)
    if not scrubbing.is_due:
        return []
    parts = "A text that was one address with parameters named ex, is or hm may lack them."
    left = "Ids of people may be left in texts and payloads. " * (
        tenant.privacy is not Privacy.FULL
    )
    says = f"Rows of before were kept under earlier rules. {left}{parts}"
    if scrubbing.is_unfinished:
        says = "Bringing rows of before to today's rules was begun and did not come to its end."
    advice = (
        f"Bring them up: raysync privacy rescrub --tenant {tenant.slug}. Such texts come back from "
        f"Discord alone: raysync start --tenant {tenant.slug} --full"
    )
    return [about_tenant(tenant, "scrubbing", WARN, says, advice)]


async def _erasures(engine: Engine, tenant: Tenant) -> list[Check]:
    listed = await SuppressionStore(engine, tenant.id).list()
    begun = [each for each in listed if each.erased_at is None]
    if not begun:
        return []
    says = f"{len(begun)} of the erasures were begun and did not come to their end."
    advice = f"See which, and do them again: raysync forget --tenant {tenant.slug} --list"
    return [about_tenant(tenant, "erasure", FAIL, says, advice)]


async def _pseudonyms(engine: Engine, tenant: Tenant, secret: bytes) -> list[Check]:
    if tenant.privacy is Privacy.FULL:
        return []
    checks = []
    if await KeyChecks(engine).differing({tenant.id: key_mark(secret, tenant.guild_id)}):
        checks.append(about_tenant(tenant, "pseudonyms", FAIL, str(another_key(tenant.slug))))
    if (await Rotation(engine, tenant.id, lambda _: None).state()).is_unfinished:
        says = "A rotation was begun and did not come to its end: no run begins."
        advice = f"Finish it: raysync privacy rotate --tenant {tenant.slug}"
        checks.append(about_tenant(tenant, "pseudonyms", FAIL, says, advice))
    return checks


async def _guild(client: DiscordClient, tenant: Tenant) -> list[Check]:
    planner = GuildPlanner(client.guilds, tenant.guild_id)
    try:
        survey = await planner.survey()
    except ContentIntentError as error:
        return [about_tenant(tenant, "intents", FAIL, str(error))]
    except ConfigurationError as error:
        advice = (
            "Invite the bot: Developer Portal, your application, OAuth2, URL Generator, bot. If "
            f"the guild's id is mistyped, and nothing of it is kept: raysync tenant remove "
            f"{tenant.slug}, then add it again."
        )
        return [about_tenant(tenant, "guild", FAIL, str(error), advice)]
    lacking = [
        about_tenant(
            tenant,
            "routes",
            WARN,
            f"Not covered, {each.missing.what}: {each.missing.reason}",
            "Nothing: a run syncs what there is, and tells it as not covered.",
        )
        for each in planner.uncovered.all()
    ]
    sorted_ = partition_readable(survey, (*survey.channels.values(), *survey.active_threads))
    readable = len(sorted_.readable)
    checks = [
        *lacking,
        _intents(await client.login(), tenant),
        about_tenant(
            tenant,
            "guild",
            OK if readable else FAIL,
            f"{survey.guild.name}: {readable} channels and active threads can be read.",
            None if readable else "Give the bot a role that may view channels.",
        ),
    ]
    checks += [about_tenant(tenant, "guild", WARN, f"Of {each}") for each in survey.troubles]
    reasons = Counter(each.reason for each in sorted_.skipped)
    for reason, count in reasons.most_common():
        named = [each for each in sorted_.skipped if each.reason == reason]
        channels = ", ".join(f"{each.name} ({each.channel_id})" for each in named[:SHOWN_CHANNELS])
        more = f" and {count - SHOWN_CHANNELS} more" if count > SHOWN_CHANNELS else ""
        says = f"Left out, {reason}: {channels}{more}"
        checks.append(about_tenant(tenant, "channels", WARN, says, _how_to_grant(reason)))
    return checks


def _intents(bot: BotIdentity, tenant: Tenant) -> Check:
    if bot.unknown_intent is None:
        return about_tenant(tenant, "intents", OK, "Message Content is on.")
    says = "Nobody can tell whether Message Content is on: the API does not say."
    return about_tenant(
        tenant, "intents", WARN, says, "Look into the Developer Portal, if there is one."
    )


def _how_to_grant(reason: str) -> str | None:
    if UNDOCUMENTED in reason:
        return "Look for a newer version of raysync; if there is none, report it."
    missing = next((each for each in _TO_GRANT if each in reason), None)
    if missing is None:
        return None
    return (
        f"In Discord: Edit Channel, Permissions, the bot's role, {_TO_GRANT[missing]}: allow. "
        "Leave it where the channel is not to be copied."
    )
