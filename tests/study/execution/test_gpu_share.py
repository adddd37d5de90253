"""Fractions of a GPU: how many trials fit, in which line, behind which fence."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from revit.training.device import has_bf16
from revit.training.memory_estimate import estimate_memory
from study.execution import gpu_share
from study.execution.gpu_share import peak_bytes, set_memory_fence, share_gpus
from study.execution.resources import Node, ResourceRequest, grant_resources
from study.forecast.gpu_fit import CONTEXT_BYTES
from tests.study.execution.stores import SPACE, Studies

GB = 10**9
AUTO = ResourceRequest(share_gpus=True)


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are numbers: their estimated peak in GB."""
    monkeypatch.setattr(gpu_share, "peak_bytes", lambda trial: int(trial * GB))


ONE_GPU, EIGHT_GPUS = [Node(cpus=16, gpus=1)], [Node(cpus=0, gpus=0), Node(cpus=96, gpus=8)]


@pytest.mark.usefixtures("sized")
@pytest.mark.parametrize(
    ("request_", "trials", "nodes", "gpu_gb", "num", "line"),
    [
        (AUTO, [1, 7], ONE_GPU, 80, 8, "8 trials per GPU: the largest needs 7 GB by the estimate, the GPU has 80 GB"),
        (AUTO, [70], ONE_GPU, 80, 1, "one trial per GPU: the largest needs 70 GB by the estimate, the GPU has 80 GB"),
        (AUTO, [90], ONE_GPU, 80, 1, "one trial per GPU: the largest needs 90 GB by the estimate, the GPU has 80 GB"),
        (AUTO, [0.1], EIGHT_GPUS, 80, 12, "12 trials per GPU: the largest needs 0.1 GB by the estimate, the GPU has "
         "80 GB, with 12 CPUs for each GPU"),
        (ResourceRequest(share_gpus=True, cpus_per_trial=4), [0.1], EIGHT_GPUS, 80, 3, "3 trials per GPU: the largest "
         "needs 0.1 GB by the estimate, the GPU has 80 GB, with 12 CPUs for each GPU"),
    ],
)  # fmt: skip
def test_as_many_trials_share_a_gpu_as_its_memory_and_cpus_allow(
    request_: ResourceRequest, trials: list, nodes: list[Node], gpu_gb: int, num: int, line: str
) -> None:
    lines: list[str] = []
    shared = share_gpus(request_, trials, nodes, [gpu_gb * GB, 100 * GB], lines.append)
    assert lines == [line]
    grant = grant_resources(shared, nodes)
    assert grant.max_concurrent_trials == num * sum(int(node.gpus) for node in nodes)


@pytest.mark.usefixtures("sized")
@pytest.mark.parametrize("num", range(1, 65))
def test_the_fractions_of_a_gpu_add_up_to_no_more_than_one_in_units_of_ray(num: int) -> None:
    nodes = [Node(cpus=num, gpus=1)]
    shared = share_gpus(AUTO, [0.001], nodes, [1000 * GB], [].append)
    fraction = shared.gpus_per_trial or 0.0
    assert num * round(fraction * 1e4) <= 1e4
    assert fraction * 1e4 == pytest.approx(round(fraction * 1e4)), "Ray may round others up"
    grant = grant_resources(shared, nodes)
    assert (grant.max_concurrent_trials, grant.num_cpus) == (num, 1)


@pytest.mark.usefixtures("sized")
def test_only_those_who_ask_share_a_gpu_and_only_if_its_memory_is_known() -> None:
    lines: list[str] = []
    plain = ResourceRequest()
    assert share_gpus(plain, [1], ONE_GPU, [80 * GB], lines.append) is plain
    assert share_gpus(AUTO, [1], [Node(cpus=8, gpus=0)], [], lines.append) is AUTO
    assert lines == []
    assert share_gpus(AUTO, [1], ONE_GPU, [], lines.append).gpus_per_trial == 1
    [line] = lines
    assert line.startswith("one trial per GPU: the memory of the GPUs is not known")


def test_the_peak_of_a_trial_is_that_of_its_images_and_micro_batch(studies: Studies) -> None:
    [trial, *_] = studies.plan(SPACE).trials
    config = trial.candidate.config
    precision: Any = "bf16" if torch.cuda.is_available() and has_bf16(torch.device("cuda")) else "fp32"
    estimate = estimate_memory(config, 10, 1, precision, on_gpu=True)
    assert peak_bytes(trial) == pytest.approx(estimate.peak_bytes(config.batch_size), rel=0.1), "it takes 128 classes"


def test_a_fence_leaves_room_for_the_contexts_and_is_lifted_for_a_whole_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    total, fences = 80 * GB, []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=total))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", fences.append)
    for num_gpus in (0.25, 1.0, 0.001):
        set_memory_fence(num_gpus)
    quarter, whole, sliver = fences
    assert 4 * (quarter * total + CONTEXT_BYTES) == pytest.approx(total)
    assert whole == 1.0
    assert sliver > 0
