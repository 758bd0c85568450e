"""What deploy/ asks of Prometheus: the queries of dashboard and alerts."""

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
    """One expression, and whose it is."""

    owner: str
    expression: str

    @property
    def names(self) -> set[str]:
        """The metrics that it reads."""
        return set(re.findall(r"\bray_\w+", self.expression))


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana reads it."""
    read: dict[str, Any] = json.loads((DEPLOY / "grafana" / "raysync.json").read_text())
    return read


def panel_queries(every_s: int = 10) -> list[Query]:
    """The dashboard's, with all tenants chosen and a rate's stretch of *every_s*."""
    return [
        Query(
            panel["title"],
            target["expr"].replace("$tenant", ".+").replace("$__rate_interval", f"{every_s}s"),
        )
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    ]


def alerts() -> list[dict[str, Any]]:
    """The rules of the alerts."""
    read = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def alert_queries() -> list[Query]:
    """The alerts' expressions."""
    return [Query(rule["alert"], rule["expr"]) for rule in alerts()]
