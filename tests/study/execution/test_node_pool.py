"""The pool of nodes, against grants counted by hand."""

import pytest

from revit.errors import InputError
from study.execution.node_pool import NodePool
from study.execution.resources import Node, ResourceRequest

LARGE = Node(cpus=8, gpus=0, id="l", name="large (l)")
SMALL = Node(cpus=2, gpus=0, id="s", name="small (s)")
GPUS = Node(cpus=16, gpus=2, id="g", name="gpus (g)")


def test_a_pool_without_unfit_nodes_grants_what_all_nodes_have() -> None:
    grant = NodePool(ResourceRequest(), lambda: [LARGE, SMALL]).grant()
    assert (grant.max_cpus, grant.max_concurrent_trials, grant.excluded_nodes) == (8, 10, ())


def test_an_unfit_node_is_named_once_and_grants_exclude_it() -> None:
    pool = NodePool(ResourceRequest(), lambda: [LARGE, SMALL])
    assert pool.exclude("l", "its disk is full") == "node large (l) is left out of this launch: its disk is full"
    assert pool.exclude("l", "its disk is still full") == ""
    grant = pool.grant()
    assert (grant.max_cpus, grant.max_concurrent_trials, grant.excluded_nodes) == (2, 2, ("l",))


def test_trials_keep_their_size_where_the_nodes_with_gpus_are_unfit() -> None:
    """A study must not move from GPUs to CPUs by itself."""
    pool = NodePool(ResourceRequest(), lambda: [LARGE, GPUS])
    assert pool.grant().num_gpus == 1
    pool.exclude("g", "its disk is full")
    with pytest.raises(InputError, match=r"no node is left .* gpus \(g\) is left out of .*: its disk is full"):
        pool.grant()


def test_where_no_node_is_left_all_are_named_also_those_that_are_gone() -> None:
    nodes = [LARGE, SMALL]
    pool = NodePool(ResourceRequest(), lambda: nodes)
    pool.exclude("l", "its disk is full")
    nodes.remove(LARGE)
    pool.exclude("s", "its cache cannot be written")
    pool.exclude("unknown", "lost")
    with pytest.raises(InputError, match=r"large .*: its disk is full; .* small .*: its cache .*; node unknown is"):
        pool.grant()


def test_a_trial_of_several_gpus_keeps_its_size() -> None:
    pool = NodePool(ResourceRequest(gpus_per_trial=2), lambda: [LARGE, GPUS, Node(cpus=64, gpus=8, id="b", name="big")])
    assert pool.grant().max_concurrent_trials == 5
    pool.exclude("b", "its disk is full")
    left = pool.grant()
    assert (left.num_workers, left.num_cpus, left.num_gpus, left.max_concurrent_trials) == (2, 8, 1, 1)


def test_trials_keep_their_size_where_nodes_with_gpus_come_and_take_added_ones_of_their_kind() -> None:
    nodes = [LARGE]
    pool = NodePool(ResourceRequest(), lambda: nodes)
    assert [pool.has_changed(), pool.has_changed()] == [True, False]
    pool.keep_size(pool.grant())
    nodes += [SMALL, GPUS]
    assert pool.has_changed()
    grant = pool.grant()
    assert (grant.num_cpus, grant.num_gpus, grant.max_concurrent_trials) == (1, 0, 8 + 2 + 16)
    nodes[:] = [SMALL]
    assert pool.has_changed()
    assert (pool.grant().max_concurrent_trials, pool.grant().max_cpus) == (2, 2)
