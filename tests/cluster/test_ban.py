"""A ban, or many refusals, stops every process at once and loses no message."""

from __future__ import annotations

import re

import pytest

from raysync.emulator import Action, Emulator, FaultRule
from raysync.emulator.faults import FaultScript
from tests.cluster.guilds import MESSAGES, ServeTenant, wide_world
from tests.cluster.installation import TOKEN, Ended, Installation, ended
from tests.cluster.midrun import wait_for_pages

WORKERS = 4
HELD_BACK_S = 0.1
"""Within so long every process has heard of a ban: the first answer's way, and two calls."""
AT_THE_LATEST_S = 1.0
JOBS = "SELECT status, error FROM sync_jobs ORDER BY created_at"


@pytest.mark.usefixtures("forget_bans")
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(Action.BAN, marks=pytest.mark.slow),
        pytest.param(Action.BAN_HTML, marks=pytest.mark.slow),
        Action.BAN_CODE,
    ],
)
def test_a_ban_in_mid_run_stops_all_workers_and_the_next_run_goes_on(
    installation: Installation, form: Action, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world(), SYNC_MAX_CHANNEL_WORKERS=None)
    with installation.starting("--tenant", "takaro", "--workers", str(WORKERS)) as program:
        wait_for_pages(emulator, 40, program)
        emulator.faults = FaultScript(FaultRule(form))
        run = ended(program)

    assert_stopped(run, r"until \d{4}-\d\d-\d\d \d\d:\d\d UTC at least")
    (job,) = installation.query(JOBS)
    assert job["status"] == "failed"
    assert_nobody_went_on(emulator)
    asked = emulator.counters.requests

    again = installation.start("--tenant", "takaro")

    assert_stopped(again, "Discord blocks this address")
    assert emulator.counters.requests == asked, "the cluster knew of the ban"
    emulator.faults = FaultScript()

    elsewhere = installation.with_environ(RAY_ADDRESS=None).start("--tenant", "takaro")

    assert elsewhere.code == 0, elsewhere.err
    installation.assert_complete("takaro", emulator)


@pytest.mark.slow
def test_refusals_stop_the_run_long_before_they_bring_a_ban(
    without_ray: Installation, serve_tenant: ServeTenant
) -> None:
    limit = 5
    refused = FaultRule(
        Action.ANSWER, route=MESSAGES, status=403, body={"message": "Missing Access", "code": 50001}
    )
    installation, emulator = serve_tenant(
        without_ray, wide_world(), SYNC_INVALID_REQUEST_LIMIT=str(limit)
    )
    emulator.faults = FaultScript(refused)

    run = installation.start("--tenant", "takaro", "--workers", "1")

    assert_stopped(run, "Discord refused")
    refusals = emulator.counters.by_status[403]
    assert limit <= refusals < 16, "channels that were under way together"
    emulator.faults = FaultScript()

    second = installation.start("--tenant", "takaro")
    assert second.code == 3, "what was refused is left alone for days, unless somebody asks"
    third = installation.raysync("dead-letters", "retry", "--tenant", "takaro")

    assert third.code == 0, third.err
    installation.assert_complete("takaro", emulator)


def assert_stopped(run: Ended, sentence: str) -> None:
    """Exit 1, with that to say and no traceback."""
    assert run.code == 1, run.err
    assert re.search(sentence, run.err), run.err
    assert "Traceback" not in run.err
    assert TOKEN not in run.err


def assert_nobody_went_on(emulator: Emulator) -> None:
    """After the first banned answer only what was under way arrives."""
    banned = [entry.at_s for entry in emulator.log.entries if entry.status == 429]
    late = [at_s for at_s in banned if at_s > banned[0] + HELD_BACK_S]
    print(f"requests after the first banned answer: {len(banned) - 1}, {len(late)} of them later")
    assert max(banned) - banned[0] <= AT_THE_LATEST_S
    assert late == []
