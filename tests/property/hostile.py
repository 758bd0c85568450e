"""What the outside world might send: JSON of any shape, payloads with parts that do not fit."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.unit.discord_api.payloads import message

ALICE_ID, ALICE_NAME = "803025117553754132", "alice.unmistakable.zq"
ALICE_AVATAR = "a1b2c3d4e5f60718unmistakable"

texts = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(exclude_categories=()), max_size=8),  # halves of surrogate pairs, too
    st.sampled_from(["", "\0", "\ud800", "null", "-1", "1e999", "nan", "0x10", "٣", "9" * 30]),
    st.sampled_from(
        [ALICE_ID, "2023-05-02T13:02:11+00:00", "2023-05-02", "<@1>", "http://[", "a/b"]
    ),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, float("inf"), float("nan")]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def spoilt(whole: dict[str, Any]) -> st.SearchStrategy[Any]:
    """*whole* with some of its values, here or further down, taken out or replaced."""
    nested = [key for key, value in whole.items() if isinstance(value, dict)]
    nested += [key for key, value in whole.items() if _first(value) is not None]
    keys = st.sampled_from([*whole, "unheard_of"])

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        made = dict(whole)
        if nested and draw(st.booleans()):
            key = draw(st.sampled_from(nested))
            inner = made[key] if isinstance(made[key], dict) else _first(made[key])
            assert inner is not None
            worse = draw(spoilt(inner))
            made[key] = worse if isinstance(made[key], dict) else [worse]
        for key in draw(st.lists(keys, max_size=2)):
            if draw(st.booleans()):
                made[key] = draw(json_values)
            else:
                made.pop(key, None)
        return made

    return drawn() | json_values


def _first(value: Any) -> dict[str, Any] | None:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[0]
    return None


MESSAGE = message(
    attachments=[
        {
            "id": "1103025117553754137",
            "filename": "a.png",
            "size": 9,
            "url": "https://cdn.example/a?ex=1&is=2&hm=3&",
            "content_type": "image/png",
        }
    ],
    reactions=[
        {
            "emoji": {"id": None, "name": "👍"},
            "count": 2,
            "count_details": {"burst": 0, "normal": 2},
        }
    ],
    message_reference={"type": 0, "message_id": "1103025117553754138"},
    mentions=[],
    poll={"answers": []},
    webhook_id="7",
)
CHANNEL: dict[str, Any] = {
    "id": "603025117553754135",
    "type": 11,
    "name": "general",
    "parent_id": "603025117553754100",
    "last_message_id": "603025117553754199",
    "permission_overwrites": [{"id": "1", "type": 0, "allow": "1024", "deny": "0"}],
    "thread_metadata": {"archived": True, "archive_timestamp": "2023-05-02T13:02:11+00:00"},
    "message_count": 3,
    "member": {"user_id": "4"},
}
GUILD: dict[str, Any] = {
    "id": "1",
    "name": "g",
    "owner_id": "2",
    "roles": [{"id": "1", "permissions": "8"}],
}
USER = {
    "id": ALICE_ID,
    "username": ALICE_NAME,
    "global_name": f"{ALICE_NAME} the Great",
    "avatar": ALICE_AVATAR,
    "discriminator": "0",
}
PERSON = st.sampled_from(
    [
        USER,
        {"id": ALICE_ID, "username": ALICE_NAME},
        {"id": ALICE_ID, "global_name": ALICE_NAME, "clan": {"tag": "x"}},
        {"nick": ALICE_NAME, "roles": [], "avatar": ALICE_AVATAR, "user": USER},
        {"user": USER, "nick": None, "roles": ["1"]},
        {"user_id": ALICE_ID},
        {"owner_id": ALICE_ID},
        {"recipients": [USER]},
        {"users": {ALICE_ID: USER}},
        {"members": [ALICE_ID]},
        {"participants": [ALICE_ID]},
        {"default_values": [{"type": "user", "id": ALICE_ID}]},
        {"party_id": f"spotify:{ALICE_ID}"},
        {"authorizing_integration_owners": {"1": ALICE_ID}},
        {"text": f"hello <@{ALICE_ID}> and <@!{ALICE_ID}>"},
        {"url": f"https://cdn.discordapp.com/avatars/{ALICE_ID}/{ALICE_AVATAR}.png"},
        {"url": f"https://discord.com/users/{ALICE_ID}"},
    ]
)
_PLACES = [
    "embeds", "components", "message_snapshots", "interaction_metadata", "poll", "author",
    "resolved", "mentions", "referenced_message", "thread", "call", "activity", "application",
    "member", "interaction", "sticker_items", "users", "members", "user", "unheard_of",
]  # fmt: skip


@st.composite
def peopled(draw: st.DrawFn) -> dict[str, Any]:
    """A message that holds a person somewhere, however deep, among whatever else."""
    value: Any = draw(PERSON)
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            value = [*draw(st.lists(scalars, max_size=2)), value]
        else:
            value = draw(st.dictionaries(texts, scalars, max_size=2)) | {
                draw(st.sampled_from(_PLACES)): value
            }
    return dict(message()) | {draw(st.sampled_from(_PLACES)): value}
