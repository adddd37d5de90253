"""Launches that are refused before Ray starts."""

import subprocess
from pathlib import Path

import pytest
import torch

from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.execution.preflight import check_runnable
from study.execution.resources import ResourceRequest
from tests.study.execution.stores import BASE, SPACE, Studies


def test_unfit_requests_and_models_are_refused(studies: Studies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    plan = studies.plan(SPACE)
    with pytest.raises(InputError, match="--gpus-per-trial = 2: a trial trains on one GPU"):
        check_runnable(list(plan.trials), ResourceRequest(gpus_per_trial=2, address="a-cluster:6379"))
    with pytest.raises(InputError, match="--gpus-per-trial = 1: this machine has"):
        check_runnable(list(plan.trials), ResourceRequest(gpus_per_trial=1))
    with pytest.raises(InputError, match="--cpus-per-trial = 9999: this machine has"):
        check_runnable(list(plan.trials), ResourceRequest(cpus_per_trial=9999))
    unknown = SearchSpace(
        name="unknown",
        question="?",
        base=BASE.with_values({"model.pretrained": False}),
        scientific={"model.name": ("vit_nanoo",)},
        seeds=(0,),
    )
    with pytest.raises(InputError, match=r"model\.name = 'vit_nanoo'"):
        check_runnable(list(studies.plan(unknown).trials), ResourceRequest())


@pytest.mark.parametrize(
    ("options", "message"), [("size=1m", "has 1.0 MB and"), ("size=64m,nr_inodes=9", " 8 inodes left")]
)
def test_a_temporary_folder_without_space_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, message: str
) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "ray"))
    try:
        with pytest.raises(
            InputError, match=r"Ray's temporary folder .* needs 50\.0 MB and 1000: free some"
        ) as refused:
            check_runnable([], ResourceRequest())
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
    assert message in str(refused.value)
