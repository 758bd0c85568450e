"""Checks of what the database has of one tenant: failed channels, privacy, unread fields."""

from __future__ import annotations

from raysync.credentials import another_key, key_mark
from raysync.doctor.sentences import FAIL, WARN, tenant_check
from raysync.doctor.tail import check_tail
from raysync.models.checks import Check
from raysync.models.entities import Privacy, Tenant
from raysync.store.archive.dead_letters import DeadLetterStore
from raysync.store.archive.quarantine import COUNTED_UP_TO, quarantine_of
from raysync.store.connection.engine import Engine
from raysync.store.privacy.key_checks import KeyChecks
from raysync.store.privacy.rotation import Rotation
from raysync.store.privacy.scrubbings import scrubbing_of
from raysync.store.privacy.suppressions import SuppressionStore

SHOWN_CHANNELS = 20
SHOWN_MESSAGES = 5


async def check_archive(engine: Engine, tenant: Tenant) -> list[Check]:
    """Check what the database has of a tenant. Neither its token nor the secret key is needed."""
    return [
        *await _dead_letters(engine, tenant),
        *await _erasures(engine, tenant),
        *await _scrubbing(engine, tenant),
        *await _quarantine(engine, tenant),
        *await check_tail(engine, tenant),
    ]


async def check_pseudonyms(engine: Engine, tenant: Tenant, secret: bytes) -> list[Check]:
    """Check that the tenant's pseudonyms use this key, and that no rotation is unfinished."""
    if tenant.privacy is Privacy.FULL:
        return []
    checks = []
    if await KeyChecks(engine).differing({tenant.id: key_mark(secret, tenant.guild_id)}):
        checks.append(tenant_check(tenant, "pseudonyms", FAIL, str(another_key(tenant.slug))))
    if (await Rotation(engine, tenant.id, lambda _: None).state()).is_unfinished:
        says = "A rotation of pseudonyms is unfinished, so no run can start."
        advice = f"Finish it: raysync privacy rotate --tenant {tenant.slug}"
        checks.append(tenant_check(tenant, "pseudonyms", FAIL, says, advice))
    return checks


async def _dead_letters(engine: Engine, tenant: Tenant) -> list[Check]:
    letters = await DeadLetterStore(engine, tenant.id).list()
    if not letters:
        return []
    named = ", ".join(
        f"#{letter.name} ({letter.channel_id})" for letter in letters[:SHOWN_CHANNELS]
    )
    more = f" and {len(letters) - SHOWN_CHANNELS} more" if len(letters) > SHOWN_CHANNELS else ""
    says = f"{len(letters)} channels were given up, and not completed since: {named}{more}."
    advice = f"See why: raysync dead-letters list --tenant {tenant.slug}"
    return [tenant_check(tenant, "dead letters", WARN, says, advice)]


async def _quarantine(engine: Engine, tenant: Tenant) -> list[Check]:
    found = await quarantine_of(engine, tenant.id, SHOWN_MESSAGES, counted_up_to=COUNTED_UP_TO)
    if not found.messages:
        return []
    named = "; ".join(
        f"message {message.message_id} in {message.channel} ({message.channel_id}): "
        f"{', '.join(message.fields)}"
        for message in found.first
    )
    left = found.messages - len(found.first)
    than = "more than " if found.has_more else ""
    more = f'; and {than}{left} more, whose lines of `raysync export` have a key "quarantine"'
    says = (
        f"{than}{found.messages} stored messages in {found.channels}{' or more' if than else ''} "
        f"channels have fields that this version could not read: {named}{more if left else ''}."
    )
    says = says[0].upper() + says[1:]
    advice = (
        "Nothing is lost, and the other fields are stored. Upgrade raysync, then read the messages "
        f"again: raysync start --tenant {tenant.slug} --full (or --lookback 7d for recent ones). "
        "If this is the newest version, report the fields named here."
    )
    return [tenant_check(tenant, "quarantine", WARN, says, advice)]


async def _scrubbing(engine: Engine, tenant: Tenant) -> list[Check]:
    """Check for rows that earlier privacy rules may have written."""
    scrubbing = await scrubbing_of(engine, tenant.id)
    if not scrubbing.is_due:
        return []
    ids = "" if tenant.privacy is Privacy.FULL else "They may contain ids of people. "
    says = (
        f"Older rows may follow earlier privacy rules. {ids}A text that was only a URL with "
        "parameters named ex, is or hm may lack them."
    )
    if scrubbing.is_unfinished:
        says = "The rewrite of older rows under today's privacy rules is unfinished."
    advice = (
        f"Rewrite them: raysync privacy rescrub --tenant {tenant.slug}. Only Discord can restore "
        f"such texts: raysync start --tenant {tenant.slug} --full"
    )
    return [tenant_check(tenant, "scrubbing", WARN, says, advice)]


async def _erasures(engine: Engine, tenant: Tenant) -> list[Check]:
    suppressions = await SuppressionStore(engine, tenant.id).list()
    unfinished = [entry for entry in suppressions if entry.erased_at is None]
    if not unfinished:
        return []
    says = f"{len(unfinished)} erasures are unfinished."
    advice = f"See which, and run them again: raysync forget --tenant {tenant.slug} --list"
    return [tenant_check(tenant, "erasure", FAIL, says, advice)]
