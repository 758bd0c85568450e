"""What is in deploy/, as far as it can be held against something without the systems it is for.

No schema of KubeRay can be had as a package, so the fields that are used are written down here,
strictly: a field that is misspelled, or in the wrong place, is refused.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.unit.test_project import invocations, problem_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERAY = DEPLOY / "kuberay"
RESOURCE = "raysync_worker"
SECRET_NAMES = {"RAYSYNC_DATABASE_URL", "RAYSYNC_SECRET_KEY", "TAKARO_TOKEN"}


def fields(required: str = "", **optional: Any) -> dict[str, Any]:
    """An object of these fields and no others."""
    return {
        "type": "object",
        "properties": optional,
        "required": required.split(),
        "additionalProperties": False,
    }


def many(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
SWITCH = {"type": "boolean"}
NAMES = {"type": "object", "additionalProperties": TEXT}
METADATA = fields(name=TEXT, generateName=TEXT, labels=NAMES)
QUANTITIES = fields(
    cpu={"type": "string", "pattern": r"^\d+m?$"},
    memory={"type": "string", "pattern": r"^\d+[GM]i$"},
)
SECURITY = fields(
    allowPrivilegeEscalation={"const": False},
    runAsNonRoot={"const": True},
    runAsUser=COUNT,
    capabilities=fields(drop=many(TEXT)),
)
FROM_SECRET = fields(
    "name valueFrom",
    name=TEXT,
    valueFrom=fields("secretKeyRef", secretKeyRef=fields("name key", name=TEXT, key=TEXT)),
)
STOP_WAIT = ("RAY_JOB_STOP_WAIT_TIME_S", "60")
"""Variable of a head, and the seconds that `ray job stop` gives a run to end cleanly."""
PLAIN = [
    fields("name value", name={"const": name}, value={"const": value})
    for name, value in [("SYNC_WORKER_RESOURCE", RESOURCE), STOP_WAIT]
]
CONTAINER = fields(
    "name image resources securityContext",
    name=TEXT,
    image=TEXT,
    resources=fields("requests limits", requests=QUANTITIES, limits=QUANTITIES),
    securityContext=SECURITY,
    env=many({"oneOf": [FROM_SECRET, *PLAIN]}),
)
POD = fields(
    "spec",
    metadata=METADATA,
    spec=fields(
        "containers restartPolicy",
        containers=many(CONTAINER),
        restartPolicy={"const": "Never"},
        automountServiceAccountToken=SWITCH,
    ),
)
HEAD = fields("rayStartParams template", rayStartParams=NAMES, template=POD)
WORKERS = fields(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName=TEXT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=NAMES,
    template=POD,
)
CLUSTER = fields(
    "rayVersion authOptions headGroupSpec workerGroupSpecs",
    rayVersion=TEXT,
    authOptions=fields("mode", mode={"const": "token"}),
    enableInTreeAutoscaling=SWITCH,
    autoscalerOptions=fields(idleTimeoutSeconds=COUNT),
    headGroupSpec=HEAD,
    workerGroupSpecs=many(WORKERS),
)
JOB = fields(
    "entrypoint submissionMode rayClusterSpec",
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    submissionMode={"const": "HTTPMode"},
    backoffLimit=COUNT,
    shutdownAfterJobFinishes=SWITCH,
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=CLUSTER,
)
RAY = {"const": "ray.io/v1"}
PORTS = many(fields("protocol port", protocol={"enum": ["TCP", "UDP"]}, port=COUNT))
SELECTOR = fields("matchLabels", matchLabels=NAMES)
PEERS = many(fields(podSelector=SELECTOR, namespaceSelector=SELECTOR))
SCHEMAS = {
    "rayjob.yaml": fields(
        "apiVersion kind metadata spec",
        apiVersion=RAY,
        kind={"const": "RayJob"},
        metadata=METADATA,
        spec=JOB,
    ),
    "raycronjob.yaml": fields(
        "apiVersion kind metadata spec",
        apiVersion=RAY,
        kind={"const": "RayCronJob"},
        metadata=METADATA,
        spec=fields(
            "schedule jobTemplate",
            schedule={"type": "string", "pattern": r"^(\d+|\*)( (\d+|\*|\*/\d+)){4}$"},
            jobTemplate=JOB,
        ),
    ),
    "tail.yaml": fields(
        "apiVersion kind metadata spec",
        apiVersion={"const": "apps/v1"},
        kind={"const": "Deployment"},
        metadata=METADATA,
        spec={
            "type": "object",
            "required": ["replicas", "strategy", "selector", "template"],
            "properties": {"replicas": {"const": 1}},
        },
    ),
    "secret.yaml": fields(
        "apiVersion kind metadata type stringData",
        apiVersion={"const": "v1"},
        kind={"const": "Secret"},
        metadata=METADATA,
        type={"const": "Opaque"},
        stringData={"type": "object", "additionalProperties": {"const": ""}},  # no values
    ),
    "networkpolicy.yaml": fields(
        "apiVersion kind metadata spec",
        apiVersion={"const": "networking.k8s.io/v1"},
        kind={"const": "NetworkPolicy"},
        metadata=METADATA,
        spec=fields(
            "podSelector policyTypes ingress egress",
            podSelector=SELECTOR,
            policyTypes={"const": ["Ingress", "Egress"]},
            ingress=many(
                {
                    "type": "object",
                    "properties": {"from": PEERS, "ports": PORTS},
                    "required": ["from"],
                    "additionalProperties": False,
                }
            ),
            egress=many(fields(to=PEERS, ports=PORTS)),
        ),
    ),
}


def manifest(name: str) -> Any:
    return yaml.safe_load((KUBERAY / name).read_text())


def jobs() -> list[Any]:
    return [manifest("rayjob.yaml")["spec"], manifest("raycronjob.yaml")["spec"]["jobTemplate"]]


@pytest.mark.parametrize("name", sorted(path.name for path in KUBERAY.glob("*.yaml")))
def test_a_manifest_has_the_fields_that_kubernetes_knows(name: str) -> None:
    jsonschema.validate(manifest(name), SCHEMAS[name])


@pytest.mark.parametrize("job", jobs(), ids=["once", "nightly"])
def test_a_jobs_secrets_are_the_heads_and_references(job: Any) -> None:
    (head,) = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    keys = {
        each["name"]: each["valueFrom"]["secretKeyRef"]["key"]
        for each in head["env"]
        if "valueFrom" in each
    }

    assert set(keys) == SECRET_NAMES
    assert set(keys.values()) == set(manifest("secret.yaml")["stringData"])
    for group in job["rayClusterSpec"]["workerGroupSpecs"]:
        for container in group["template"]["spec"]["containers"]:
            assert "env" not in container


@pytest.mark.parametrize("job", jobs(), ids=["once", "nightly"])
def test_a_job_runs_a_command_that_there_is_and_scales_from_nothing(job: Any) -> None:
    python, _m, module, *words = shlex.split(job["entrypoint"])
    (workers,) = job["rayClusterSpec"]["workerGroupSpecs"]
    resources = yaml.safe_load(shlex.split(workers["rayStartParams"]["resources"])[0])

    assert (python, module) == ("python", "raysync")
    assert problem_of(words) is None
    assert workers["minReplicas"] == 0
    (head,) = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert {"name": "SYNC_WORKER_RESOURCE", "value": RESOURCE} in head["env"]
    assert dict(zip(("name", "value"), STOP_WAIT, strict=True)) in head["env"]
    assert resources == {RESOURCE: 4}
    assert yaml.safe_load(job["runtimeEnvYAML"]) == {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}


def test_the_nightly_cluster_is_the_other_one() -> None:
    once, nightly = jobs()

    assert nightly["rayClusterSpec"] == once["rayClusterSpec"]


def test_jobs_are_submitted_by_one_whom_the_network_policy_lets_in() -> None:
    """A submitter's pod has none of the labels that the policy could know it by."""
    policy = manifest("networkpolicy.yaml")["spec"]
    (rule,) = policy["ingress"]

    assert [each["submissionMode"] for each in jobs()] == ["HTTPMode", "HTTPMode"]
    assert rule["from"] == [
        {"podSelector": policy["podSelector"]},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kuberay-system"}}},
    ]
    for job in jobs():
        cluster = job["rayClusterSpec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert group["template"]["metadata"]["labels"] == policy["podSelector"]["matchLabels"]


def test_a_prometheus_may_be_let_in_to_the_metrics_and_nothing_else() -> None:
    text = (KUBERAY / "networkpolicy.yaml").read_text()
    spoken = re.sub(r"^    # (?!DECIDE)", "    ", text, flags=re.MULTILINE)
    told = yaml.safe_load(spoken)

    jsonschema.validate(told, SCHEMAS["networkpolicy.yaml"])
    assert told["spec"]["ingress"][-1]["ports"] == [{"protocol": "TCP", "port": 8080}]


LAUNCHED = [ROOT / "cluster.yaml", *sorted(DEPLOY.glob("cluster-*.yaml"))]
PYTHON, UV = "3.11.18", "0.13.9"
"""Of all nodes: Ray compares Python to the patch, and uv finds and downloads it."""


@pytest.mark.parametrize("path", LAUNCHED, ids=lambda path: path.name)
def test_a_launched_head_gives_jobs_time_to_end_cleanly(path: Path) -> None:
    (start,) = [
        each
        for each in yaml.safe_load(path.read_text())["head_start_ray_commands"]
        if "ray start" in each
    ]
    exported, _, started = start.partition("; set +a;")

    assert exported.startswith("set -a; ")
    assert "=".join(STOP_WAIT) in exported.split("; ")
    assert " ray start --head " in started


@pytest.mark.parametrize("path", LAUNCHED, ids=lambda path: path.name)
def test_launched_nodes_have_one_python_and_one_uv(path: Path) -> None:
    setup = yaml.safe_load(path.read_text())["setup_commands"]

    assert [each for each in setup if "pip install" in each and "/uv/bin/pip" in each] == [
        f"~/uv/bin/pip install --quiet uv=={UV}"
    ]
    (venv,) = [each for each in setup if "uv venv" in each]
    assert set(re.findall(r"\d+\.\d+[.\d]*", venv)) == {PYTHON}
    assert venv.startswith('test "$(~/venv/bin/python -V)" = '), "an older one is replaced"


DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$", re.MULTILINE)


def test_the_image_is_ours_by_pins_and_nobodys_root() -> None:
    steps = INSTRUCTION.findall(DOCKERFILE)
    bases = {rest.partition(" ")[0] for name, rest in steps if name == "FROM"}
    users = [rest for name, rest in steps if name == "USER"]
    installing = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]

    assert len(bases) == 1
    assert "/" not in bases.pop().partition("/")[2], "no registry's host name"
    assert users[-1] == "ray"
    assert installing
    assert all("--constraint /tmp/constraints.txt" in each for each in installing)
    assert not {name for name, _ in steps} - {"FROM", "WORKDIR", "COPY", "RUN", "USER", "CMD"}


