"""Checks of a guild: intents, missing routes, and the channels that the bot can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from raysync.discord_api.client import DiscordClient
from raysync.doctor.sentences import FAIL, OK, WARN, tenant_check
from raysync.errors import ConfigurationError, ContentIntentError
from raysync.models.checks import Check
from raysync.models.entities import BotIdentity, Tenant
from raysync.models.work import UNDOCUMENTED
from raysync.sync.planning.partition import partition_readable
from raysync.sync.planning.planner import GuildPlanner

SHOWN_CHANNELS = 20
_PERMISSION_NAMES: Mapping[str, str] = {
    "VIEW_CHANNEL": "View Channel",
    "READ_MESSAGE_HISTORY": "Read Message History",
    "CONNECT": "Connect",
    "MANAGE_THREADS": "Manage Threads",
}
"""Names of permissions in Discord's user interface, by their names in the API."""


async def check_guild(client: DiscordClient, tenant: Tenant) -> list[Check]:
    """Check what the tenant's bot can read in its guild."""
    planner = GuildPlanner(client.guilds, tenant.guild_id)
    try:
        survey = await planner.survey()
    except ContentIntentError as error:
        return [tenant_check(tenant, "intents", FAIL, str(error))]
    except ConfigurationError as error:
        advice = (
            "Invite the bot: Developer Portal, your application, OAuth2, URL Generator, bot. If "
            "the guild's id is wrong, and nothing of it is stored: raysync tenant remove "
            f"{tenant.slug}, then add it again."
        )
        return [tenant_check(tenant, "guild", FAIL, str(error), advice)]
    partition = partition_readable(survey, (*survey.channels.values(), *survey.active_threads))
    readable = len(partition.readable)
    checks = [
        *_missing_routes(planner, tenant),
        _intents(await client.login(), tenant),
        tenant_check(
            tenant,
            "guild",
            OK if readable else FAIL,
            f"The bot can read {readable} channels and active threads of {survey.guild.name}.",
            None if readable else "Give the bot a role that may view channels.",
        ),
    ]
    checks += [
        tenant_check(tenant, "guild", WARN, f"Not read completely: {trouble}")
        for trouble in survey.troubles
    ]
    reasons = Counter(channel.reason for channel in partition.skipped)
    for reason, count in reasons.most_common():
        skipped = [channel for channel in partition.skipped if channel.reason == reason]
        named = ", ".join(
            f"{channel.name} ({channel.channel_id})" for channel in skipped[:SHOWN_CHANNELS]
        )
        more = f" and {count - SHOWN_CHANNELS} more" if count > SHOWN_CHANNELS else ""
        says = f"Skipped, {reason}: {named}{more}"
        checks.append(tenant_check(tenant, "channels", WARN, says, _how_to_grant(reason)))
    return checks


def _missing_routes(planner: GuildPlanner, tenant: Tenant) -> list[Check]:
    return [
        tenant_check(
            tenant,
            "routes",
            WARN,
            f"Not covered, {uncovered.missing.what}: {uncovered.missing.reason}",
            "Nothing to do: a run syncs the rest, and lists this as not covered.",
        )
        for uncovered in planner.uncovered.all()
    ]


def _intents(bot: BotIdentity, tenant: Tenant) -> Check:
    if bot.unknown_intent is None:
        return tenant_check(tenant, "intents", OK, "Message Content is on.")
    says = "It is unknown whether Message Content is on: the API does not say."
    return tenant_check(
        tenant, "intents", WARN, says, "Look it up in the Developer Portal, if there is one."
    )


def _how_to_grant(reason: str) -> str | None:
    """Return how to make a channel readable that was skipped for *reason*, if it is known."""
    if UNDOCUMENTED in reason:
        return "Look for a newer version of raysync; if there is none, report it."
    missing = next((name for name in _PERMISSION_NAMES if name in reason), None)
    if missing is None:
        return None
    return (
        f"In Discord: Edit Channel, Permissions, the bot's role, {_PERMISSION_NAMES[missing]}: "
        "allow. Leave it as it is if the channel is not to be copied."
    )
