"""Probe of a node that may lack raysync. It is pickled by value, so it imports no raysync."""

from __future__ import annotations


def survey_here(
    port: str,
) -> tuple[str | None, str, list[tuple[str, dict[str, float], int]] | None]:
    """Return the version of raysync on this machine, why there is none, and types of nodes.

    With a *port*, the types are those of the autoscaler here; without one, they are unknown.
    """
    version, why = raysync_here()
    return version, why, node_types_here(port) if port else None


def raysync_here() -> tuple[str | None, str]:
    """Return the version of raysync on this machine; None with a reason where there is none."""
    try:
        from raysync import __version__  # here, because this import is the probe
    except Exception as error:  # noqa: BLE001 the user learns of any failure
        return None, f"{type(error).__name__}: {error}"
    return __version__, ""


def node_types_here(port: str) -> list[tuple[str, dict[str, float], int]] | None:
    """Return the types of nodes of the autoscaler on this machine: name, resources, maximum.

    Empty without an autoscaler; None where it cannot be known, as with KubeRay's, which runs in a
    container of its own. *port* is that of the cluster's control service.
    """
    from pathlib import Path

    import psutil  # Ray brings it along
    import yaml

    monitors = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        is_monitor = any(word.endswith(("/monitor.py", "/v2/monitor.py")) for word in words)
        served = [word for word in words if word.startswith("--gcs-address=")]
        if is_monitor and served and served[0].endswith(f":{port}"):
            monitors.append(words)
    if not monitors:
        return None
    begin = "--autoscaling-config="
    paths = [word[len(begin) :] for word in monitors[0] if word.startswith(begin)]
    if not paths:
        return []
    try:
        config = yaml.safe_load(Path(paths[0]).expanduser().read_text())
        head = config.get("head_node_type")
        return [
            (
                str(name),
                {str(what): float(amount) for what, amount in kind.get("resources", {}).items()},
                0 if name == head else int(kind.get("max_workers", config.get("max_workers", 0))),
            )
            for name, kind in config["available_node_types"].items()
        ]
    except (OSError, ValueError, LookupError, AttributeError, TypeError, yaml.YAMLError):
        return None
