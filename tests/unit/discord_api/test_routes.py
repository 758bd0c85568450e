"""Which routes may be missing, and how a missing route is told from a missing thing."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from raysync.discord_api.routes import NEEDED, OPTIONAL, KnownRoutes, is_missing_route, missing
from raysync.errors import (
    AccessDeniedError,
    NotFoundError,
    PayloadError,
    RetryableError,
    RouteMissingError,
)
from tests.virtual_time import run_virtual

SEARCH = "GET /channels/{channel_id}/threads/search"
DOCS = Path(__file__).parents[3] / "docs" / "operations.md"


def test_the_docs_have_the_same_table():
    text = DOCS.read_text(encoding="utf-8").partition("## What is not covered")[2]
    rows = dict(re.findall(r"^\| `((?:GET|POST) [^`]+)` \| (.+?) \|$", text, re.MULTILINE))

    assert list(rows) == [*NEEDED, *OPTIONAL]
    assert all(rows[route] == f"no sync: {what}" for route, what in NEEDED.items())
    assert all(what in rows[route] or "asked" in rows[route] for route, what in OPTIONAL.items())


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        pytest.param(404, 0, "404: Not Found", id="discord"),
        pytest.param(404, 0, "", id="no-body"),
        pytest.param(404, 404, "Not Found", id="the-status-as-code"),
        pytest.param(404, 0, "404 page not found", id="go"),
        pytest.param(404, 0, "<pre>Cannot GET /api/v10/channels/1/threads</pre>", id="express"),
        pytest.param(404, 0, "Cannot GET /channels/1/threads/search", id="a-path-names-no-thing"),
        pytest.param(404, 0, "404 endpoint not found", id="spacebar"),
        pytest.param(404, 0, "Our channels " * 100, id="a-long-page"),
        pytest.param(405, 0, "405: Method Not Allowed", id="method"),
        pytest.param(410, 0, "Gone", id="gone"),
        pytest.param(501, 0, "", id="not-implemented"),
        pytest.param(400, 0, "Unknown route", id="bad-request"),
        pytest.param(403, 20001, "Bots cannot use this endpoint", id="no-bots"),
    ],
)
def test_a_missing_route(status: int, code: int, text: str):
    assert is_missing_route(status, code, text)


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        pytest.param(404, 10003, "Unknown Channel", id="channel"),
        pytest.param(404, 10008, "Unknown Message", id="message"),
        pytest.param(404, 10014, "404: Not Found", id="the-code-counts"),
        pytest.param(404, 0, "Unknown Channel", id="words-alone"),
        pytest.param(404, 404, "Thread not found", id="a-status-as-code-and-words"),
        pytest.param(403, 50001, "Missing Access", id="access"),
        pytest.param(403, 0, "<html>blocked</html>", id="a-firewall"),
        pytest.param(400, 50035, "Invalid Form Body", id="form"),
        pytest.param(400, 0, "400: Bad Request", id="bad-request"),
        pytest.param(401, 0, "401: Unauthorized", id="token"),
        pytest.param(429, 0, "You are being rate limited.", id="limit"),
        pytest.param(500, 0, "500: Internal Server Error", id="error"),
        pytest.param(503, 0, "", id="away"),
    ],
)
def test_no_missing_route(status: int, code: int, text: str):
    assert not is_missing_route(status, code, text)


class Api:
    """Answers one route, each request with the next of what it has to raise."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self.known = KnownRoutes()

    async def ask(self, route: str = SEARCH) -> None:
        async with self.known.asking(route):
            self.asked += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            answer = self.answers.pop(0) if self.answers else None
            await asyncio.sleep(1)
            self.at_once -= 1
            if answer is not None:
                raise answer

    def ask_often(self, times: int, route: str = SEARCH) -> list[object]:
        async def all_of_them() -> list[object]:
            asking = (self.ask(route) for _ in range(times))
            return [type(each) for each in await asyncio.gather(*asking, return_exceptions=True)]

        return run_virtual(all_of_them())


def test_a_missing_route_is_asked_for_once_however_many_ask_at_once():
    api = Api(missing(SEARCH, 404))

    assert api.ask_often(20) == [RouteMissingError] * 20
    assert api.asked == 1


def test_a_route_that_is_there_is_asked_side_by_side_after_the_first_answer():
    api = Api()

    assert api.ask_often(20) == [type(None)] * 20
    assert (api.asked, api.most_at_once) == (20, 19)


def test_a_needed_route_is_asked_side_by_side_at_once():
    api = Api()

    api.ask_often(20, "GET /channels/{channel_id}/messages")
    assert api.most_at_once == 20


@pytest.mark.parametrize("answered", [None, NotFoundError("a thing")])
def test_a_route_that_has_answered_is_there(answered: Exception | None):
    api = Api(answered, missing(SEARCH, 404), None)

    found = api.ask_often(3)

    assert found[1:] == [PayloadError, type(None)]
    assert api.asked == 3


def test_a_refusal_says_nothing_of_the_route():
    api = Api(AccessDeniedError("no"), AccessDeniedError("no"), missing(SEARCH, 404))

    assert api.ask_often(5) == [*[AccessDeniedError] * 2, *[RouteMissingError] * 3]
    assert api.asked == 3


def test_nobody_waits_for_an_api_that_is_away():
    api = Api(RetryableError("no answer"))

    api.ask_often(20)
    assert api.most_at_once == 19


def test_what_another_process_has_found_is_not_asked_again_unless_it_is_there():
    async def told() -> tuple[int, int]:
        api = Api()
        api.known.learn(missing(SEARCH, 404))
        with pytest.raises(RouteMissingError, match="no such route"):
            await api.ask()
        other = Api()
        await other.ask()
        other.known.learn(missing(SEARCH, 404))
        await other.ask()
        return api.asked, other.asked

    assert run_virtual(told()) == (0, 2)


def test_one_that_is_cancelled_holds_nobody_up():
    async def told() -> int:
        api = Api()
        first = asyncio.create_task(api.ask())
        await asyncio.sleep(0.5)
        first.cancel()
        await api.ask()
        return api.asked

    assert run_virtual(told()) == 2
