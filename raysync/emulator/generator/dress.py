"""Turns plain messages into everything else Discord knows, at a spec's rates."""

from collections.abc import Callable
from typing import Final

from raysync.emulator.generator import components, extras, odd_places
from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import History
from raysync.emulator.world.messages import Payload
from raysync.emulator.world.snowflakes import iso, made_at_ms

Kind = Callable[[History, int, Payload, Draws], None]

_SCALE: Final = 1_000_000


def lively(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Make a message what the draws say: one kind, then what any message may bear."""
    kind = _kind(history, draws)
    if kind is not None:
        kind(history, index, payload, draws)
    else:
        _say(history, index, payload, draws)
    _react(history, index, payload, draws)


def _kind(history: History, draws: Draws) -> Kind | None:
    rates, drawn = history.rates, draws.below(_SCALE) / _SCALE
    kinds: tuple[tuple[float, Kind], ...] = (
        (rates.system, extras.system),
        (rates.unknown, extras.unknown),
        (rates.forwards, extras.forward),
        (rates.polls, extras.poll),
        (rates.stickers, extras.sticker),
        (rates.webhooks, extras.webhook),
        (rates.interactions, extras.interaction),
        (rates.components, components.buttons),
        (rates.components_v2, components.layout),
        (rates.odd_places, odd_places.hidden),
    )
    for rate, kind in kinds:
        if drawn < rate:
            return kind
        drawn -= rate
    return None


def _say(history: History, index: int, payload: Payload, draws: Draws) -> None:
    rates = history.rates
    target = history.reply_target(index)
    if target is not None:
        payload["type"] = 19
        payload["message_reference"] = extras.reference(history, history.ids[target])
    if draws.chance(rates.attachments):
        extras.attach(history, index, payload, draws)
    if draws.chance(rates.embeds):
        payload["embeds"] = [extras.embed(draws)]
    if draws.chance(rates.mentions):
        extras.mention(history, payload, draws)
    if draws.chance(rates.edits):
        later_ms = 1_000 + draws.below(3_600_000)
        payload["edited_timestamp"] = iso(made_at_ms(history.ids[index]) + later_ms)


def _react(history: History, index: int, payload: Payload, draws: Draws) -> None:
    if draws.chance(history.rates.reactions):
        payload["reactions"] = extras.reactions(history.cast, draws)
    if history.ids[index] in history.pinned:
        payload["pinned"] = True
