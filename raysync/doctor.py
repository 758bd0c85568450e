"""Looks at everything that a sync depends on, and says what is missing and what to do about it.

It asks Discord six questions a tenant, slower than the headroom that runs leave (48 of 50 a
second), so it may be used while a run is under way.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from raysync.actors import limit_checks
from raysync.actors.requests import OWN_CONNECTIONS
from raysync.credentials import (
    KEY_FILE,
    another_key,
    key_mark,
    readable_by_others,
    resolve_token,
    secret_key,
    tenant_key,
)
from raysync.database import open_store
from raysync.discord_api.client import DiscordClient
from raysync.discord_api.privacy import pseudonymizer_for
from raysync.discord_api.proxies import proxies_here
from raysync.errors import (
    ConfigurationError,
    ContentIntentError,
    RaysyncError,
    RetryableError,
    TokenRejectedError,
)
from raysync.models.checks import Check, CheckStatus, CheckUp
from raysync.models.entities import BotIdentity, Privacy, Tenant
from raysync.models.work import UNDOCUMENTED
from raysync.privacy import scrubbing_checks
from raysync.ratelimit.slow import SlowLimiter
from raysync.settings import Settings
from raysync.store.dead_letters import DeadLetterStore
from raysync.store.engine import Engine
from raysync.store.health import abandoned_jobs, refusals, server_state
from raysync.store.key_checks import KeyChecks
from raysync.store.quarantine import quarantine_of
from raysync.store.roles import RoleStore
from raysync.store.rotation import Rotation
from raysync.store.suppressions import SuppressionStore
from raysync.store.tenants import TenantStore
from raysync.sync.planner import GuildPlanner, tell_apart

PAUSE_S = 0.7
"""Between two questions: so few that no run on the token notices."""
LITTLE_DISK, NO_DISK = 5 * 10**9, 5 * 10**8
LITTLE_SHARE = 0.1
MANY_REFUSALS = 0.5
SKEW_S = 30.0
SHOWN_CHANNELS = 20
SHOWN_MESSAGES = 5

_OK, _WARN, _FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL
_OPEN = "{} may {}, as every role of this database may."
_TAKE = "If nobody else needs it, have the database's administrator run  "
_TO_GRANT: Mapping[str, str] = {
    "VIEW_CHANNEL": "View Channel",
    "READ_MESSAGE_HISTORY": "Read Message History",
    "CONNECT": "Connect",
    "MANAGE_THREADS": "Manage Threads",
}


async def examine(
    settings: Settings, slugs: Sequence[str] = (), *, forget_limits: bool = False
) -> CheckUp:
    """Look at everything; *slugs*: of these tenants alone. Raises UnknownTenantError.

    With *forget_limits*, what was learned of Discord's limits is forgotten before.
    """
    checks = [_secret(settings), _files(settings), *_disks(settings), *_way_out(settings)]
    checks.append(await _ray(settings))
    async with AsyncExitStack() as stack:
        try:
            engine = await stack.enter_async_context(open_store(settings))
        except ConfigurationError as error:
            return CheckUp(checks=[*checks, Check(name="database", status=_FAIL, says=str(error))])
        store = TenantStore(engine)
        tenants = [await store.get(each) for each in slugs] or list(await store.list())
        if forget_limits:
            checks.append(await limit_checks.forget_limits(engine, settings.discord_api_url))
        checks += await _database(settings, engine)
        if not tenants:
            advice = "Add one: raysync tenant add SLUG --guild ID --token-env NAME"
            checks.append(
                Check(name="tenants", status=_WARN, says="There is none yet.", advice=advice)
            )
        checks += await _jobs(engine, tenants)
        for each in tenants:
            checks += await _tenant(settings, engine, each)
    return CheckUp(checks=checks)


def _secret(settings: Settings) -> Check:
    try:
        secret_key(settings)
    except ConfigurationError as error:
        return Check(name="secret key", status=_FAIL, says=str(error))
    where = settings.home / KEY_FILE if settings.secret_key is None else "RAYSYNC_SECRET_KEY"
    says = f"It is in {where}; keep a copy elsewhere."
    return Check(name="secret key", status=_OK, says=says)


def _files(settings: Settings) -> Check:
    """The secret key is for its owner alone; `tenant add` looks at a token's file."""
    path = settings.home / KEY_FILE
    if settings.secret_key is not None or not path.exists():
        return Check(name="files", status=_OK, says="No secret key is read from a file.")
    if readable_by_others(path):
        return Check(
            name="files",
            status=_FAIL,
            says=f"Others can read {path}: with it, pseudonyms and stored tokens are open to them.",
            advice=f"Close it: chmod 600 {path}",
        )
    return Check(name="files", status=_OK, says=f"Others cannot read {path}.")


