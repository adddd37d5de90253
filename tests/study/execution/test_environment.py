"""Environment of a trial."""

from pathlib import Path

import pytest
import timm
import torch

from revit.errors import InputError
from study.analysis.mixed_environments import check_uniform
from study.execution.environment import _version, describe, expected, library_versions, version_difference
from study.execution.resources import ResourceRequest
from study.ledger.schema import ENVIRONMENT_TAGS
from study.plan import Plan
from tests.study.example_plan import make_example, with_all_but_last_finished


@pytest.fixture
def plan(tmp_path: Path, cache_dir: Path) -> Plan:
    """A plan of which all trials but the last ran on this machine, with one thread."""
    here = describe(torch.device("cpu"), num_threads=1, compiled=False, num_workers=1)
    return with_all_but_last_finished(make_example(tmp_path, cache_dir), here)


def test_the_expected_environment_is_that_of_this_machine() -> None:
    here = expected(ResourceRequest(cpus_per_trial=3, gpus_per_trial=0))
    assert tuple(here) == ENVIRONMENT_TAGS
    assert (here["device"], here["precision"], here["threads"]) == ("cpu", "fp32", "3")
    assert here["workers"] == "1"
    assert expected(ResourceRequest(gpus_per_trial=4))["workers"] == "4"
    assert (here["torch"], here["timm"]) == (torch.__version__, timm.__version__)


def test_the_driver_reads_an_environment_without_torch() -> None:
    """Unpickled from a worker's report, PyTorch's own class of versions would cost the driver 0.4 GB, and seconds."""
    here = describe(torch.device("cpu"), num_threads=1, compiled=False, num_workers=1)
    assert {type(value) for value in here.values()} == {str}


def test_versions_that_differ_are_named_with_those_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = library_versions()
    assert (driver["torch"], driver["timm"]) == (torch.__version__.split("+")[0], timm.__version__)
    assert version_difference(driver, driver) == ""
    there = {**driver, "torch": "2.9.0", "timm": "none"}
    expected = f"torch 2.9.0, timm none, and the driver torch {driver['torch']}, timm {driver['timm']}"
    assert version_difference(there, driver) == expected


def test_a_library_that_is_missing_has_no_version() -> None:
    assert _version("no-such-library") == "none"


def test_trials_are_refused_an_environment_unlike_that_of_finished_trials(plan: Plan) -> None:
    check_uniform(plan, expected(ResourceRequest(gpus_per_trial=0)))
    with pytest.raises(InputError, match=r"this machine among them: threads 1 \(3\), 2 \(1\)"):
        check_uniform(plan, expected(ResourceRequest(cpus_per_trial=2, gpus_per_trial=0)))
