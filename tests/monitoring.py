"""Queries of the dashboard and the alerts in deploy/."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL expression, and the panel or alert that it belongs to."""

    owner: str
    expression: str

    @property
    def names(self) -> set[str]:
        """Names of the metrics that it reads."""
        return set(re.findall(r"\b(?:ray_|raysync_tail_)\w+", self.expression))


def dashboard() -> dict[str, Any]:
    """Read the dashboard as Grafana does."""
    read: dict[str, Any] = json.loads((DEPLOY / "grafana" / "raysync.json").read_text())
    return read


def panel_queries(every_s: int = 10) -> list[Query]:
    """Return the dashboard's queries for all tenants, with a rate interval of *every_s*."""
    return [
        Query(
            panel["title"],
            target["expr"].replace("$tenant", ".+").replace("$__rate_interval", f"{every_s}s"),
        )
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    ]


def alerts() -> list[dict[str, Any]]:
    """Return the alerting rules."""
    read = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def alert_queries() -> list[Query]:
    """Return the alerts' queries."""
    return [Query(rule["alert"], rule["expr"]) for rule in alerts()]
