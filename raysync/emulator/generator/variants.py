"""Variants of messages: every kind and feature of Discord, at the rates of a spec."""

from collections.abc import Callable
from typing import Final

from raysync.emulator.generator import components, features, odd_places
from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import History
from raysync.emulator.world.message_payloads import REPLY
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.snowflakes import iso, made_at_ms

Kind = Callable[[History, int, Payload, Draws], None]
"""Turns a plain message into one of this kind."""

_SCALE: Final = 1_000_000


def vary(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Turn a plain message into a drawn kind, then add reactions and pins."""
    kind = _drawn_kind(history, draws)
    if kind is not None:
        kind(history, index, payload, draws)
    else:
        _add_features(history, index, payload, draws)
    _add_reactions(history, index, payload, draws)


def _drawn_kind(history: History, draws: Draws) -> Kind | None:
    rates, drawn = history.rates, draws.below(_SCALE) / _SCALE
    kinds: tuple[tuple[float, Kind], ...] = (
        (rates.system, features.system),
        (rates.unknown, features.unknown),
        (rates.forwards, features.forward),
        (rates.polls, features.poll),
        (rates.stickers, features.sticker),
        (rates.webhooks, features.webhook),
        (rates.interactions, features.interaction),
        (rates.components, components.buttons),
        (rates.components_v2, components.layout),
        (rates.odd_places, odd_places.name_user),
    )
    for rate, kind in kinds:
        if drawn < rate:
            return kind
        drawn -= rate
    return None


def _add_features(history: History, index: int, payload: Payload, draws: Draws) -> None:
    rates = history.rates
    target = history.reply_target(index)
    if target is not None:
        payload["type"] = REPLY
        payload["message_reference"] = features.reference(history, target)
    if draws.chance(rates.attachments):
        features.attach(history, index, payload, draws)
    if draws.chance(rates.embeds):
        payload["embeds"] = [features.embed(draws)]
    if draws.chance(rates.mentions):
        features.mention(history, payload, draws)
    if draws.chance(rates.edits):
        later_ms = 1_000 + draws.below(3_600_000)
        payload["edited_timestamp"] = iso(made_at_ms(history.ids[index]) + later_ms)


def _add_reactions(history: History, index: int, payload: Payload, draws: Draws) -> None:
    if draws.chance(history.rates.reactions):
        payload["reactions"] = features.reactions(history.cast, draws)
    if history.ids[index] in history.pinned:
        payload["pinned"] = True
