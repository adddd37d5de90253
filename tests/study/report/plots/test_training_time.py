"""Training time against accuracy: Pareto frontier, axis, size."""

import numpy as np
import pandas as pd

from study.report.plots.training_time import pareto_frontier, plot_training_time


def test_the_pareto_frontier_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    cost, accuracy = rng.integers(1, 9, 60).astype(float), rng.integers(1, 9, 60).astype(float)
    frontier = pareto_frontier(pd.DataFrame({"train_time_s": cost, "mean": accuracy}))
    points = set(zip(cost, accuracy, strict=True))
    best = {(c, a) for c, a in points if not any((oc <= c and oa > a) or (oc < c and oa >= a) for oc, oa in points)}
    assert list(zip(frontier["train_time_s"], frontier["mean"], strict=True)) == sorted(best)


def test_a_pareto_frontier_is_drawn_where_seconds_are_comparable() -> None:
    cost = pd.DataFrame({"cell": ["a", "b"], "train_time_s": [1.0, 2.0], "mean": [0.5, 0.6]})
    figures = {has: plot_training_time(cost, {}, has_frontier=has) for has in (True, False)}
    num_lines = {has: sum(trace.mode == "lines" for trace in figure.data) for has, figure in figures.items()}
    assert num_lines == {True: 1, False: 0}
    assert "No Pareto frontier" in figures[False].layout.meta["caption"]


def test_costs_far_apart_are_on_a_logarithmic_axis() -> None:
    frame = pd.DataFrame({"cell": ["a", "b"], "train_time_s": [0.4, 20.0], "mean": [0.5, 0.6]})
    assert plot_training_time(frame, {}, has_frontier=False).layout.xaxis.type == "log"


def test_a_thousand_cells_stay_small() -> None:
    rng = np.random.default_rng(0)
    frame = {"cell": [f"cell {n}" for n in range(1000)], "train_time_s": rng.random(1000), "mean": rng.random(1000)}
    assert len(plot_training_time(pd.DataFrame(frame), {}, has_frontier=True).to_json()) < 300_000
