"""Routes of requests."""

import pytest

from raysync.discord_api.gate import route_of


@pytest.mark.parametrize(
    ("path", "route", "major_id"),
    [
        ("users/@me", "GET /users/@me", None),
        ("oauth2/applications/@me", "GET /oauth2/applications/@me", None),
        ("guilds/42", "GET /guilds/{guild_id}", "42"),
        ("guilds/42/members/7", "GET /guilds/{guild_id}/members/{user_id}", "42"),
        ("channels/5/messages", "GET /channels/{channel_id}/messages", "5"),
        ("channels/5/messages/6", "GET /channels/{channel_id}/messages/{message_id}", "5"),
        (
            "channels/5/messages/6/reactions/%F0%9F%91%8D",
            "GET /channels/{channel_id}/messages/{message_id}/reactions/{emoji}",
            "5",
        ),
        (
            "channels/5/users/@me/threads/archived/private",
            "GET /channels/{channel_id}/users/@me/threads/archived/private",
            "5",
        ),
        ("channels/5/threads/search", "GET /channels/{channel_id}/threads/search", "5"),
        ("tomorrow/9", "GET /tomorrow/{id}", None),
    ],
)
def test_a_route_is_the_path_with_its_parameters_named(path, route, major_id):
    assert route_of("GET", path) == (route, major_id)