def test_the_image_is_made_of_what_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source
        for name, rest in INSTRUCTION.findall(DOCKERFILE)
        if name == "COPY" and "--from" not in rest
        for source in [word for word in rest.split() if not word.startswith("--")][:-1]
    }

    assert ignored[1] == "*"
    assert kept == copied
    assert all((ROOT / each).exists() for each in copied)


SYSTEMD = DEPLOY / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((SYSTEMD / name).read_text())
    return parser


def test_the_timers_service_runs_a_command_that_there_is_and_ends_it_cleanly() -> None:
    service, timer = unit("raysync.service")["Service"], unit("raysync.timer")["Timer"]

    (words,) = invocations(f"`{service['ExecStart'].removeprefix('/opt/raysync/bin/')}`")
    assert problem_of(words) is None
    assert service["KillMode"] == "mixed"
    home = f"/var/lib/{service['StateDirectory']}"
    assert f"HOME={home}" in service["Environment"].split(), "the user has no other"
    assert service["SuccessExitStatus"] == "130"
    assert timer["Persistent"] == "yes"


def test_a_tail_is_a_service_that_is_started_again_unless_a_user_must_act() -> None:
    service = unit("raysync-tail.service")["Service"]
    (words,) = invocations(f"`{service['ExecStart'].removeprefix('/opt/raysync/bin/')}`")

    assert problem_of(words) is None
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "2")


