"""Prometheus for tests, configured by deploy/prometheus/prometheus.yml."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.ray_head import RayHead
from tests.cluster.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"


def program(name: str) -> str:
    """Return the path of prometheus or promtool. Skip the test if it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus has it)")
    return found


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Running Prometheus server."""

    url: str

    def get(self, path: str, **parameters: object) -> Any:
        """Return the data of an API response. Fail the test on an error."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{parameters}: {error.read().decode()}")

    def value(self, expression: str) -> float | None:
        """Return the current value of an expression with one series; None without one."""
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def samples(self, expression: str, began_s: float, ended_s: float) -> list[float]:
        """Return all values of an expression in a period, one per second."""
        found = self.get("query_range", query=expression, start=began_s, end=ended_s, step=1)
        return [float(value) for each in found["result"] for _, value in each["values"]]


@contextmanager
def running_prometheus(head: RayHead, directory: Path) -> Iterator[Prometheus]:
    """Start a server that scrapes *head* every two seconds."""
    binary = program("prometheus")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    paces = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    config["global"] = dict.fromkeys(paces, "2s")
    config["rule_files"] = [str(DEPLOY / "prometheus" / "alerts.yml")]
    (discovery,) = config["scrape_configs"][0]["http_sd_configs"]
    discovery["url"] = head.dashboard_url + urllib.parse.urlsplit(discovery["url"]).path
    discovery["refresh_interval"] = "1s"
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    command = [binary, f"--config.file={directory / 'prometheus.yml'}"]
    command += [f"--web.listen-address={address}", f"--storage.tsdb.path={directory / 'data'}"]
    with (directory / "prometheus.out").open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: server.poll() is not None or _is_ready(address))
        assert server.poll() is None, (directory / "prometheus.out").read_text()
        yield Prometheus(f"http://{address}")
    finally:
        server.kill()
        server.wait()


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
