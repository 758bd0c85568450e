"""Errors end with one sentence and a documented exit code."""

from __future__ import annotations

import json
import socket
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import make_url

from raysync import __version__
from raysync.actors.nodes import refuse_unlike
from raysync.emulator import Action, Emulator, FaultRule
from raysync.emulator.faults import FaultScript
from raysync.errors import ConfigurationError
from tests.cluster.guilds import MESSAGES, ServeTenant, tiny_world, wide_world
from tests.cluster.installation import TOKEN, Ended, Installation, ray_environ
from tests.cluster.ray_head import running_head

STRANGER = "a-token.discord-does-not-know"


@pytest.fixture
def small(
    installation: Installation, serve_tenant: ServeTenant
) -> tuple[Installation, Emulator, int]:
    """A tenant of a small guild, its emulator and its guild's id."""
    world = tiny_world()
    (guild_id,) = world.guilds
    installation, emulator = serve_tenant(installation, world)
    return installation, emulator, guild_id


def assert_refused(run: Ended, *words: str) -> None:
    """Exit 2, nothing on stdout, and a sentence that has *words* and no secret."""
    assert run.code == 2, run.err
    assert run.out == ""
    assert_sentence(run, *words)


def assert_sentence(run: Ended, *words: str) -> None:
    assert "Traceback" not in run.err
    assert TOKEN not in run.err
    assert STRANGER not in run.err
    last = run.err.strip().splitlines()[-1]
    assert last.endswith((".", "?", ".)", "`"))
    for word in words:
        assert word in run.err


def failing(channel_id: int, status: int) -> FaultRule:
    """503 stands for all 5xx: discord.py repeats the others itself, for 25 s."""
    code = {404: 10003}.get(status, 0)
    body = {"message": "It does not work", "code": code}
    return FaultRule(Action.ANSWER, route=MESSAGES, channel_id=channel_id, status=status, body=body)


def test_a_token_discord_does_not_know(small: tuple[Installation, Emulator, int]) -> None:
    installation, _, _ = small
    run = installation.with_environ(DISCORD_TOKEN=STRANGER).start("--tenant", "takaro")

    assert_refused(run, "token")


def test_a_guild_the_bot_is_not_in(small: tuple[Installation, Emulator, int]) -> None:
    installation, emulator, guild_id = small
    emulator.edits.remove_bot(TOKEN, guild_id)

    assert_refused(installation.start("--tenant", "takaro"), str(guild_id))


@pytest.mark.slow  # without Ray: tests/emulator/test_membership.py
def test_a_guild_that_throws_the_bot_out_in_mid_run(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world())
    (guild_id,) = emulator.world.guilds
    kick = {"op": "remove_bot", "token": TOKEN, "guild_id": guild_id}
    out = FaultRule(Action.PASS, route=MESSAGES, nth=(20,), after=[kick])
    emulator.faults = FaultScript(out)

    run = installation.start("--tenant", "takaro", "--json")

    (job,) = json.loads(run.out)["jobs"]
    assert (run.code, job["status"]) == (1, "failed")
    assert job["messages_processed"] > 0, "what was stored before is told"
    (error,) = job["errors"]
    assert (error["channel_id"], str(guild_id) in error["error"]) == (None, True)
    listed = installation.raysync("dead-letters", "list", "--tenant", "takaro", "--json")
    assert json.loads(listed.out) == {"dead_letters": []}

    emulator.faults = FaultScript()
    emulator.edits.restore_bot(TOKEN, guild_id, 1 << 10 | 1 << 16)
    assert installation.start("--tenant", "takaro").code == 0
    installation.assert_complete("takaro", emulator)


def test_files_that_machines_would_keep_each_for_itself(
    small: tuple[Installation, Emulator, int], tmp_path: Path
) -> None:
    installation, emulator, _ = small
    growing = installation.with_environ(SYNC_WORKER_RESOURCE="what-only-other-machines-have")
    run = growing.start("--tenant", "takaro", "--attachments", str(tmp_path / "files"))

    assert_refused(run, "other machines", "s3://")
    assert emulator.log.entries == []


