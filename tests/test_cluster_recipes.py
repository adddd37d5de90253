"""The recipes in `examples/cluster` are valid for the programs that read them. `test_slurm_job.py` runs one."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from typer.main import get_command

from study.cli.main import app
from tests.command_line import ROOT

RECIPES = ROOT / "examples" / "cluster"
AWS, KUBERAY, COMPOSE, DOCKERFILE = (
    RECIPES / name for name in ("ray_up_aws.yaml", "kuberay_job.yaml", "compose.yaml", "Dockerfile")
)
CONSTRAINTS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())


@pytest.mark.parametrize("recipe", sorted(RECIPES.iterdir()), ids=lambda path: path.name)
def test_the_commands_in_a_recipe_have_valid_options(recipe: Path) -> None:
    text = re.sub(r" \\\n#? *", " ", recipe.read_text()).replace('"$@"', "run resolution")
    if recipe == KUBERAY:
        text += job()["spec"]["entrypoint"]
    typed = re.findall(r"(?:run_study\.py|revit-study|slurm_job\.sh) ((?:run|fetch) [^\n`']+)", text)
    assert bool(typed) == (recipe != DOCKERFILE)
    for line in typed:
        name, *arguments = shlex.split(line.removesuffix(" &"))
        get_command(app).commands[name].make_context(name, arguments)


def test_the_page_names_every_recipe() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    assert {path.name for path in RECIPES.iterdir()} == set(re.findall(r"\(\.\./examples/cluster/([\w.]+)\)", page))


def test_ray_up_reads_its_file_and_installs_nothing_on_the_nodes() -> None:
    """By default, nodes without Ray would install a nightly version of it."""
    config = prepare_config(yaml.safe_load(AWS.read_text()))
    validate_config(config)
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert not any(config[name] for name in ("setup_commands", "head_setup_commands", "worker_setup_commands"))
    assert "--num-cpus=0 --num-gpus=0" in config["head_start_ray_commands"][-1]


def of(fields: dict[str, Any], *required: str) -> dict[str, Any]:
    """Return the JSON schema of an object that has no other fields."""
    return {"type": "object", "properties": fields, "required": [*required], "additionalProperties": False}


def each(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


def by_name(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": item}


TEXT, NUMBER, FLAG = ({"type": name} for name in ("string", "integer", "boolean"))
QUANTITIES = by_name({"type": ["string", "integer"]})
CONTAINER = of(
    {
        "name": TEXT,
        "image": TEXT,
        "env": each(of({"name": TEXT, "value": TEXT}, "name")),
        "resources": of({"requests": QUANTITIES, "limits": QUANTITIES}),
        "volumeMounts": each(of({"name": TEXT, "mountPath": TEXT}, "name", "mountPath")),
    },
    "name",
)
VOLUME = of(
    {
        "name": TEXT,
        "persistentVolumeClaim": of({"claimName": TEXT}, "claimName"),
        "emptyDir": of({"medium": TEXT, "sizeLimit": TEXT}),
    },
    "name",
)
POD = of({"spec": of({"containers": each(CONTAINER), "volumes": each(VOLUME)}, "containers")})
GROUP = {"rayStartParams": by_name(TEXT), "template": POD}
WORKERS = {"groupName": TEXT, "replicas": NUMBER, "minReplicas": NUMBER, "maxReplicas": NUMBER, **GROUP}
CLUSTER = {
    "rayVersion": TEXT,
    "authOptions": of({"mode": {"enum": ["disabled", "token"]}}),
    "enableInTreeAutoscaling": FLAG,
    "autoscalerOptions": of({"idleTimeoutSeconds": NUMBER}),
    "headGroupSpec": of(GROUP, "template"),
    "workerGroupSpecs": each(of(WORKERS, "groupName", "minReplicas", "maxReplicas", "template")),
}
JOB = {
    "entrypoint": TEXT,
    "backoffLimit": NUMBER,
    "submitterConfig": of({"backoffLimit": NUMBER}),
    "shutdownAfterJobFinishes": FLAG,
    "ttlSecondsAfterFinished": NUMBER,
    "rayClusterSpec": of(CLUSTER, "headGroupSpec"),
}
RAY_JOB = of(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": of({"name": TEXT}),
        "spec": of(JOB),
    }
)
"""The fields that are used, with the types of KubeRay's definitions: ray-operator/apis/ray/v1/rayjob_types.go,
raycluster_types.go, from which its CRD is generated, and of Kubernetes' core/v1."""


def job() -> dict[str, Any]:
    """Return KubeRay's part of the file."""
    found: dict[str, Any] = next(yaml.safe_load_all(KUBERAY.read_text()))
    return found


def test_kuberay_knows_every_field_of_the_job() -> None:
    jsonschema.validate(job(), RAY_JOB)


def test_the_pods_of_the_job_have_one_image_and_share_the_folders_of_its_command() -> None:
    cluster = job()["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert cluster["rayVersion"] == CONSTRAINTS["ray"]
    pods = [group["template"]["spec"] for group in (head, *workers)]
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    claims = [volume for pod in pods for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    _, claim = yaml.safe_load_all(KUBERAY.read_text())
    assert {each["persistentVolumeClaim"]["claimName"] for each in claims} == {claim["metadata"]["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    folders = re.findall(r"--(?:store|data-dir|storage) (\S+)", job()["spec"]["entrypoint"])
    assert len(folders) == 3
    for container in containers:
        [shared] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == claims[0]["name"]]
        assert all(Path(folder).is_relative_to(shared) for folder in folders)


def test_compose_reads_its_file(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("no docker-compose: apt-get install docker-compose")
    (tmp_path / "env").write_text("ADDRESS=10.0.0.5\nPASSWORD=secret\n")
    command = [program, "--file", str(COMPOSE), "config"]
    env = {"PATH": "/usr/bin:/bin"}
    with_variables = [*command[:1], "--env-file", str(tmp_path / "env"), *command[1:]]
    done = subprocess.run(with_variables, capture_output=True, text=True, check=True, env=env)
    services = yaml.safe_load(done.stdout)["services"]
    assert services.keys() == {"postgres", "minio", "buckets", "mlflow"}
    assert "postgresql+psycopg2://mlflow:secret@postgres/mlflow" in services["mlflow"]["command"]
    without = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)
    assert without.returncode != 0
    assert re.search("ADDRESS|PASSWORD", without.stderr)


def test_the_image_has_the_files_that_the_installation_needs() -> None:
    """In the words of the file: the targets, what is copied, what is installed."""
    text = DOCKERFILE.read_text().replace("\\\n", "")
    copied = [word for line in re.findall(r"^COPY (.*)", text, flags=re.MULTILINE) for word in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    project = (ROOT / "pyproject.toml").read_text()
    assert {"constraints.txt", "pyproject.toml", "run_study.py", *re.findall(r'(?<=readme = ")[^"]+', project)} <= {
        *copied
    }
    assert {"revit", "search_spaces", "study"} <= {*copied}
    stages = re.findall(r"^FROM python:(\S+)-slim AS (\w+)", text, flags=re.MULTILINE)
    assert [name for _, name in stages] == ["tracking", "study"]
    assert yaml.safe_load(COMPOSE.read_text())["services"]["mlflow"]["build"]["target"] == "tracking"
    assert all(f">={version}" in project for version, _ in stages)
