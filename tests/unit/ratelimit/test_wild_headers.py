"""Headers that make no sense: no channel stands still for long, and honest answers heal it."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysync.emulator.limits import Form
from raysync.errors import RateLimitedError
from raysync.models.permits import Demand, Lease
from raysync.models.refusal import LONGEST_PAUSE_S, Scope
from raysync.ratelimit.headers import LONGEST_WINDOW_S, BucketHeaders
from raysync.ratelimit.limiter import WorkerLimiter
from raysync.ratelimit.permits import PermitPool
from raysync.ratelimit.policies import (
    PRIORS,
    ROUTE_WINDOW_S,
    PolicySource,
    RoutePolicies,
    RoutePolicy,
)
from tests.unit.ratelimit.discord_model import MESSAGES, ModelDiscord, Network
from tests.virtual_time import LoopClock, run_virtual

BOUND_S = max(LONGEST_WINDOW_S, LONGEST_PAUSE_S[Scope.USER]) + ROUTE_WINDOW_S
"""No channel stands still for longer between two of its requests, whatever headers say."""
FULL_S, FULL_PAGES = 60.0, 54
"""A channel is at full speed where it had so many pages in so long: Discord allows 60."""


class WildDiscord(ModelDiscord):
    """Answers the requests with the numbers in *wild* as that says, and the others truly."""

    def __init__(self, wild: Mapping[int, tuple[int, Mapping[str, str]]], **options) -> None:
        super().__init__(**options)
        self._wild = wild
        self.asked = 0

    def answer(self, channel: str) -> tuple[int, dict[str, str]]:
        self.asked += 1
        status, headers = super().answer(channel)
        if self.asked not in self._wild:
            return status, headers
        status, told = self._wild[self.asked]
        return status, dict(told)


@dataclass
class Read:
    """One channel, as it was read."""

    asked_s: list[float] = field(default_factory=list)
    pages_s: list[float] = field(default_factory=list)

    @property
    def longest_gap_s(self) -> float:
        return max(later - earlier for earlier, later in pairwise([0.0, *self.asked_s]))

    @property
    def is_full(self) -> bool:
        last = self.pages_s[-FULL_PAGES:]
        return len(last) == FULL_PAGES and last[-1] - last[0] <= FULL_S

    def pages_in(self, from_s: float, to_s: float) -> int:
        return sum(from_s <= each < to_s for each in self.pages_s)


async def grant(want: Demand) -> Lease:
    """The token's own budget is not what these are about, but two permits never start at once."""
    await asyncio.sleep(0.01)
    starts = tuple(n * 0.001 for n in range(want.permits))
    return Lease(asyncio.get_running_loop().time(), starts, 10.0)


async def read_channel(limiter, discord, network, channel, read: Read, until_s, is_done) -> None:
    """Ask for page after page; where the bucket stays closed, come back when it says."""
    loop = asyncio.get_running_loop()
    while loop.time() < until_s and not is_done(read):
        try:
            request = await limiter.enter(MESSAGES, channel)
        except RateLimitedError as error:
            await asyncio.sleep(error.retry_after_s)
            continue
        request.sent()
        await network.there()
        status, headers = discord.answer(channel)
        read.asked_s.append(loop.time())
        await network.back()
        if status == 200:
            read.pages_s.append(loop.time())
        request.finish(status, headers)


def read_all(discord, until_s, *, channels=1, known=(), network=None, is_done=lambda _: False):
    """Read channels until then, or until each is done; how, and what was learned."""

    network = network or Network(random.Random(1), least_s=0.02, jitter_s=0.01, back_s=0.02)

    async def scene():
        pool = PermitPool(grant, LoopClock())
        limiter = WorkerLimiter(pool, LoopClock(), known=known)
        reads = [Read() for _ in range(channels)]
        await asyncio.gather(
            *(
                read_channel(limiter, discord, network, str(n), each, until_s, is_done)
                for n, each in enumerate(reads)
            )
        )
        await limiter.close()
        await pool.close()
        return reads, limiter.learned()

    return run_virtual(scene())


def healed(discord, within_s, wild, *, known=()):
    """Read a channel until it is at full speed again after the last wild answer."""
    last = max(wild, default=0)

    def is_done(read: Read) -> bool:
        return len(read.pages_s) > last + FULL_PAGES and read.is_full

    (read,), learned = read_all(discord, within_s + FULL_S, known=known, is_done=is_done)
    assert is_done(read), "it is not back at full speed in time"
    return read, learned


def claim(limit, reset_s, remaining=0):
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset-after": str(reset_s),
    }


TRUE = (5, 5.0)


