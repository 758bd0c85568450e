"""Answers of the API, and its errors in Discord's own words."""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

JSON_TYPE: Final = "application/json"
PLAIN_TEXT: Final = "text/plain; charset=utf-8"
_PROXY_PAGE: Final = (
    b"<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n<center><h1>cloudflare</h1></center>"
    b"\r\n</body>\r\n</html>\r\n"
)


@dataclass(slots=True)
class Reply:
    """An HTTP answer, to which `serving.wire` adds the headers common to all."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, str | list[str] | None] = field(default_factory=dict)
    """Headers that replace those of the answer: a value, several, or None to omit the header."""


class ApiError(Exception):
    """A request that ends with Discord's error *code* and *message*."""

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
    """Return an answer with *value* as JSON."""
    return Reply(status, orjson.dumps(value))


def proxy_page(status: int) -> Reply:
    """Return an answer as a proxy makes it: an HTML page that names the status."""
    return Reply(status, _PROXY_PAGE % status, "text/html; charset=UTF-8")


def unauthorized() -> ApiError:
    """Return the error for an unknown token."""
    return ApiError(401, 0, "401: Unauthorized")


def not_found() -> ApiError:
    """Return the error for a path without a route."""
    return ApiError(404, 0, "404: Not Found")


def method_not_allowed() -> ApiError:
    """Return the error for a method that the path does not have."""
    return ApiError(405, 0, "405: Method Not Allowed")


def no_bots() -> ApiError:
    """Return the error for a route that only users may call."""
    return ApiError(403, 20001, "Bots cannot use this endpoint")


def gone() -> ApiError:
    """Return the error for a route that was removed."""
    return ApiError(410, 0, "410: Gone")


def not_implemented() -> ApiError:
    """Return the error for a route that is not implemented yet."""
    return ApiError(501, 0, "501: Not Implemented")


def unknown_route() -> ApiError:
    """Return the error of servers that treat an unknown route as a bad request."""
    return ApiError(400, 0, "Unknown route")


def server_error() -> ApiError:
    """Return the error for a failure of the server."""
    return ApiError(500, 0, "500: Internal Server Error")


def unknown_channel() -> ApiError:
    """Return the error for a channel that does not exist, or no longer."""
    return ApiError(404, 10003, "Unknown Channel")


def unknown_guild() -> ApiError:
    """Return the error for a guild that does not exist, or that the bot is not in."""
    return ApiError(404, 10004, "Unknown Guild")


def unknown_member() -> ApiError:
    """Return the error for a user who is not in the guild."""
    return ApiError(404, 10007, "Unknown Member")


def unknown_message() -> ApiError:
    """Return the error for a message that does not exist, or no longer."""
    return ApiError(404, 10008, "Unknown Message")


def unknown_user() -> ApiError:
    """Return the error for an unknown user."""
    return ApiError(404, 10013, "Unknown User")


def unknown_emoji() -> ApiError:
    """Return the error for an emoji that does not exist, or no longer."""
    return ApiError(404, 10014, "Unknown Emoji")


def missing_access() -> ApiError:
    """Return the error for a resource that the bot cannot see."""
    return ApiError(403, 50001, "Missing Access")


def missing_permissions() -> ApiError:
    """Return the error for a resource that the bot sees, but lacks a permission for."""
    return ApiError(403, 50013, "Missing Permissions")


def wrong_channel_type() -> ApiError:
    """Return the error for an action that this type of channel does not support."""
    return ApiError(400, 50024, "Cannot execute action on this channel type")


def invalid_form(field_name: str, code: str, message: str) -> ApiError:
    """Return the error for an invalid parameter."""
    errors = {field_name: {"_errors": [{"code": code, "message": message}]}}
    return ApiError(400, 50035, "Invalid Form Body", errors)
