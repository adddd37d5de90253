import pytest

from revit.errors import InputError
from study.execution.resources import Node, Resources, Share, share_of

CPUS_ONLY = [Node(cpus=4, gpus=0)]
FOUR_GPUS = [Node(cpus=32, gpus=4)]
HEAD, SMALL, LARGE = Node(cpus=0, gpus=0), Node(cpus=2, gpus=0), Node(cpus=8, gpus=0)
ONE_GPU, TWO_GPUS = Node(cpus=6, gpus=1), Node(cpus=16, gpus=2)


@pytest.mark.parametrize(
    ("asked", "nodes", "share"),
    [
        ({}, CPUS_ONLY, Share(cpus=1, gpus=0.0, all_cpus=4, num_slots=4)),
        ({"cpus_per_trial": 3}, CPUS_ONLY, Share(cpus=3, gpus=0.0, all_cpus=4, num_slots=1)),
        ({}, FOUR_GPUS, Share(cpus=8, gpus=1.0, all_cpus=32, num_slots=4)),
        ({"gpus_per_trial": 0.5}, FOUR_GPUS, Share(cpus=4, gpus=0.5, all_cpus=32, num_slots=8)),
        ({"gpus_per_trial": 0.0}, FOUR_GPUS, Share(cpus=1, gpus=0.0, all_cpus=32, num_slots=32)),
        ({"compiled": True}, CPUS_ONLY, Share(1, 0.0, all_cpus=4, num_slots=4, compiled=True)),
        ({}, [HEAD, SMALL, LARGE], Share(cpus=1, gpus=0.0, all_cpus=8, num_slots=10)),
        ({"cpus_per_trial": 3}, [SMALL, LARGE], Share(cpus=3, gpus=0.0, all_cpus=8, num_slots=2)),
        ({}, [HEAD, LARGE, ONE_GPU, TWO_GPUS], Share(cpus=6, gpus=1.0, all_cpus=16, num_slots=3)),
    ],
)
def test_a_trial_gets_its_share_of_what_there_is(asked: dict, nodes: list[Node], share: Share) -> None:
    assert share_of(Resources(**asked), nodes) == share
    assert share.is_shared == (share.num_slots > 1)
    assert any(node.num_slots(share.all_cpus, share.gpus) for node in nodes), "one that runs alone fits a node"


@pytest.mark.parametrize(
    ("asked", "nodes", "told"),
    [
        ({"gpus_per_trial": 1}, CPUS_ONLY, "a trial asks for 1 CPUs and 1 GPUs; Ray finds 4 and 0"),
        ({"cpus_per_trial": 9}, [SMALL, LARGE], "a trial asks for 9 CPUs and 0 GPUs; Ray finds 2 and 0; 8 and 0"),
        ({}, [HEAD], "a trial asks for 1 CPUs and 0 GPUs; Ray finds 0 and 0"),
    ],
)
def test_more_than_any_node_has_is_refused(asked: dict, nodes: list[Node], told: str) -> None:
    with pytest.raises(InputError, match=told):
        share_of(Resources(**asked), nodes)
