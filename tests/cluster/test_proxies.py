"""Behind a proxy: requests to Discord use it, and Ray's own processes do not."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from urllib.parse import urlsplit

import psutil
import pytest
from aiohttp import web

from raysync.emulator import EmulatorThread, GuildSpec, World, generate_guild
from raysync.errors import ConfigurationError
from raysync.submission.jobs import ClusterJobs, JobOrder
from tests.cluster.installation import TOKEN, Installation, ended
from tests.cluster.waiting import wait_until
from tests.forward_proxy import PASSWORD, forward_proxy, proxy_thread

API = "http://discord.test/api/v10"
"""A name that only the proxy knows."""


def workers_below(pid: int) -> list[dict[str, str]]:
    """The environments of Ray's workers that a program has started."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            found.append(process.environ())
    return [each for each in found if "RAY_JOB_ID" in each]


def test_a_run_behind_a_proxy_asks_it_for_discord_and_for_nothing_else(
    without_ray: Installation,
) -> None:
    world = World(generate_guild(GuildSpec(text_channels=4, text_messages=250), seed=2))
    world.add_bot(TOKEN)
    (guild_id,) = world.guilds
    with EmulatorThread(world) as emulator:
        parts = urlsplit(emulator.url)
        hosts = {"discord.test": (str(parts.hostname), int(parts.port or 0))}
        with proxy_thread(hosts, wants_password=True) as proxy:
            installation = without_ray.with_environ(
                RAYSYNC_DISCORD_API_URL="http://Discord.test:80/api//v10/",
                HTTP_PROXY=proxy.url_with_password,
                HTTPS_PROXY=proxy.url,
                ALL_PROXY=proxy.url,
                http_proxy=proxy.url_with_password,
                https_proxy=proxy.url,
                NO_PROXY="elsewhere.example",
            )
            installation.add_tenant("takaro", guild_id)
            with installation.starting() as program:
                wait_until(lambda: program.poll() is not None or workers_below(program.pid), 60)
                workers = workers_below(program.pid)
                done = ended(program)

            assert done.code == 0, done.err
            installation.assert_complete("takaro", emulator)
            asked = set(proxy.asked)
            counted = done.job["parallel_stats"]["total_api_calls"]
            assert counted == len(proxy.asked) == emulator.counters.requests
    assert {request for request in asked if not request.startswith(f"GET {API}/")} == set()
    assert PASSWORD not in done.out + done.err
    assert workers
    for worker in workers:
        exempt = {"elsewhere.example", "127.0.0.1", "localhost", "::1", "169.254.169.254"}
        assert exempt <= set(worker["NO_PROXY"].split(","))
        assert worker["no_proxy"] == worker["NO_PROXY"]
        assert "HTTP_PROXY" not in worker, "it holds a password"
        assert worker["HTTPS_PROXY"] == proxy.url


class JobServer:
    """As much of Ray's job server as a submission needs."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        body = await request.read()
        match request.path.removeprefix("/api/"):
            case "version":
                return web.json_response({"version": "4", "ray_version": "2.60.0"})
            case "jobs/" if request.method == "POST":
                return web.json_response(
                    {"job_id": "1", "submission_id": json.loads(body)["submission_id"]}
                )
            case "jobs/a-job/logs":
                return web.json_response({"logs": "one\ntwo\n"})
            case "jobs/a-job":
                return web.json_response(
                    {
                        "type": "SUBMISSION",
                        "entrypoint": "true",
                        "status": "SUCCEEDED",
                        "submission_id": "a-job",
                        "driver_exit_code": 0,
                    }
                )
        return web.json_response([])


@pytest.fixture
async def job_server():
    served = JobServer()
    runner = web.ServerRunner(web.Server(served.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield served, runner.addresses[0][1]
    await runner.cleanup()


def submit(address: str) -> tuple[ClusterJobs, str]:
    """Submit a job and read its log, in another thread than the servers'."""
    written: list[str] = []

    async def follow(jobs: ClusterJobs) -> None:
        assert (await jobs.follow("a-job", written.append)).exit_code == 0

    jobs = ClusterJobs.at(address)
    jobs.submit(JobOrder("a-job", "true", {}))
    asyncio.run(follow(jobs))
    return jobs, "".join(written)


async def test_a_cluster_on_this_machine_is_never_asked_through_a_proxy(job_server, monkeypatch):
    served, port = job_server
    async with forward_proxy({}) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for host in ("127.0.0.1", "localhost"):
            _, log = await asyncio.to_thread(submit, f"http://{host}:{port}")
            assert log == "one\ntwo\n"

        assert proxy.asked == []
    assert served.asked.count("POST /api/jobs/") == 2


async def test_another_cluster_is_asked_through_the_proxy(job_server, monkeypatch):
    served, port = job_server
    hosts = {"ray.test:8265": ("127.0.0.1", port)}
    async with forward_proxy(hosts, wants_password=True) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url_with_password)
        jobs, log = await asyncio.to_thread(submit, "http://ray.test:8265")

        assert (jobs.address, log) == ("http://ray.test:8265", "one\ntwo\n")
        assert len(proxy.asked) == len(served.asked) >= 4

        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(ConfigurationError, match=r"407 .*\(through the proxy .* of http_proxy"):
            await asyncio.to_thread(submit, "http://ray.test:8265")


def test_a_proxy_out_of_reach_is_told(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:hunter2@127.0.0.1:1")
    with pytest.raises(ConfigurationError) as caught:
        ClusterJobs.at("http://ray.test:8265")

    assert str(caught.value) == (
        "Cannot reach the proxy http://127.0.0.1:1 of http_proxy to the Ray cluster at "
        "http://ray.test:8265: Connection refused. Correct that variable, or list the host in "
        "NO_PROXY to connect directly."
    )
