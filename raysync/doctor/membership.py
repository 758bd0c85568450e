"""Check whether a bot is in a guild, before a tenant is added."""

from __future__ import annotations

import asyncio

from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import pseudonymizer_for
from raysync.errors import RetryableError, SyncError
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId
from raysync.ratelimit.slow import SlowLimiter
from raysync.settings import Settings

ANSWER_TIMEOUT_S = 15.0
"""Short, because the user waits at a terminal, and the first run asks again."""


async def require_member(settings: Settings, token: str, guild_id: GuildId) -> None:
    """Ask Discord, with three requests, whether the token's bot is in the guild.

    Raises:
        TokenRejectedError: Discord refuses the token, or it is not a bot's.
        GuildUnavailableError: the guild does not exist, or the bot is not in it.
        ConfigurationError: the address of the API or of the proxy cannot be used.
        SyncError: Discord gave no answer, so the membership is unknown.
    """
    identities = pseudonymizer_for(Privacy.FULL, b"")
    try:
        async with (
            asyncio.timeout(ANSWER_TIMEOUT_S),
            DiscordClient(token, settings.discord_api_url, SlowLimiter(0.0), identities) as client,
        ):
            await client.guilds.fetch_guild(guild_id)
    except TimeoutError:
        raise RetryableError(f"Discord gave no answer within {ANSWER_TIMEOUT_S:.0f} s.") from None


async def unknown_member(settings: Settings, token: str, guild_id: GuildId) -> str | None:
    """Return why the membership is unknown, or None if the bot is in the guild.

    Raises ConfigurationError as `require_member` does.
    """
    try:
        await require_member(settings, token, guild_id)
    except SyncError as error:
        return str(error)
    return None
