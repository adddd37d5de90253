"""Launches that are refused before Ray starts."""

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
    check_runnable(list(plan.trials), ResourceRequest(gpus_per_trial=2, address="a-cluster:6379"))
    with pytest.raises(InputError, match="--gpus-per-trial = 2 fit neither one machine nor all together: CPUs and"):
        check_runnable(list(plan.trials), ResourceRequest(gpus_per_trial=2))
    coupled = {"model.name": "resnet18", "model.pretrained": False}
    coupling = SearchSpace(
        name="coupling", question="?", base=BASE.with_values(coupled), scientific={"optimizer.lr": (0.1,)}, seeds=(0,)
    )
    with pytest.raises(InputError, match="'resnet18': has batch normalization; a trial of it must have one worker"):
        check_runnable(list(studies.plan(coupling).trials), ResourceRequest(gpus_per_trial=2))
    with pytest.raises(InputError, match="--gpus-per-trial = 1 fit no machine: CPUs and GPUs of each are"):
        check_runnable(list(plan.trials), ResourceRequest(gpus_per_trial=1))
    with pytest.raises(InputError, match="--cpus-per-trial = 9999 and --gpus-per-trial = 0 fit no machine"):
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


def test_a_function_of_the_user_is_a_model_that_is_not_shipped(studies: Studies) -> None:
    values = {"model.pretrained": False, "normalization": "inception"}
    axis = {"model.name": ("tests.revit.models.test_networks:small_vit",), "model.frozen": ("first_3", "first_4")}
    space = SearchSpace(name="own", question="?", base=BASE.with_values(values), scientific=axis, seeds=(0,))
    trials = list(studies.plan(space).trials)
    check_runnable(trials[:1], ResourceRequest())
    with pytest.raises(InputError, match="'first_4': must be at most first_3, the depth of tests"):
        check_runnable(trials, ResourceRequest())
