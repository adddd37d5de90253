"""The MLflow server of `examples/cluster/compose.yaml`, on PostgreSQL, with moto's server in the place of MinIO."""

import http.client
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from string import Template

import pytest
import yaml

from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from tests.command_line import ROOT
from tests.study.ledger.trial_runs import opened
from tests.study.object_store import ObjectStore
from tests.study.servers import Postgres

COMPOSE = ROOT / "examples" / "cluster" / "compose.yaml"


def status(port: int, host: str) -> int:
    """Return the status of a request for an experiment that names a host; 0 where nobody listens."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        try:
            connection.connect()
        except ConnectionRefusedError:
            return 0
        connection.request("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": host})
        with connection.getresponse() as response:
            return response.status


@pytest.mark.long
def test_a_ledger_keeps_its_trials_and_files_there(
    postgres: Postgres, object_store: ObjectStore, free_port: int, tmp_path: Path
) -> None:
    service = yaml.safe_load(COMPOSE.read_text().replace(":?}", "}"))["services"]["mlflow"]
    typed = Template(service["command"]).substitute(ADDRESS="10.0.0.5", PASSWORD="secret")
    here = {
        "postgresql+psycopg2://mlflow:secret@postgres/mlflow": postgres.address,
        "0.0.0.0": "127.0.0.1",
        "5000": str(free_port),
        "10.0.0.5:5000": f"10.0.0.5:5000,127.0.0.1:{free_port}",
        "s3://mlflow": object_store.new_address().partition("?")[0],
    }
    assert here.keys() <= set(shlex.split(typed))
    variables = {**os.environ, **service["environment"], "MLFLOW_S3_ENDPOINT_URL": object_store.endpoint}
    command = [sys.executable, "-m", *(here.get(word, word) for word in shlex.split(typed)), "--workers", "1"]
    variables |= {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    output = tmp_path / "output"
    with output.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=variables, start_new_session=True)
    try:
        while not (answer := status(free_port, "10.0.0.5:5000")):
            assert server.poll() is None, output.read_text()
            time.sleep(0.2)
        assert answer == 200, output.read_text()
        assert status(free_port, "elsewhere:5000") == 403
        ledger = Ledger(tmp_path / "driver", f"http://127.0.0.1:{free_port}")
        files = tmp_path / "files"
        files.mkdir()
        (files / "config.json").write_text("{}")
        run_id = opened(ledger)
        ledger.close_trial(run_id, TrialState.FINISHED, artifacts=files)
        assert [each.state for each in ledger.trials().values()] == [TrialState.FINISHED]
        elsewhere = Ledger(tmp_path / "other", f"http://127.0.0.1:{free_port}")
        assert elsewhere.artifacts.path(run_id, "config.json").read_text() == "{}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
