"""Refusal after refusal, told the time: when a run stops, and what it says."""

from __future__ import annotations

import pytest

from raysync.discord_api.common_cause import CHANNELS, IN_A_ROW, UNEXPLAINED, CommonCause
from raysync.errors import RunStoppedError
from raysync.models.refusal import Refusal, Scope

PAGES = "GET /channels/{channel_id}/messages"
LISTS = "GET /channels/{channel_id}/threads/archived/public"
LIMIT = Refusal(Scope.USER, 1.0)
STRANGE = Refusal(Scope.USER, 1.0, is_known=False)


class Scene:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.common = CommonCause(lambda: self.now_s)
        self.asked = 0

    def refused(self, status=403, refusal=None, *, channels=50, every_s=0.02, route=PAGES) -> int:
        """Ask channel after channel until nothing may be asked; how many were asked."""
        asked = 0
        while asked < 1_000 and self.may_ask():
            self.common.note(route, str(asked % channels), status, refusal)
            self.now_s += every_s
            asked += 1
        return asked

    def answered(self, channels=50, route=PAGES) -> None:
        for channel in range(channels):
            self.common.note(route, str(channel), 200)

    def may_ask(self) -> bool:
        try:
            self.common.require()
        except RunStoppedError:
            return False
        return True


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        pytest.param(401, None, id="401"),
        pytest.param(403, None, id="403"),
        pytest.param(429, LIMIT, id="a-limit-in-channels-that-nobody-read"),
        pytest.param(429, STRANGE, id="a-limit-that-is-not-discords"),
    ],
)
def test_refusals_that_nothing_explains_stop_a_run_early(status, refusal):
    assert Scene().refused(status, refusal) == UNEXPLAINED


def test_channels_that_were_read_a_moment_ago_explain_a_limit_and_no_403():
    limited, forbidden = Scene(), Scene()
    limited.answered()
    forbidden.answered()

    assert limited.refused(429, LIMIT) == IN_A_ROW
    assert forbidden.refused(403) == UNEXPLAINED


@pytest.mark.parametrize("scope", [Scope.GLOBAL, Scope.SHARED])
def test_a_limit_of_more_than_the_channel_needs_many(scope):
    assert Scene().refused(429, Refusal(scope, 1.0)) == IN_A_ROW


def test_a_ban_is_not_for_it_to_judge():
    assert Scene().refused(429, Refusal(Scope.BAN)) == 1_000


def test_few_channels_that_are_refused_stop_no_others():
    assert Scene().refused(403, channels=CHANNELS - 1) == 1_000


def test_refusals_far_apart_stop_nothing():
    assert Scene().refused(403, every_s=5.0) == 1_000


def test_an_answer_let_through_says_that_each_refusal_has_its_own_cause():
    scene = Scene()
    for channel in range(400):
        scene.common.note(PAGES, str(channel), 200 if channel % (UNEXPLAINED - 1) == 0 else 403)

        assert scene.may_ask()


def test_lists_that_are_refused_stop_nothing_while_pages_are_read():
    scene = Scene()
    for channel in range(400):
        scene.common.note(LISTS, str(channel), 403)
        if channel % 10 == 0:
            scene.common.note(PAGES, str(channel), 200)

        assert scene.may_ask()
    assert scene.refused(403, route=LISTS) <= IN_A_ROW


def test_lists_that_are_answered_hide_no_pages_that_are_refused():
    scene = Scene()
    for channel in range(UNEXPLAINED):
        scene.common.note(LISTS, str(channel), 200)
        scene.common.note(PAGES, str(channel), 403)

    assert not scene.may_ask()


@pytest.mark.parametrize("route", [LISTS, "GET /channels/{channel_id}"])
def test_what_is_no_page_is_refused_often_before_it_stops_a_run(route):
    assert Scene().refused(403, route=route) == IN_A_ROW


def test_that_something_does_not_exist_is_an_answer():
    scene = Scene()
    for channel in range(400):
        scene.common.note("GET /channels/{channel_id}", str(channel), 403 if channel % 50 else 404)

        assert scene.may_ask()


def test_the_sentence_says_what_happened_and_what_to_do():
    scene = Scene()
    scene.refused(403)
    with pytest.raises(RunStoppedError) as caught:
        scene.common.require()

    says = str(caught.value)
    assert says.startswith("Discord refused 20 requests one after another, in 20 channels, without")
    for word in ("403", "ban", "raysync doctor", "dead-letters retry", "run the command again"):
        assert word in says


def test_what_is_remembered_is_bounded():
    scene = Scene()
    for channel in range(20_000):
        scene.now_s += 0.1
        scene.common.note(PAGES, str(channel), 200)

    assert len(scene.common._let_through_s) <= 5_000
