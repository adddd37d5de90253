from dataclasses import replace

import pytest

from revit.errors import InputError
from study.execution.resources import Node, ResourceGrant, ResourceRequest, grant_resources

CPUS_ONLY = [Node(cpus=4, gpus=0)]
FOUR_GPUS = [Node(cpus=32, gpus=4)]
HEAD, SMALL, LARGE = Node(cpus=0, gpus=0), Node(cpus=2, gpus=0), Node(cpus=8, gpus=0)
ONE_GPU, TWO_GPUS = Node(cpus=6, gpus=1), Node(cpus=16, gpus=2)


@pytest.mark.parametrize(
    ("options", "nodes", "expected"),
    [
        ({}, CPUS_ONLY, (1, 0.0, 4, 4)),
        ({"cpus_per_trial": 3}, CPUS_ONLY, (3, 0.0, 4, 1)),
        ({}, FOUR_GPUS, (8, 1.0, 32, 4)),
        ({"gpus_per_trial": 0.5}, FOUR_GPUS, (4, 0.5, 32, 8)),
        ({"gpus_per_trial": 0.0}, FOUR_GPUS, (1, 0.0, 32, 32)),
        ({}, [HEAD, SMALL, LARGE], (1, 0.0, 8, 10)),
        ({"cpus_per_trial": 3}, [SMALL, LARGE], (3, 0.0, 8, 2)),
        ({}, [HEAD, LARGE, ONE_GPU, TWO_GPUS], (6, 1.0, 16, 3)),
        ({"gpus_per_trial": 2}, FOUR_GPUS, (8, 1.0, 32, 2)),
        ({"gpus_per_trial": 2, "cpus_per_trial": 5}, FOUR_GPUS, (2, 1.0, 32, 2)),
        ({"gpus_per_trial": 2}, [*FOUR_GPUS, ONE_GPU, TWO_GPUS], (6, 1.0, 32, 3)),
        ({"gpus_per_trial": 3}, [HEAD, ONE_GPU, TWO_GPUS, TWO_GPUS], (6, 1.0, 16, 1)),
    ],
)
def test_a_trial_is_granted_its_part_of_the_nodes(options: dict, nodes: list[Node], expected: tuple) -> None:
    """Expected: CPUs, GPUs, CPUs of the largest node, concurrent trials: by hand."""
    grant = grant_resources(ResourceRequest(**options), nodes)
    assert (grant.num_cpus, grant.num_gpus, grant.max_cpus, grant.max_concurrent_trials) == expected
    exclusive = grant.exclusive()
    num_workers = grant.num_workers if grant.on_one_node else 1
    whole = exclusive.num_cpus * num_workers, exclusive.num_gpus * num_workers
    assert any(node.max_concurrent_trials(*whole) for node in nodes), "it fits a node"


@pytest.mark.parametrize(
    ("gpus", "nodes", "strategy"),
    [(4, FOUR_GPUS, "STRICT_PACK"), (2, [*FOUR_GPUS, ONE_GPU], "STRICT_PACK"), (3, [ONE_GPU, TWO_GPUS], "PACK")],
)
def test_workers_of_a_trial_are_on_one_node_where_one_has_as_many_gpus(
    gpus: int, nodes: list[Node], strategy: str
) -> None:
    grant = grant_resources(ResourceRequest(gpus_per_trial=gpus), nodes)
    assert grant.bundles == [{}, *[{"CPU": grant.num_cpus, "GPU": 1.0}] * gpus]
    assert (grant.strategy, grant.num_workers, grant.device) == (strategy, gpus, "cuda")
    assert [len(grant_resources(ResourceRequest(gpus_per_trial=size), nodes).bundles) for size in (0.5, 1)] == [1, 1]


def test_an_exclusive_trial_of_several_workers_gets_the_cpus_of_its_node() -> None:
    grant = grant_resources(ResourceRequest(gpus_per_trial=2, cpus_per_trial=2), FOUR_GPUS)
    assert (grant.exclusive().num_cpus, grant.exclusive().num_gpus) == (16, 1)
    spread = grant_resources(ResourceRequest(gpus_per_trial=3), [ONE_GPU, TWO_GPUS])
    assert spread.exclusive() == spread


@pytest.mark.parametrize("compiled", [False, True])
def test_a_grant_says_whether_models_are_compiled(compiled: bool) -> None:
    assert grant_resources(ResourceRequest(compiled=compiled), CPUS_ONLY).compiled == compiled


def test_an_exclusive_trial_gets_whole_gpus_and_all_cpus_of_the_largest_node() -> None:
    grant = ResourceGrant(num_cpus=4, num_gpus=0.5, max_cpus=32, max_concurrent_trials=8, compiled=True)
    assert grant.exclusive() == ResourceGrant(
        num_cpus=32, num_gpus=1, max_cpus=32, max_concurrent_trials=8, compiled=True
    )
    assert (grant.device, ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1).device) == (
        "cuda",
        "cpu",
    )


@pytest.mark.parametrize(
    ("options", "nodes", "message"),
    [
        (
            {"gpus_per_trial": 1},
            CPUS_ONLY,
            "-gpus-per-trial = 1 fit no machine: CPUs and GPUs of each are 4 and 0",
        ),
        ({"cpus_per_trial": 9}, [SMALL, LARGE], "--cpus-per-trial = 9 and .* each are 2 and 0; 8 and 0"),
        ({}, [HEAD], "--gpus-per-trial = 0 fit no machine: CPUs and GPUs of each are 0 and 0"),
        (
            {"gpus_per_trial": 4},
            [ONE_GPU, TWO_GPUS],
            "--gpus-per-trial = 4 fit neither one machine nor all together: CPUs and GPUs of each are 16 and 2; 6 and",
        ),
        ({"gpus_per_trial": 4, "cpus_per_trial": 3}, FOUR_GPUS, "--cpus-per-trial = 3: must be at least 4, one for"),
        ({"gpus_per_trial": 1e308}, FOUR_GPUS, "fit neither one machine"),
    ],
)
def test_a_request_that_fits_no_node_is_refused(options: dict, nodes: list[Node], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grant_resources(ResourceRequest(**options), nodes)


@pytest.mark.parametrize("gpus", [1.5, 1e9 + 0.5, float("inf"), float("nan")])
def test_a_part_of_a_second_gpu_is_refused(gpus: float) -> None:
    with pytest.raises(InputError, match=r"--gpus-per-trial = .*: must be a fraction of one GPU, or a whole number"):
        ResourceRequest(gpus_per_trial=gpus)


def test_labels_keep_trials_off_excluded_nodes() -> None:
    grant = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1)
    assert grant.label_selectors == [{}]
    excluding = replace(grant, excluded_nodes=("a", "b"), num_workers=2)
    assert excluding.label_selectors == [{"ray.io/node-id": "!in(a,b)"}] * 2