def kept(learned):
    return {(each.limit, each.window_s) for each in learned}


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("number", [1, 2, 9])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(claim(5, 1_000_000_000), id="a-window-of-decades"),
        pytest.param(claim(5, 601), id="a-window-beyond-all-seen"),
        pytest.param(claim(1, 1_000_000_000), id="one-in-decades"),
        pytest.param(claim(5, "nan"), id="nan"),
        pytest.param(claim(5, "inf"), id="inf"),
        pytest.param(claim(5, -5), id="negative"),
        pytest.param(claim("9" * 400, 5), id="a-huge-limit"),
        pytest.param(claim(-3, 5), id="a-negative-limit"),
        pytest.param(claim(0, 5), id="a-limit-of-0"),
        pytest.param(claim("many", "soon"), id="garbage"),
        pytest.param(claim("1, 5", 60), id="two-limits"),
    ],
)
def test_what_cannot_be_costs_nothing(form, number, headers):
    wild = {number: (200, headers)}
    discord = WildDiscord(wild, form=form)
    read, learned = healed(discord, number + 6, wild)

    assert not discord.refused
    assert read.longest_gap_s <= 6.0
    assert kept(learned) <= {TRUE}


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("number", [1, 2, 9])
@pytest.mark.parametrize(
    ("headers", "within_s"),
    [
        pytest.param(claim(1, 300), 300, id="one-in-five-minutes"),
        pytest.param(claim(5, 300), 300, id="five-in-five-minutes"),
        pytest.param(claim(5, 300, remaining=3), 10, id="some-left-in-five-minutes"),
        pytest.param(claim(1, 600), 600, id="one-in-ten-minutes"),
        pytest.param(claim(1, 60), 60, id="one-a-minute"),
        pytest.param(claim(1, 10), 20, id="one-in-ten-seconds"),
        pytest.param(claim(99, 5, remaining=98), 5, id="ninety-nine"),
        pytest.param(claim(99, 600, remaining=98), 5, id="ninety-nine-in-ten-minutes"),
    ],
)
def test_one_wrong_answer_costs_its_own_bucket_one_wait(form, number, headers, within_s):
    wild = {number: (200, headers)}
    discord = WildDiscord(wild, form=form)
    read, learned = healed(discord, number + within_s + 15, wild)

    assert not discord.refused
    assert read.longest_gap_s <= within_s + 6.0
    assert kept(learned) <= {TRUE}


def test_one_wrong_answer_slows_no_other_channel():
    reads, _ = read_all(WildDiscord({3: (200, claim(1, 300))}), 60.0, channels=10)
    pages = sorted(each.pages_in(0.0, 60.0) for each in reads)

    assert pages[0] <= 5
    assert pages[1] >= FULL_PAGES


def test_a_phase_of_wrong_answers_is_over_when_it_is_over():
    wild = {number: (200, claim(1, 60)) for number in range(1, 40)}
    discord = WildDiscord(wild)
    reads, _ = read_all(discord, 500.0, channels=10, is_done=lambda read: read.is_full)

    assert not discord.refused
    assert all(each.is_full for each in reads)


@pytest.mark.parametrize("source", [PolicySource.HEADERS, PolicySource.REFUSAL])
@pytest.mark.parametrize(("limit", "window_s"), [(1, 60.0), (5, 60.0), (99, 5.0), (1, 5.0)])
def test_what_an_earlier_run_learned_wrongly_is_corrected(source, limit, window_s):
    known = [RoutePolicy(MESSAGES, limit, window_s, source)]
    discord = WildDiscord({})
    _, learned = healed(discord, 250.0, {}, known=known)

    assert discord.refused["user"] <= 1
    assert kept(learned) == {TRUE}


def refused(retry_after="1", **claimed):
    told = {"x-ratelimit-scope": "user", "retry-after": retry_after}
    return 429, told | (claim(**claimed) if claimed else {})


@pytest.mark.parametrize("number", [1, 9])
@pytest.mark.parametrize(
    ("answer", "within_s"),
    [
        pytest.param(refused(limit=1, reset_s=600), 400, id="one-in-ten-minutes"),
        pytest.param(refused(limit=5, reset_s=1e9), 60, id="a-window-of-decades"),
        pytest.param(refused("1000000000"), 620, id="come-back-in-decades"),
        pytest.param(refused("1000000000", limit=1, reset_s=1e9), 1000, id="both"),
        pytest.param(refused("-1"), 60, id="negative"),
        pytest.param(refused("nan"), 60, id="nan"),
    ],
)
def test_a_wrong_refusal_is_believed_for_a_while(number, answer, within_s):
    discord = WildDiscord({number: answer})
    read, learned = healed(discord, number + within_s, {number: answer})

    assert discord.refused["user"] <= 1
    assert read.longest_gap_s <= BOUND_S
    assert all(each.window_s <= ROUTE_WINDOW_S for each in learned)


def test_a_wrong_refusal_in_mid_run_teaches_nothing_where_no_header_would_correct_it():
    wild = {30: refused(limit=1, reset_s=600)}
    discord = WildDiscord(wild, masked=True, form=Form.SLIDING)
    _, learned = healed(discord, 60.0, wild)

    assert not discord.refused
    assert learned == ()


