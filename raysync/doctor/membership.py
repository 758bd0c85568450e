"""Whether a bot is in a guild, asked once, before a tenant is added."""

from __future__ import annotations

import asyncio

from raysync.discord_api.client import DiscordClient
from raysync.discord_api.people.pseudonyms import pseudonymizer_for
from raysync.errors import RetryableError, SyncError
from raysync.models.entities import Privacy
from raysync.models.ids import GuildId
from raysync.ratelimit.slow import SlowLimiter
from raysync.settings import Settings

PATIENCE_S = 15.0
"""Somebody waits at a terminal, and the first run asks again."""


async def require_member(settings: Settings, token: str, guild_id: GuildId) -> None:
    """Ask Discord, with three requests, whether the token's bot is in the guild.

    Raises:
        TokenRejectedError: Discord refuses the token, or it is not a bot's.
        GuildUnavailableError: the guild does not exist, or the bot is not in it.
        ConfigurationError: the API's address or the proxy's cannot be used.
        SyncError: nobody can tell, since Discord gave no answer.
    """
    nobody = pseudonymizer_for(Privacy.FULL, b"")
    try:
        async with (
            asyncio.timeout(PATIENCE_S),
            DiscordClient(token, settings.discord_api_url, SlowLimiter(0.0), nobody) as client,
        ):
            await client.guilds.fetch_guild(guild_id)
    except TimeoutError:
        raise RetryableError(f"Discord gave no answer within {PATIENCE_S:.0f} s.") from None


async def unknown_member(settings: Settings, token: str, guild_id: GuildId) -> str | None:
    """Return why nobody can tell whether the bot is in the guild; None: it is.

    Raises ConfigurationError as `require_member` does.
    """
    try:
        await require_member(settings, token, guild_id)
    except SyncError as error:
        return str(error)
    return None
