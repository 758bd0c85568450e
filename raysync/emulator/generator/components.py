"""Messages with components: buttons under a text, or a layout instead of a text."""

from typing import Final

from raysync.emulator.generator.draws import Draws
from raysync.emulator.generator.history import History
from raysync.emulator.generator.words import sentence, title
from raysync.emulator.world.messages import Payload, cdn_path

IS_COMPONENTS_V2: Final = 1 << 15


def buttons(_history: History, _index: int, payload: Payload, draws: Draws) -> None:
    """Add two rows of components to a message: buttons, and a menu."""
    row = [_button(2, draws), _link(3)]
    options = [{"label": title(draws), "value": str(number)} for number in range(3)]
    menu = {
        "type": 3,
        "id": 5,
        "custom_id": "menu",
        "min_values": 1,
        "max_values": 1,
        "options": options,
    }
    payload["components"] = [
        {"type": 1, "id": 1, "components": row},
        {"type": 1, "id": 4, "components": [menu]},
    ]


def layout(history: History, index: int, payload: Payload, draws: Draws) -> None:
    """Turn a message into a layout: its text is in components, without content and embeds."""
    payload["flags"] |= IS_COMPONENTS_V2
    payload["content"], payload["embeds"] = "", []
    media = _media(history, index)
    section = {
        "type": 9,
        "id": 2,
        "components": [_text(3, sentence(draws, 60))],
        "accessory": {
            "type": 11,
            "id": 4,
            "media": media,
            "description": None,
            "spoiler": False,
        },
    }
    gallery = {
        "type": 12,
        "id": 5,
        "items": [{"media": media, "description": "a picture", "spoiler": False}],
    }
    inner = [section, gallery, {"type": 14, "id": 6, "spacing": 1, "divider": True}]
    container = {
        "type": 17,
        "id": 1,
        "accent_color": draws.below(1 << 24),
        "components": inner,
        "spoiler": False,
    }
    row = {"type": 1, "id": 8, "components": [_button(9, draws)]}
    payload["components"] = [container, _text(7, sentence(draws, 40)), row]


def _text(component_id: int, content: str) -> Payload:
    return {"type": 10, "id": component_id, "content": content}


def _button(component_id: int, draws: Draws) -> Payload:
    return {
        "type": 2,
        "id": component_id,
        "custom_id": f"press-{component_id}",
        "style": 1,
        "label": title(draws),
    }


def _link(component_id: int) -> Payload:
    url = "https://example.org/"
    return {"type": 2, "id": component_id, "style": 5, "label": "open", "url": url}


def _media(history: History, index: int) -> Payload:
    attachment_id = history.ids[index] + 1
    path = f"attachments/{history.channel_id}/{attachment_id}/layout.png"
    return {
        "id": str(attachment_id),
        "url": cdn_path(path),
        "proxy_url": cdn_path(f"media/{path}"),
        "width": 64,
        "height": 64,
        "content_type": "image/png",
    }
