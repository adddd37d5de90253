import pytest

from benchmarks.packing import (
    MAX_OF_BOUND,
    NUM_GPUS,
    PlanOrder,
    error_of_shape,
    error_of_trial,
    load_studies,
    measure,
    share_of_bound,
)
from study.forecast.queue import TrialQueue
from study.forecast.simulated_launch import SimulatedStudy, simulated_study
from study.trial import Trial


@pytest.fixture(scope="module")
def studies() -> dict[str, SimulatedStudy]:
    return {name: simulated_study(load_studies(name)) for name in ("resolution", "all")}


def exact(trial: Trial) -> float:
    return 1.0


@pytest.mark.parametrize("num_gpus", NUM_GPUS)
@pytest.mark.parametrize("name", ["resolution", "all"])
def test_a_study_takes_at_most_two_percent_more_than_its_lower_bound(
    studies: dict[str, SimulatedStudy], name: str, num_gpus: int
) -> None:
    assert 1 <= share_of_bound(studies[name], num_gpus, TrialQueue, exact) <= MAX_OF_BOUND


def test_estimates_that_are_wrong_by_a_fifth_cost_little(studies: dict[str, SimulatedStudy]) -> None:
    for name in studies:
        assert share_of_bound(studies[name], 64, TrialQueue, error_of_trial(0)) < 1.05
    assert share_of_bound(studies["resolution"], 8, TrialQueue, error_of_shape(0)) < 1.05


def test_the_order_of_the_plan_leaves_gpus_idle(studies: dict[str, SimulatedStudy]) -> None:
    """The figures of an independent simulation."""
    resolution = studies["resolution"]
    assert [share_of_bound(resolution, num_gpus, PlanOrder, exact) for num_gpus in (4, 8)] == pytest.approx(
        [1.24, 1.23], abs=0.005
    )


def test_a_launch_that_starts_the_shortest_first_is_seen(studies: dict[str, SimulatedStudy]) -> None:
    class ShortestFirst(TrialQueue):
        def in_order(self, turns=()):  # type: ignore[no-untyped-def]
            return iter(list(super().in_order(turns))[::-1])

    assert share_of_bound(studies["resolution"], 8, ShortestFirst, exact) > 1.2
    assert share_of_bound(studies["all"], 64, ShortestFirst, exact) > 1.2


def test_the_benchmark_runs() -> None:
    results = measure(tiny=True)
    assert [result.met for result in results] == [True] * len(NUM_GPUS)
    assert "in the order of the plan: 1.243" in results[0].details
