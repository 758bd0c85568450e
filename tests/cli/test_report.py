"""Report of a job: its figures, its drawings, and the escaping of all names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise

import psycopg
import pytest

from raysync.cli.job_report import rates
from raysync.cli.job_report.drawing import nice_top, tick_step_s
from raysync.cli.job_report.figures import Bound, figures_of
from raysync.cli.job_report.lanes import MOST_BLOCKS, MOST_LANES, timeline
from raysync.cli.job_report.lead import as_json, bound_in_words
from raysync.cli.job_report.page import page
from raysync.cli.job_report.picture import caption
from raysync.models.events import ApiUsage
from raysync.models.history import JobHistory
from raysync.models.records import DeadLetter
from raysync.models.results import (
    ChannelError,
    CoverageGap,
    QuarantinedRecord,
    SkippedChannel,
    Verification,
)
from raysync.models.samples import JobSample
from raysync.models.status import FailureClass, JobStatus, SyncType
from raysync.models.work import SyncWindow, VisitSpan
from tests.cli.histories import (
    BUDGET,
    busy_guild,
    channel,
    failed,
    finished,
    stats,
    unfinished,
    with_result,
)
from tests.cli.samples import JOB_ID, NO_SEARCH, STARTED

NOW = STARTED + timedelta(hours=2)
BEGAN_S = STARTED.timestamp()
MOST_BYTES = 600_000
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'></svg><a href='javascript:alert(1)'>",
    "</style><style>@import 'https://evil.example/x.css'",
    "]]><!-- -->&lt;b&gt;{0}{name}%s",
    "\u202egnp.exe\u2066\x00\x07\ud800",
]


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(history: JobHistory) -> Page:
    return Page(page(history, NOW))


# What the figures say


def test_the_tokens_budget_bounds_a_run_of_many_requests():
    found = figures_of(finished(busy_guild(300)), NOW).efficiency

    assert found is not None
    assert found.bound is Bound.BUDGET
    assert sum(cost.seconds for cost in found.costs) == pytest.approx(
        found.actual_s - found.ideal_s, abs=0.15
    )


def test_the_largest_channel_bounds_a_run_that_it_outlasts():
    late = STARTED + timedelta(seconds=7)
    large = channel(1, requests=40, started_at=late, completed_at=late + timedelta(seconds=50))
    small = channel(2, completed_at=late + timedelta(seconds=53))
    history = with_result(finished([large, small]), parallel_stats=stats(43, 35.0, 58.0, None))

    found = figures_of(history, NOW).efficiency

    assert found is not None
    assert (found.bound, found.largest) == (Bound.CHANNEL, large)
    assert {cost.label: cost.seconds for cost in found.costs} == pytest.approx(
        {"begun late": 5.0, "pauses": 15.0, "others after it": 3.0}
    )
    assert [cost.shown for cost in found.costs] == [
        "largest channel started late",
        "pauses of the largest channel",
        "other channels afterwards",
    ]
    assert bound_in_words(found) == (
        "Efficiency 0.60: the time from the first request to the last was 58.0 s; Discord's limits "
        "(here the largest channel) allow 35.0 s at best."
    )
    assert "The largest channel was the limit: #channel-1 took 40 requests" in page_of(history).text


@pytest.mark.parametrize(
    ("series", "costs"),
    [
        pytest.param([24, 48, 48, 48, 0], {"rise": 0.5, "tail": 1.0}, id="rise-and-tail"),
        pytest.param([48, 0, 24, 48], {"between": 1.5}, id="between-full-seconds"),
        pytest.param([24, 12, 0, 24], {"never full": 2.0}, id="never-full"),
        pytest.param(None, {"not told": 1.5}, id="of-a-version-without-it"),
    ],
)
def test_what_cost_efficiency_is_the_budget_that_was_not_used(series, costs):
    lost_s = sum(costs.values())
    requests = sum(series or [48])
    ideal_s = (requests - 1) / BUDGET
    told = stats(requests, ideal_s, ideal_s + lost_s, series)

    found = figures_of(with_result(finished([channel(1)]), parallel_stats=told), NOW).efficiency

    assert found is not None
    assert {cost.label: cost.seconds for cost in found.costs} == pytest.approx(costs)


def test_a_running_job_is_told_as_far_as_it_has_come():
    figures = figures_of(unfinished(finished(busy_guild(20)), heartbeat_age_s=10.0), NOW)

    assert (figures.status, figures.is_over, figures.efficiency) == ("running", False, None)
    assert figures.seen_at == NOW - timedelta(seconds=10)
    text = page_of(unfinished(finished(busy_guild(20)))).text
    assert "The job is running: this page shows its progress so far." in text
    assert "Not known yet: it is computed when the job ends." in text


def test_a_job_that_nobody_speaks_for_is_said_to_be_silent():
    text = page_of(unfinished(finished(busy_guild(20)), heartbeat_age_s=300.0)).text

    assert "The job's last heartbeat is 5 min 0 s old" in text
    assert f"raysync resume --job-id {JOB_ID}" in text


def test_a_job_that_failed_before_it_wrote_anything_still_has_a_page():
    history = finished([channel(1)])
    record = replace(
        history.record,
        status=JobStatus.FAILED,
        error="The token is refused.",
        view=None,
        result=None,
    )

    text = page_of(JobHistory(record, (), {}, (), ())).text

    assert "The token is refused." in text
    assert "No channel was read." in text


def test_a_job_that_was_killed_and_found_hours_later_is_told_up_to_its_last_sample():
    history = finished(busy_guild(20))
    found = replace(
        history.record, status=JobStatus.FAILED, result=None, completed_at=NOW, error="died"
    )
    cut_short = replace(history, record=found)

    assert figures_of(cut_short, NOW).seen_at == history.samples[-1].taken_at
    assert "The job ended without a final report" in page_of(cut_short).text


def test_a_resumed_job_says_that_it_shows_its_last_run():
    history = finished([channel(1)])
    earlier = replace(history.record, started_at=STARTED - timedelta(days=1))

    text = page_of(replace(history, record=earlier)).text

    assert "and resumed later. All counts, times and charts are of its last run." in text


def test_a_run_that_relied_on_a_tail_says_since_when_it_listened():
    history = finished([channel(1)])
    window = replace(history.record.window, listened_since=STARTED - timedelta(hours=3))
    relying = replace(history, record=replace(history.record, window=window))

    assert "so nothing older was compared" in page_of(relying).text
    assert "so nothing older was compared" not in page_of(history).text


def test_a_verification_tells_what_is_proven_and_names_the_gaps():
    gap = CoverageGap(channel_id="1001", name="general", after=STARTED, before=NOW, is_news=True)
    history = with_result(
        finished([channel(1)]), verification=Verification(channels=9, proven=8, gaps=[gap])
    )
    verify = replace(history.record, window=SyncWindow(SyncType.VERIFY))

    text = page_of(replace(history, record=verify)).text

    assert "messages compared" in text
    assert "8 of 9 channels proven complete, 1 gap" in text
    assert "unchanged" not in text
    assert "#general" in text
    assert "written since the last sync" in text
    assert "raysync verify --tenant takaro --repair" in text


def test_what_was_given_up_and_left_out_comes_with_what_to_do():
    letter = DeadLetter(
        failed(3).channel_id,
        "channel-3",
        JOB_ID,
        FailureClass.PERMANENT,
        "AccessDeniedError",
        "Discord answers 403",
        2,
        STARTED,
        STARTED,
    )
    history = with_result(
        finished([channel(1), failed(3), failed(4)], dead_letters=(letter,)),
        errors=[ChannelError(channel_id=None, error="archived threads: away", timestamp=STARTED)],
        skipped=[
            SkippedChannel(
                channel_id=str(number), name=f"s{number}", reason="the bot lacks VIEW_CHANNEL"
            )
            for number in range(15)
        ],
    )

    text = page_of(history).text

    assert "raysync dead-letters retry --tenant takaro --channel 1003" in text
    assert "--channel 1004" not in text  # read to its end since
    assert "open, 2 attempts" in text
    assert "archived threads: away" in text
    assert "the permission View Channel in the channel" in text
    assert "#s11 and 3 more" in text


def test_what_could_not_be_read_whole_is_named_with_what_to_do():
    named = [QuarantinedRecord(channel_id="1001", message_id="7", fields=["content", "<b>"])]
    text = page_of(
        with_result(finished([channel(1)]), quarantined=30, quarantined_messages=named)
    ).text

    assert "30 messages in the archive had fields" in text
    assert "#channel-1" in text
    assert "content, <b>" in text
    assert "29 more messages. For the whole list: raysync export --tenant takaro" in text
    assert "unreadable fields" not in page_of(finished([channel(1)])).text


# What is drawn


def test_every_channel_of_a_timeline_is_drawn_or_said_not_to_be():
    channels = [*busy_guild(400), channel(9_000, visits=(), messages=0)]

    found = timeline(channels, BEGAN_S, 120.0)

    assert found is not None
    assert found.not_read == 1
    assert len(found.alone) + len(found.together) + found.not_drawn + found.not_read == len(
        channels
    )
    assert found.is_exact


def test_blocks_of_a_lane_never_overlap_and_a_channel_keeps_its_times():
    span = VisitSpan("worker-1", BEGAN_S + 10, BEGAN_S + 20, 1, 10.0)
    found = timeline([*busy_guild(60), channel(9_000, visits=(span,))], BEGAN_S, 120.0)

    assert found is not None
    for lane in (lane for worker in found.workers for lane in worker.lanes):
        assert all(one.until_s <= other.from_s for one, other in pairwise(lane))
    (block,) = [
        block
        for worker in found.workers
        for lane in worker.lanes
        for block in lane
        if channel(9_000).channel_id in block.channels
    ]
    assert (block.from_s, block.until_s) == pytest.approx((10.0, 20.0))


def test_what_is_too_brief_to_be_seen_is_drawn_together():
    spans = [VisitSpan("worker-0", BEGAN_S + at, BEGAN_S + at + 0.9, 1, 0.9) for at in range(50)]
    channels = [channel(number, visits=(each,)) for number, each in enumerate(spans)]

    found = timeline(channels, BEGAN_S, 10_000.0)

    assert found is not None
    assert (len(found.alone), len(found.together)) == (0, 50)
    assert "50 channels too short to draw individually" in " ".join(caption(found))


def test_what_finds_no_lane_is_the_smallest_and_is_counted():
    span = VisitSpan("worker-0", BEGAN_S, BEGAN_S + 60, 1, 60.0)
    channels = [channel(number, messages=number, visits=(span,)) for number in range(20)]

    found = timeline(channels, BEGAN_S, 60.0)

    assert found is not None
    largest = {each.channel_id for each in channels[-MOST_LANES:]}
    assert (found.alone, found.not_drawn) == (largest, 20 - MOST_LANES)
    assert f"{20 - MOST_LANES} smaller channels not drawn." in caption(found)


def test_a_channel_without_visits_is_drawn_from_its_beginning_to_its_end():
    history = finished([channel(number, visits=None) for number in range(3)])
    found = timeline(history.channels, BEGAN_S, 10.0)

    assert found is not None
    assert len(found.alone) == 3
    assert not found.is_exact
    assert "The version that ran the job stored no visits" in page_of(history).text


def test_a_job_without_samples_says_so():
    text = page_of(finished([channel(1)], samples=())).text

    assert "There are no samples of messages" in text
    assert "Requests answered per second" in text


def sample(second: float, messages: int, hits: int = 0) -> JobSample:
    return JobSample(int(second), STARTED + timedelta(seconds=second), messages, messages, hits)


def test_rates_are_the_growth_between_samples():
    steps = rates.messages_per_second([sample(2, 100), sample(4, 300), sample(6, 300)], STARTED)

    assert [(step.from_s, step.until_s, step.per_second) for step in steps] == [
        (0.0, 2.0, 50.0),
        (2.0, 4.0, 100.0),
        (4.0, 6.0, 0.0),
    ]


def test_a_tracker_that_knows_less_than_the_one_before_is_no_negative_rate():
    steps = rates.messages_per_second([sample(2, 500), sample(4, 0), sample(6, 600)], STARTED)

    assert [step.per_second for step in steps] == [250.0, 0.0, 300.0]


def test_however_many_samples_there_are_the_steps_are_few_and_nothing_is_lost():
    samples = [sample(second, 3 * second) for second in range(600)]
    steps = rates.messages_per_second(samples, STARTED)

    assert len(steps) <= rates.MOST_STEPS + 1
    assert sum(e.per_second * (e.until_s - e.from_s) for e in steps) == pytest.approx(3 * 599)


def test_answers_of_429_are_marked_where_they_came():
    samples = [sample(2, 100), sample(4, 200, hits=3), sample(6, 300, hits=3)]

    assert rates.refusals(samples, STARTED) == ((4.0, 3),)
    history = finished([channel(1)], samples=tuple(samples))
    assert [each["class"] for each in page_of(history).all("circle")] == ["refusal"]


@pytest.mark.parametrize("length_s", [0.4, 7, 61, 600, 3_601, 90_000, 1_000_000])
def test_a_time_axis_has_few_marks(length_s):
    assert length_s / tick_step_s(length_s) <= 6


@pytest.mark.parametrize("highest", [0.0, 0.3, 1.0, 47.0, 48.0, 99.0, 4_812.0])
def test_a_chart_ends_a_little_above_what_it_shows(highest):
    assert highest * 1.05 <= nice_top(highest) <= max(highest * 2.2, 1.0)


# What the page is made of


@pytest.fixture
def hostile() -> JobHistory:
    """Return a job in which every text that strangers choose is malicious."""
    names = [*HOSTILE, *HOSTILE]
    channels = [
        (failed if number % 2 else channel)(
            number,
            name=name,
            worker_id=name,
            visits=(VisitSpan(name, BEGAN_S, BEGAN_S + 3, 1, 3.0),),
            **({"message": name} if number % 2 else {}),
        )
        for number, name in enumerate(names)
    ]
    history = with_result(
        finished(channels),
        errors=[ChannelError(channel_id=None, error=text, timestamp=NOW) for text in HOSTILE],
        skipped=[SkippedChannel(channel_id="1", name=text, reason=text) for text in HOSTILE],
        verification=Verification(
            channels=1,
            proven=0,
            gaps=[
                CoverageGap(channel_id="1", name=text, after=STARTED, before=NOW, is_news=False)
                for text in HOSTILE
            ],
        ),
    )
    record = replace(history.record, error=HOSTILE[0])
    return replace(history, record=record, usage={text: ApiUsage({text: 1}) for text in HOSTILE})


def test_nobodys_words_become_markup(hostile):
    plain, found = page_of(finished([failed(1), channel(2)])), page_of(hostile)

    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in plain.elements} | {
        "p",
        "code",
        "table",
        "li",
    }
    attributes = {name for tag, each in found.elements for name in each if tag != "link"}
    assert not [each for each in attributes if each.startswith("on") or each in ("href", "src")]
    assert found.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert found.all("script") == found.all("a") == found.all("img") == []
    assert len(found.all("style")) == 1
    for each in HOSTILE[:3]:
        assert each in found.text


def test_no_word_turns_the_direction_of_a_line_or_commands_a_terminal(hostile):
    text = page(hostile, NOW)

    assert not set("\u202e\u2066\x00\x07") & set(text)
    assert text.encode()  # and no half of a pair


def test_the_page_names_nothing_to_load_and_allows_nothing():
    text = page(finished(busy_guild(50)), NOW)
    (policy,) = [
        each["content"]
        for each in Page(text).all("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert re.findall(r"https?:|@import|[\"'(]//", text) == []
    assert set(re.findall(r"url\([^)]*\)", text)) == {"url(#hatching)"}
    assert not re.search(r"\sstyle=", text)


def test_every_picture_says_what_it_shows_and_ids_are_unique():
    text = page(finished(busy_guild(50)), NOW)
    found = Page(text)
    ids = [each["id"] for _, each in found.elements if "id" in each]
    pictures = [each for each in found.all("svg") if each.get("role") == "img"]

    assert len(ids) == len(set(ids))
    assert len(pictures) == 4
    for picture in pictures:
        assert set(picture["aria-labelledby"].split()) <= set(ids)
    assert all(each.get("scope") for each in found.all("th"))


def test_five_thousand_channels_make_a_page_that_can_be_sent():
    longest = '"' * 100  # as long as Discord lets a name be, and five times that when escaped
    history = finished([replace(channel, name=longest) for channel in busy_guild(5_000)])

    text = page(history, NOW)

    assert len(text.encode()) < MOST_BYTES
    assert text.count("<rect") <= MOST_BLOCKS + 10
    assert "And 4,980 more channels" in Page(text).text


# The command


def test_no_job_yet_is_a_sentence(run, takaro):
    result = run("report", "--tenant", "takaro")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "no sync job yet" in result.stderr


@pytest.mark.parametrize("which", [[], ["--tenant", "takaro"], ["--job-id", JOB_ID]])
def test_a_job_is_found_by_itself_by_tenant_and_by_id(run, job, which):
    result = run("report", *which)

    assert result.exit_code == 0, result.stderr
    assert f"takaro: job {JOB_ID} cancelled" in result.stdout
    assert "--html report.html" in result.stderr


def test_a_job_that_failed_says_why_in_its_sentence(run, job, takaro):
    with psycopg.connect(takaro) as session:
        session.execute("UPDATE sync_jobs SET status = 'failed', error = %s", ("Refused\x1b[2J.",))

    told = run("report").stdout

    assert f"takaro: job {job} failed: Refused[2J. 0 messages read" in told


def test_the_figures_are_told_to_a_program(run, job):
    told = json.loads(run("report", "--json").stdout)

    assert (told["job_id"], told["tenant"], told["status"]) == (JOB_ID, "takaro", "cancelled")
    assert told["efficiency"] is None


def test_the_page_is_written_whole_or_to_stdout(run, job, tmp_path):
    target = tmp_path / "report.html"
    written = run("report", "--html", str(target))
    printed = run("report", "--html", "-")

    assert (written.exit_code, printed.exit_code) == (0, 0)
    assert str(target) in written.stderr.replace("\n", "")
    assert target.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert printed.stdout.startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--job-id", JOB_ID, "--tenant", "takaro"], 2, "exclude each other"),
        (["--html", "-", "--json"], 2, "exclude each other"),
        (["--job-id", "00000000-0000-4000-8000-00000000dead"], 2, "raysync status"),
        (["--tenant", "nobody"], 2, "nobody"),
        (["--html", "/nowhere/at/all.html"], 2, "Cannot write in /nowhere/at"),
        (["--html", "/tmp"], 2, "it is a directory. Name a file."),
    ],
)
def test_a_mistake_is_told_in_a_sentence(run, job, arguments, code, says):
    result = run("report", *arguments)

    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_what_the_api_has_no_route_for_is_on_the_page_and_in_the_figures():
    history = finished([channel(0)])
    result = history.record.result.model_copy(update={"not_covered": [NO_SEARCH]})
    history = replace(history, record=replace(history.record, result=result))

    text = page(history, NOW)
    assert "Not covered" in text
    assert NO_SEARCH.what in text
    assert as_json(history, figures_of(history, NOW))["not_covered"] == [NO_SEARCH.model_dump()]
    assert "Not covered" not in page(finished([channel(0)]), NOW)


def test_one_word_is_not_used_for_two_things():
    series = [24, 48, 48, 48, 0]
    history = with_result(
        finished(busy_guild(6)), parallel_stats=stats(sum(series), 3.5, 5.0, series)
    )

    text = page_of(history).text.lower()

    assert "last stretch" in text
    assert not re.search(r"\btail\b", text)
