"""The order of a queue; whole launches are simulated in tests/benchmarks/test_packing.py."""

from benchmarks.packing import load_studies
from study.forecast.queue import SearchTurn, TrialQueue
from study.forecast.simulated_launch import simulated_study
from study.forecast.trial_costs import TrialCosts, shape_of
from study.trial import Trial

STUDY = simulated_study([*load_studies("resolution"), *load_studies("optimizer_schedule")])
TRIALS = STUDY.trials[:30]
"""Those of `resolution`."""
SEARCH = STUDY.searches[0]


def queue_of(trials: list[Trial]) -> tuple[TrialQueue, TrialCosts]:
    costs = TrialCosts(STUDY.all_trials)
    queue = TrialQueue(costs)
    queue.add(trials)
    return queue, costs


def test_the_longest_comes_first_and_equal_ones_in_the_order_of_the_plan() -> None:
    queue, costs = queue_of(TRIALS)
    assert list(queue.in_order()) == sorted(TRIALS, key=costs.seconds, reverse=True)
    assert len(queue) == len(TRIALS) == 30


def test_a_trial_waits_once() -> None:
    queue, _ = queue_of(TRIALS)
    queue.add(TRIALS[:3])
    queue.discard([TRIALS[0].identity, "unknown"])
    assert len(queue) == len(list(queue.in_order())) == 29
    assert TRIALS[0] not in queue.in_order()


def test_trials_that_run_again_come_first_and_those_that_run_exclusively_before_them() -> None:
    queue, _ = queue_of(TRIALS)
    first, second, third = TRIALS[:3]
    queue.discard([each.identity for each in (first, second, third)])
    queue.requeue(first)
    queue.requeue(second, exclusively=True)
    queue.requeue(third)
    assert len(queue) == 30
    assert list(queue.in_order())[:3] == [second, first, third]
    queue.discard([second.identity, first.identity])
    assert next(queue.in_order()) == third


def test_a_search_comes_in_its_turn_by_all_that_depends_on_it() -> None:
    point, tested = SEARCH.points[0], SEARCH.tested[0]
    queue, costs = queue_of(STUDY.trials)
    turn = SearchTurn(study="example", cell="a", tested=tested, num_in_row=2, num_points=1)
    in_order = list(queue.in_order([turn]))
    place = in_order.index(turn)
    assert 0 < place < len(in_order) - 1
    assert costs.seconds(in_order[place - 1]) >= 2 * costs.seconds(tested) > costs.seconds(in_order[place + 1])
    queue.add([point], awaiting=[tested])
    in_order = list(queue.in_order())
    assert in_order.index(point) == place
    queue.add([tested])
    in_order = list(queue.in_order())
    assert in_order.index(tested) > in_order.index(point), "nothing depends on it"


def test_of_equal_searches_the_one_with_the_fewest_points_is_asked_first() -> None:
    queue, _ = queue_of([])
    tested = SEARCH.tested[0]
    few = SearchTurn(study="example", cell="a", tested=tested, num_in_row=2, num_points=1)
    many = SearchTurn(study="example", cell="b", tested=tested, num_in_row=2, num_points=2)
    assert list(queue.in_order([many, few])) == [few, many]
    over = SearchTurn(study="example", cell="c", tested=tested, num_in_row=1, num_points=0)
    assert list(queue.in_order([over, many])) == [many, over], "only the tested trial is to come"


def test_trials_that_end_change_the_order_of_those_that_wait() -> None:
    queue, costs = queue_of(TRIALS)
    slowest = min(TRIALS, key=costs.seconds)
    costs.measure(max(TRIALS, key=costs.seconds), 100, 1.0, "gpu")
    costs.measure(slowest, 100, 1e6, "gpu")
    first = next(queue.in_order())
    assert shape_of(first) == shape_of(slowest)  # type: ignore[arg-type]


def test_an_order_stays_as_it_was_when_it_was_asked_for() -> None:
    """A thread looks for the next trial meanwhile."""
    queue, costs = queue_of(TRIALS)
    in_order = queue.in_order()
    queue.discard([trial.identity for trial in TRIALS])
    assert list(in_order) == sorted(TRIALS, key=costs.seconds, reverse=True)