def test_a_bot_without_the_content_intent(small: tuple[Installation, Emulator, int]) -> None:
    installation, emulator, _ = small
    emulator.edits.set_content_intent(TOKEN, False)

    assert_refused(installation.start("--tenant", "takaro"), "Message Content intent")
    assert installation.exported("takaro") == []


def test_an_intent_lost_later_empties_nothing(small: tuple[Installation, Emulator, int]) -> None:
    installation, emulator, _ = small
    assert installation.start("--tenant", "takaro").code == 0
    emulator.edits.set_content_intent(TOKEN, False)

    assert_refused(installation.start("--tenant", "takaro", "--full"), "Message Content intent")
    installation.assert_complete("takaro", emulator)


def test_a_tenant_nobody_added(installation: Installation) -> None:
    assert_refused(installation.start("--tenant", "nobody"), "nobody")


def test_a_token_variable_that_is_not_set(small: tuple[Installation, Emulator, int]) -> None:
    installation, _, _ = small
    run = installation.with_environ(DISCORD_TOKEN=None).start("--tenant", "takaro")

    assert_refused(run, "DISCORD_TOKEN")


def test_a_database_nobody_listens_on(installation: Installation) -> None:
    url = make_url(installation.database_url).set(query={"host": "/nowhere", "port": "5432"})
    there = installation.with_environ(RAYSYNC_DATABASE_URL=str(url))

    assert_refused(there.start("--tenant", "takaro"), "database")


def test_a_ray_address_nobody_listens_on(small: tuple[Installation, Emulator, int]) -> None:
    installation, _, _ = small
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    run = installation.with_environ(RAY_ADDRESS=f"127.0.0.1:{port}").start("--tenant", "takaro")

    assert_refused(run, f"127.0.0.1:{port}")


def test_an_address_of_ray_client(small: tuple[Installation, Emulator, int]) -> None:
    installation, _, _ = small
    run = installation.with_environ(RAY_ADDRESS="ray://10.0.0.1:10001").start("--tenant", "takaro")

    assert_refused(run, "Ray Client", "raysync submit --address http://HOST:8265")


def test_a_cluster_that_asks_for_no_token_where_one_would_be_sent(
    small: tuple[Installation, Emulator, int],
) -> None:
    installation, _, _ = small
    sending = installation.with_environ(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="x" * 40)

    assert_refused(sending.start("--tenant", "takaro"), "uses no token", "Unset RAY_AUTH_MODE")


def test_a_resource_that_no_node_offers(small: tuple[Installation, Emulator, int]) -> None:
    installation, emulator, _ = small
    mistyped = installation.with_environ(SYNC_WORKER_RESOURCE="raysync_wroker")

    run = mistyped.start("--tenant", "takaro")

    assert_refused(run, "raysync_wroker", "SYNC_WORKER_RESOURCE", "its nodes offer CPU")
    assert emulator.log.entries == []


HIDING = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "raysync":
            raise ModuleNotFoundError("No module named 'raysync'", name=name)