def _disks(settings: Settings) -> list[Check]:
    """Room wherever files come to be; an external database has a disk of its own."""
    used = {"home": settings.home, "temporary files": Path(tempfile.gettempdir())}
    if settings.database_url is None:
        used["the embedded database"] = settings.home / "postgres"
    by_volume: dict[int, tuple[str, Path]] = {}
    for what, path in used.items():
        there = next(each for each in (path, *path.parents) if each.exists())
        known = by_volume.get(there.stat().st_dev)
        by_volume[there.stat().st_dev] = (f"{known[0]}, {what}" if known else what, there)
    return [_disk(what, path) for what, path in by_volume.values()]


def _disk(what: str, path: Path) -> Check:
    room = shutil.disk_usage(path)
    share = room.free / room.total
    says = f"{room.free / 1e9:,.1f} GB ({share:.0%}) free for {what}, at {path}."
    if room.free < NO_DISK:
        status = _FAIL
    else:
        status = _WARN if room.free < LITTLE_DISK or share < LITTLE_SHARE else _OK
    advice = None if status is _OK else "Make room, or set RAYSYNC_HOME or TMPDIR to another disk."
    return Check(name="disk", status=status, says=says, advice=advice)


def _way_out(settings: Settings) -> list[Check]:
    """Which proxy Discord is asked through, where any is named."""
    proxies = proxies_here()
    try:
        says, status = proxies.in_words(settings.discord_api_url, "Discord's API"), _OK
    except ConfigurationError as error:
        says, status = str(error), _FAIL
    return [Check(name="proxy", status=status, says=says)] if proxies.variables else []


async def _ray(settings: Settings) -> Check:
    address = settings.ray_address
    if not address or address in ("local", "auto"):
        return Check(name="ray", status=_OK, says="A run starts a Ray of its own.")
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(parts.hostname, parts.port or 6379), 5.0
        )
        writer.close()
    except (OSError, TimeoutError, ValueError, socket.gaierror):
        return Check(
            name="ray",
            status=_FAIL,
            says=f"No Ray cluster answers at RAY_ADDRESS ({address}).",
            advice="Start it (`ray start --head`, `ray up cluster.yaml`), or unset RAY_ADDRESS.",
        )
    return Check(name="ray", status=_OK, says=f"Something listens at {address}.")


async def _database(settings: Settings, engine: Engine) -> list[Check]:
    state = await server_state(engine)
    kind = "embedded" if settings.database_url is None else "yours"
    checks = [
        Check(
            name="database",
            status=_OK,
            says=f"PostgreSQL {state.version} ({kind}), the schema is this version's, "
            f"{state.size / 1e6:,.0f} MB.",
        ),
        _clock("clock", "the database", state.now),
    ]
    workers = settings.max_channel_workers
    needed = OWN_CONNECTIONS + workers * settings.channel_batch_size
    free = state.max_connections - state.used_connections
    enough = free >= needed
    checks.append(
        Check(
            name="connections",
            status=_OK if enough else _WARN,
            says=f"{free} of {state.max_connections} are free; a run takes up to {needed}.",
            advice=None
            if enough
            else "Raise max_connections, or lower SYNC_MAX_CHANNEL_WORKERS or "
            "SYNC_CHANNEL_BATCH_SIZE.",
        )
    )
    checks += [
        Check(name="roles", status=_WARN, says=_OPEN.format(role, what), advice=_TAKE + statement)
        for role, what, statement in await RoleStore(engine).rights_left()
    ]
    checks.append(_refusals(await refusals(engine), settings.invalid_request_limit))
    return checks + await limit_checks.limit_checks(engine, settings.discord_api_url)


def _refusals(count: int, limit: int) -> Check:
    says = f"{count:,} of {limit:,} in jobs of the last ten minutes (401, 403, 429)."
    if count < limit * MANY_REFUSALS:
        return Check(name="invalid requests", status=_OK, says=says)
    return Check(
        name="invalid requests",
        status=_WARN,
        says=says,
        advice="A run stops at that many, for at 10,000 Discord blocks the address: see what is "
        "refused (`raysync dead-letters list`), and ask no more for ten minutes.",
    )


def _clock(name: str, whose: str, now: datetime, tenant: str | None = None) -> Check:
    skew_s = abs((now - datetime.now(UTC)).total_seconds())
    if skew_s <= SKEW_S:
        return Check(name=name, status=_OK, says=f"It agrees with {whose}.", tenant=tenant)
    return Check(
        name=name,
        status=_WARN,
        says=f"This machine and {whose} are {skew_s:,.0f} s apart.",
        advice="Set the clock (chrony, systemd-timesyncd): the look-back is counted by it.",
        tenant=tenant,
    )


async def _jobs(engine: Engine, tenants: Sequence[Tenant]) -> list[Check]:
    slugs = {each.id: each.slug for each in tenants}
    return [
        Check(
            name="job",
            status=_WARN,
            says=f"Job {job_id} is called running, and its driver is gone.",
            advice=f"Go on with it: raysync resume --job-id {job_id}",
            tenant=slugs[tenant_id],
        )
        for tenant_id, job_id in await abandoned_jobs(engine)
        if tenant_id in slugs
    ]