def test_answers_that_lie_below_a_mask_are_believed_ever_more_rarely():
    """Every answer that is let through names ten times the limit that holds."""

    class Liar(ModelDiscord):
        def answer(self, channel: str):
            status, headers = super().answer(channel)
            return status, headers | (claim(50, 5, 49) if status == 200 else {})

    discord = Liar(Form.SLIDING_LOG)
    read_all(discord, 1_200.0, channels=3)

    assert 3 <= discord.refused["user"] <= 3 * 4


NUMBERS = st.one_of(
    st.sampled_from(
        ["", "nan", "inf", "-inf", "-1", "0", "1", "5", "99", "100", "1e9", "0x5", "5, 7", "soon"]
    ),
    st.integers(-10, 10**12).map(str),
    st.floats(allow_nan=True).map(str),
    st.just("9" * 400),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-ratelimit-limit": NUMBERS,
        "x-ratelimit-remaining": NUMBERS,
        "x-ratelimit-reset": NUMBERS,
        "x-ratelimit-reset-after": NUMBERS,
        "retry-after": NUMBERS,
        "x-ratelimit-bucket": st.text(max_size=3),
    },
)
REFUSED = HEADERS.map(lambda told: (429, told | {"x-ratelimit-scope": "user"}))
ANSWERS = st.one_of(HEADERS.map(lambda told: (200, told)), REFUSED)


WILD = st.dictionaries(st.integers(1, 12), ANSWERS, max_size=5)


@settings(max_examples=40, deadline=None)
@given(wild=WILD, form=st.sampled_from(Form), masked=st.booleans())
def test_whatever_headers_say_no_channel_stands_still_for_longer_than_the_bound(wild, form, masked):
    discord = WildDiscord(wild, form=form, masked=masked)
    (read,), learned = read_all(discord, 20 * BOUND_S, is_done=lambda read: len(read.asked_s) >= 20)

    assert len(read.asked_s) >= 20
    assert read.longest_gap_s <= BOUND_S
    assert all(1 <= each.limit < 100 and 0 < each.window_s <= ROUTE_WINDOW_S for each in learned)


@settings(max_examples=40, deadline=None)
@given(wild=WILD, form=st.sampled_from(Form))
def test_honest_answers_bring_a_channel_back_to_full_speed(wild, form):
    """Each wild answer costs a bounded time, and the last one a quarter of an hour at most."""
    read, learned = healed(WildDiscord(wild, form=form), len(wild) * BOUND_S + 900.0, wild)

    assert read.is_full
    assert kept(learned) <= {TRUE}


@settings(max_examples=30, deadline=None)
@given(
    form=st.sampled_from(Form),
    limit=st.integers(1, 99),
    window_s=st.sampled_from([0.25, 1.0, 2.5, 5.0, 7.0, 10.0, 11.0, 30.0, 60.0, 100.0, 600.0]),
    seed=st.integers(0, 1_000),
    latency_s=st.floats(0.0, 0.5),
)
def test_an_honest_limit_is_kept_however_far_it_is_from_what_was_believed(
    form, limit, window_s, seed, latency_s
):
    network = Network(random.Random(seed), least_s=latency_s, jitter_s=0.2, back_s=0.2)
    discord = ModelDiscord(form, limit=limit, window_s=window_s)
    reads, _ = read_all(
        discord,
        3 * window_s + 30.0,
        channels=3,
        network=network,
        is_done=lambda read: len(read.asked_s) >= 60,
    )

    assert not discord.refused
    assert all(each.pages_s for each in reads)


def test_a_refusal_is_no_reason_to_ask_for_more():
    discord = WildDiscord({3: refused(limit=99, reset_s=5)}, masked=True)
    _, learned = healed(discord, 60.0, {3: refused()})

    assert not discord.refused
    assert kept(learned) == {TRUE}


def test_what_is_not_heard_again_for_a_day_is_forgotten():
    now_s = 0.0
    policies = RoutePolicies(clock_s=lambda: now_s)
    policies.note_refusal(MESSAGES, BucketHeaders(2, 5.0, 1.0, "user"))
    policies.note_refusal("GET /new", BucketHeaders(2, 5.0, 1.0, "user"))
    now_s = 86_000.0
    believed = policies.get(MESSAGES)
    policies.note_refusal("GET /new", BucketHeaders(2, 5.0, 1.0, "user"))
    now_s = 87_000.0

    assert (believed.limit, believed.source) == (2, PolicySource.REFUSAL)
    assert policies.get(MESSAGES) == PRIORS[MESSAGES]
    assert policies.get("GET /new").limit == 2
    now_s = 180_000.0
    assert policies.get("GET /new") is None
    assert policies.learned() == ()


def test_that_something_is_not_believed_is_said_once(caplog):
    discord = WildDiscord({number: (200, claim(5, 1e9)) for number in range(1, 30)})
    healed(discord, 120.0, {})

    assert [each.event for each in caplog.records] == ["limit_not_believed"]
