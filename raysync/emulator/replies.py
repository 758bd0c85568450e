"""Answers, and the errors in Discord's own words."""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

JSON_TYPE: Final = "application/json"


@dataclass(slots=True)
class Reply:
    """An HTTP answer before the wire rules are laid on it."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, str | list[str] | None] = field(default_factory=dict)
    """Headers in place of those the answer would go out with: several of a name, or none."""


class ApiError(Exception):
    """Ends a request with Discord's error *code* and *message*."""

    def __init__(self, status: int, code: int, message: str, errors: Any = None) -> None:
        super().__init__(status, code, message, errors)
        self.status, self.code, self.message, self.errors = status, code, message, errors

    def reply(self) -> Reply:
        """Return the answer."""
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        return json_reply(
            body if self.errors is None else body | {"errors": self.errors}, self.status
        )


def json_reply(value: Any, status: int = 200) -> Reply:
    """Answer with JSON."""
    return Reply(status, orjson.dumps(value))


def unauthorized() -> ApiError:
    """No such token."""
    return ApiError(401, 0, "401: Unauthorized")


def not_found() -> ApiError:
    """No such route."""
    return ApiError(404, 0, "404: Not Found")


def method_not_allowed() -> ApiError:
    """The route exists, the method does not."""
    return ApiError(405, 0, "405: Method Not Allowed")


def server_error() -> ApiError:
    """What Discord answers where it breaks."""
    return ApiError(500, 0, "500: Internal Server Error")


def unknown_channel() -> ApiError:
    """No such channel (any more)."""
    return ApiError(404, 10003, "Unknown Channel")


def unknown_guild() -> ApiError:
    """No such guild, or the bot is not in it."""
    return ApiError(404, 10004, "Unknown Guild")


def unknown_member() -> ApiError:
    """The user is not in the guild."""
    return ApiError(404, 10007, "Unknown Member")


def unknown_message() -> ApiError:
    """No such message (any more)."""
    return ApiError(404, 10008, "Unknown Message")


def unknown_user() -> ApiError:
    """No such user."""
    return ApiError(404, 10013, "Unknown User")


def unknown_emoji() -> ApiError:
    """No such emoji (any more)."""
    return ApiError(404, 10014, "Unknown Emoji")


def missing_access() -> ApiError:
    """The bot cannot see the thing."""
    return ApiError(403, 50001, "Missing Access")


def missing_permissions() -> ApiError:
    """The bot sees the thing but lacks a permission for this."""
    return ApiError(403, 50013, "Missing Permissions")


def wrong_channel_type() -> ApiError:
    """The act makes no sense in this kind of channel."""
    return ApiError(400, 50024, "Cannot execute action on this channel type")


def invalid_form(field_name: str, code: str, message: str) -> ApiError:
    """A parameter is not as it must be."""
    errors = {field_name: {"_errors": [{"code": code, "message": message}]}}
    return ApiError(400, 50035, "Invalid Form Body", errors)