def test_a_tail_on_kubernetes_is_one_pod_that_lets_go_first() -> None:
    spec = manifest("tail.yaml")["spec"]
    pod = spec["template"]
    (container,) = pod["spec"]["containers"]
    keys = {each["name"]: each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"]}

    assert problem_of(container["command"][1:]) is None
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert set(keys) == SECRET_NAMES
    assert set(keys.values()) == set(manifest("secret.yaml")["stringData"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_its_units(tmp_path: Path) -> None:
    for each in SYSTEMD.glob("raysync*"):
        text = each.read_text().replace("/opt/raysync/bin/raysync", shutil.which("true") or "")
        (tmp_path / each.name).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.glob("raysync*")],
        capture_output=True,
        text=True,
        check=False,
    )

    told = [line for line in done.stderr.splitlines() if "raysync" in line]
    assert told == []


@pytest.mark.parametrize(
    ("installed", "stopped"),
    [
        pytest.param(
            [], ["prometheus", "prometheus-node-exporter", "pgbouncer"], id="was-not-there"
        ),
        pytest.param(["prometheus"], ["prometheus-node-exporter", "pgbouncer"], id="ran-before"),
        pytest.param(["chromium", "prometheus", "pgbouncer"], [], id="nothing-to-install"),
    ],
)
def test_ci_stops_the_services_alone_that_it_has_installed(
    tmp_path: Path, installed: list[str], stopped: list[str]
) -> None:
    programs = {
        "id": "echo 0",
        "dpkg-query": f'case " {" ".join(installed)} " in *" $3 "*) echo ok installed;; esac',
        "service": f'echo "$1" >> {tmp_path}/stopped',
    } | dict.fromkeys(["apt-get", "uv", "make"], "exit 0")
    for name, does in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"

    subprocess.run([ROOT / ".ci/run"], env={"PATH": path, "HOME": str(tmp_path)}, check=True)

    log = tmp_path / "stopped"
    assert (log.read_text().split() if log.exists() else []) == stopped


def test_lines_of_an_environment_file_are_quoted_for_a_shell_reads_them() -> None:
    text = (ROOT / "cluster.yaml").read_text()
    lines = re.findall(r"^  #   (\w+=.*)$", text, re.MULTILINE)

    assert {each.partition("=")[0] for each in lines} == SECRET_NAMES
    assert all(re.fullmatch(r"\w+='[^']+'", each) for each in lines)


def test_the_environment_file_is_installed_where_the_service_reads_it() -> None:
    path = unit("raysync.service")["Service"]["EnvironmentFile"]

    assert f"install -D -m 0600 raysync.env {path}" in (SYSTEMD / "raysync.service").read_text()