sys.meta_path.insert(0, Hidden())
"""


def test_nodes_without_raysync(small: tuple[Installation, Emulator, int], tmp_path: Path) -> None:
    installation, emulator, _ = small
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    with (
        tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as directory,
        running_head(Path(directory), ray_environ() | {"PYTHONPATH": str(tmp_path)}) as bare,
    ):
        run = installation.with_environ(RAY_ADDRESS=bare.address).start("--tenant", "takaro")

    assert_refused(run, "raysync cannot be imported on node", "No module named 'raysync'")
    assert "docs/cluster.md" in run.err
    assert emulator.log.entries == []


def test_nodes_with_another_version_are_named() -> None:
    nodes = {str(n): {"NodeManagerAddress": f"10.0.0.{n}"} for n in range(6)}
    answers: dict[str, tuple[str | None, str]] = dict.fromkeys(nodes, (__version__, ""))
    refuse_unlike(answers, nodes)
    refuse_unlike({}, nodes)

    with pytest.raises(ConfigurationError) as other:
        refuse_unlike(answers | {"2": ("0.0.9", "")}, nodes)
    assert str(other.value).startswith("There is raysync 0.0.9 on node 10.0.0.2 of the Ray cluster")
    with pytest.raises(ConfigurationError, match=r"nodes 10\.0\.0\.0, .* and 3 more of the Ray"):
        refuse_unlike(dict.fromkeys(nodes, (None, "ImportError: it is broken.")), nodes)


@pytest.mark.usefixtures("forget_bans")
def test_a_ban_in_mid_run_ends_it_and_says_so(
    installation: Installation, serve_tenant: ServeTenant
) -> None:
    installation, emulator = serve_tenant(installation, wide_world(channels=6))
    emulator.faults = FaultScript(FaultRule(Action.BAN, route=MESSAGES, nth=tuple(range(15, 500))))

    run = installation.start("--tenant", "takaro")

    assert run.code == 1, run.err
    assert json.loads(run.out)["jobs"][0]["status"] == "failed"
    assert "blocks this address" in run.out
    assert "Traceback" not in run.err
    assert emulator.counters.by_status[429] <= 30, "it went on asking"


@pytest.mark.parametrize("status", [404, pytest.param(503, marks=pytest.mark.slow)])
def test_one_channel_that_always_fails_stops_no_other(
    installation: Installation, status: int, serve_tenant: ServeTenant
) -> None:
    world = wide_world(channels=6, pages=2)
    (guild_id,) = world.guilds
    broken = next(
        channel for channel in world.guilds[guild_id].channels.values() if channel.log.ids
    )
    installation, emulator = serve_tenant(installation, world, SYNC_RETRY_DELAY_MS="1")
    emulator.faults = FaultScript(failing(broken.id, status))

    run = installation.start("--tenant", "takaro")

    assert run.code == 3, run.err
    (error,) = run.job["errors"]
    assert error["channel_id"] == str(broken.id)
    results = {channel["channel_id"]: channel["status"] for channel in run.job["channel_results"]}
    assert results.pop(str(broken.id)) == "failed"
    assert set(results.values()) == {"completed"}
    assert len(results) == 5
    letters = installation.query(
        "SELECT count(*) AS open FROM dead_letters WHERE resolved_at IS NULL"
    )
    assert letters == [{"open": 1}]

    emulator.faults = FaultScript()
    # what Discord refuses is left alone for days; what may pass is tried by the next run
    retry = ("dead-letters", "retry") if status == 404 else ("start",)
    assert installation.raysync(*retry, "--tenant", "takaro").code == 0
    installation.assert_complete("takaro", emulator)


def test_a_refused_channel_becomes_a_dead_letter_that_cools_down_and_is_tried_again(
    small: tuple[Installation, Emulator, int],
) -> None:
    installation, emulator, guild_id = small
    channels = emulator.world.guilds[guild_id].channels.values()
    broken, *_ = (channel.id for channel in channels if channel.log.ids)
    emulator.faults = FaultScript(failing(broken, 403))

    first = installation.start("--tenant", "takaro")
    assert first.code == 3, first.err
    listed = installation.raysync("dead-letters", "list", "--tenant", "takaro", "--json")
    (letter,) = json.loads(listed.out)["dead_letters"]
    assert letter["channel_id"] == str(broken)
    assert (letter["failure_class"], letter["attempts"]) == ("permanent", 1)
    shown = installation.raysync(
        "dead-letters", "show", "--tenant", "takaro", "--channel", str(broken)
    )
    assert "403" in shown.out
    assert "AccessDeniedError" in shown.out

    emulator.log.reset()
    again = installation.start("--tenant", "takaro")
    assert again.code == 3, "it is still not in the archive"
    assert "runs of the whole guild leave it out" in again.job["errors"][0]["error"]
    asked = {each.major_id for each in emulator.log.entries if each.route == MESSAGES}
    assert str(broken) not in asked, "and is not asked for in each run"

    emulator.faults = FaultScript()
    retried = installation.raysync("dead-letters", "retry", "--tenant", "takaro", "--json")
    assert retried.code == 0, retried.err
    installation.assert_complete("takaro", emulator)
    empty = installation.raysync("dead-letters", "list", "--tenant", "takaro", "--json")
    assert json.loads(empty.out) == {"dead_letters": []}
    unknown = installation.raysync(
        "dead-letters", "show", "--tenant", "takaro", "--channel", str(broken)
    )
    assert_refused(unknown, "no dead letter")