async def _tenant(settings: Settings, engine: Engine, tenant: Tenant) -> list[Check]:
    checks = [
        *await _dead_letters(engine, tenant),
        *await _erasures(engine, tenant),
        *await scrubbing_checks(engine, tenant),
        *await _quarantine(engine, tenant),
    ]
    try:
        secret = secret_key(settings)
        checks += await _pseudonyms(engine, tenant, secret)
        sealed = await TenantStore(engine).sealed_token(tenant.slug)
        token = resolve_token(tenant.token_ref, sealed, secret, settings.discord_api_url)
    except ConfigurationError as error:
        return [*checks, _about(tenant, "token", _FAIL, str(error))]
    slow = SlowLimiter(PAUSE_S)
    identities = pseudonymizer_for(tenant.privacy, tenant_key(secret, tenant.guild_id))
    try:
        async with DiscordClient(token, settings.discord_api_url, slow, identities) as client:
            checks.append(_about(tenant, "token", _OK, "Discord accepts it."))
            checks += await _guild(client, tenant)
    except RaysyncError as error:
        name = "token" if isinstance(error, TokenRejectedError) else "discord"
        checks.append(_about(tenant, name, _FAIL, str(error), _way_to_discord(error)))
    if slow.discord_says is not None:
        checks.append(_clock("clock", "Discord", slow.discord_says, tenant.slug))
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
    says = f"{len(letters)} channels were given up and not read to their end since."
    return [_about(tenant, "dead letters", _WARN, says, advice)]


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
    return [_about(tenant, "quarantine", _WARN, says, advice)]


async def _erasures(engine: Engine, tenant: Tenant) -> list[Check]:
    listed = await SuppressionStore(engine, tenant.id).list()
    begun = [each for each in listed if each.erased_at is None]
    if not begun:
        return []
    says = f"{len(begun)} of the erasures were begun and did not come to their end."
    advice = f"See which, and do them again: raysync forget --tenant {tenant.slug} --list"
    return [_about(tenant, "erasure", _FAIL, says, advice)]


async def _pseudonyms(engine: Engine, tenant: Tenant, secret: bytes) -> list[Check]:
    if tenant.privacy is Privacy.FULL:
        return []
    checks = []
    if await KeyChecks(engine).differing({tenant.id: key_mark(secret, tenant.guild_id)}):
        checks.append(_about(tenant, "pseudonyms", _FAIL, str(another_key(tenant.slug))))
    if (await Rotation(engine, tenant.id, lambda _: None).state()).is_unfinished:
        says = "A rotation was begun and did not come to its end: no run begins."
        advice = f"Finish it: raysync privacy rotate --tenant {tenant.slug}"
        checks.append(_about(tenant, "pseudonyms", _FAIL, says, advice))
    return checks


async def _guild(client: DiscordClient, tenant: Tenant) -> list[Check]:
    planner = GuildPlanner(client, tenant.guild_id)
    try:
        survey = await planner.survey()
    except ContentIntentError as error:
        return [_about(tenant, "intents", _FAIL, str(error))]
    except ConfigurationError as error:
        advice = "Invite the bot: Developer Portal, your application, OAuth2, URL Generator, bot."
        return [_about(tenant, "guild", _FAIL, str(error), advice)]
    lacking = [
        _about(
            tenant,
            "routes",
            _WARN,
            f"Not covered, {each.missing.what}: {each.missing.reason}",
            "Nothing: a run syncs what there is, and tells it as not covered.",
        )
        for each in planner.uncovered.all()
    ]
    sorted_ = tell_apart(survey, (*survey.channels.values(), *survey.active_threads))
    readable = len(sorted_.readable)
    checks = [
        *lacking,
        _intents(await client.identify(), tenant),
        _about(
            tenant,
            "guild",
            _OK if readable else _FAIL,
            f"{survey.guild.name}: {readable} channels and active threads can be read.",
            None if readable else "Give the bot a role that may view channels.",
        ),
    ]
    checks += [_about(tenant, "guild", _WARN, f"Of {each}") for each in survey.troubles]
    reasons = Counter(each.reason for each in sorted_.skipped)
    for reason, count in reasons.most_common():
        named = [each for each in sorted_.skipped if each.reason == reason]
        channels = ", ".join(f"{each.name} ({each.channel_id})" for each in named[:SHOWN_CHANNELS])
        more = f" and {count - SHOWN_CHANNELS} more" if count > SHOWN_CHANNELS else ""
        says = f"Left out, {reason}: {channels}{more}"
        checks.append(_about(tenant, "channels", _WARN, says, _how_to_grant(reason)))
    return checks


def _intents(bot: BotIdentity, tenant: Tenant) -> Check:
    if bot.unknown_intent is None:
        return _about(tenant, "intents", _OK, "Message Content is on.")
    says = "Nobody can tell whether Message Content is on: the API does not say."
    return _about(
        tenant, "intents", _WARN, says, "Look into the Developer Portal, if there is one."
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


def _about(
    tenant: Tenant, name: str, status: CheckStatus, says: str, advice: str | None = None
) -> Check:
    return Check(name=name, status=status, says=says, advice=advice, tenant=tenant.slug)
