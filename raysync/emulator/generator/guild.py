"""Generator of a guild from a spec and a seed: users, roles, emojis and channels."""

from raysync.emulator.generator.channels import add_channels
from raysync.emulator.generator.draws import Draws, mix
from raysync.emulator.generator.history import Cast, seed_of
from raysync.emulator.generator.spec import GuildSpec
from raysync.emulator.generator.words import title
from raysync.emulator.world.entities import Emoji, Guild, Member, Role, User
from raysync.emulator.world.permissions import READER, Permission
from raysync.emulator.world.snowflakes import snowflake


def generate_guild(spec: GuildSpec, seed: int = 1, *, guild_id: int | None = None) -> Guild:
    """Generate a guild. The same spec, seed and id give the same guild, byte for byte."""
    start_ms = int(spec.end_ms - spec.span_days * 86_400_000)
    guild_id = guild_id or snowflake(start_ms - 86_400_000, seed & 0xFFF)
    own_bits = mix(seed, guild_id) & 0x3FFFFF
    users = _users(spec, seed, snowflake(start_ms - 172_800_000, own_bits))
    guild = Guild(guild_id, spec.name, users[0].id, start_ms - 86_400_000)
    everyone = int(READER | Permission.SEND_MESSAGES)
    guild.roles[guild_id] = Role(guild_id, "@everyone", everyone)
    guild.emojis = _emojis(spec, snowflake(start_ms - 43_200_000, own_bits))
    for user in users:
        guild.users[user.id] = user
        guild.members[user.id] = Member(user.id, guild.made_ms)
    guild.user_ids = sorted(guild.users)
    add_channels(guild, spec, seed, Cast.of(users, list(guild.emojis.values())))
    return guild


def _users(spec: GuildSpec, seed: int, first_id: int) -> list[User]:
    users = []
    for index in range(max(1, spec.users)):
        draws = Draws(seed_of(seed, 1), index)
        name = f"{title(draws)}-{index}"
        user = User(first_id + (index << 22), name, bot=draws.below(20) == 0)
        user.global_name = title(draws) if draws.below(2) else None
        users.append(user)
    return users


def _emojis(spec: GuildSpec, first_id: int) -> dict[int, Emoji]:
    emojis = {}
    for index in range(spec.custom_emojis):
        emoji_id = first_id + (index << 22)
        emojis[emoji_id] = Emoji(emoji_id, f"emoji_{index}", animated=index % 3 == 0)
    return emojis
