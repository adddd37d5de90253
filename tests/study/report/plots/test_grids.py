"""Figures of a crossed grid against its means."""

import itertools

import numpy as np
import pandas as pd
import pytest

from study.report.plots.grids import plot_interaction, plot_main_effects, plot_parallel_coordinates

NUM_SEEDS = 4


def make_grid(effects: dict[str, float], noise: float = 0.01) -> pd.DataFrame:
    """Return a full crossing of two values of a and three of b, with the stated effects on accuracy."""
    rng = np.random.default_rng(0)
    rows = []
    for a, b, seed in itertools.product(("sgd", "adam"), (8, 16, 28), range(NUM_SEEDS)):
        mean = 0.5 + effects.get("a", 0) * (a == "sgd") + effects.get("a x b", 0) * (a == "sgd") * (b == 28)
        rows.append((a, b, seed, mean + noise * rng.standard_normal()))
    return pd.DataFrame(rows, columns=["a", "b", "seed", "test_accuracy"])


def test_a_trial_crosses_every_axis_at_its_setting() -> None:
    frame = pd.DataFrame(
        {"resolution": [512, 64, 224], "optimizer": ["sgd", "adam", "sgd"], "test_accuracy": [0.9, 0.1, 0.5]}
    )
    [trace] = plot_parallel_coordinates(frame, ["resolution", "optimizer"]).data
    resolution, optimizer, result = trace.dimensions
    assert list(resolution.ticktext) == ["512", "64", "224"]
    assert np.round(resolution.values).tolist() == [0, 1, 2]
    assert list(optimizer.ticktext) == ["SGD", "Adam"]
    assert np.round(optimizer.values).tolist() == [0, 1, 0]
    assert np.allclose(result.values, [90, 10, 50])
    assert np.allclose(trace.line.color, result.values)


def test_lines_through_a_setting_are_spread_in_the_order_of_accuracy() -> None:
    frame = make_grid({"a": 0.1})
    setting = plot_parallel_coordinates(frame, ["a", "b"]).data[0].dimensions[0]
    sgd = (frame["a"] == "sgd").to_numpy()
    spread = np.asarray(setting.values)[sgd]
    assert (spread.argsort() == frame["test_accuracy"][sgd].to_numpy().argsort()).all()
    assert len(set(spread)) == 3 * NUM_SEEDS
    assert np.abs(spread).max() < 0.2, "nearer to its own setting than to the next"


def test_a_thousand_trials_stay_small() -> None:
    rng = np.random.default_rng(0)
    grid = pd.DataFrame({"a": rng.integers(0, 5, 1000), "b": rng.random(1000), "test_accuracy": rng.random(1000)})
    assert len(plot_parallel_coordinates(grid, ["a", "b"]).to_json()) < 300_000


def test_main_effects_are_the_means_of_a_full_grid() -> None:
    frame = make_grid({"a": 0.03, "a x b": 0.1})
    seeds_a, by_a, _, by_b = plot_main_effects(frame, ["a", "b"]).data
    assert np.allclose(by_a.x, 100 * frame.groupby("a", sort=False)["test_accuracy"].mean(), rtol=1e-5)
    assert list(by_b.text) == ["b: 8", "b: 16", "b: 28"]
    of_seeds = 100 * frame.pivot_table(index="seed", columns="a", values="test_accuracy")[["sgd", "adam"]]
    assert np.allclose(seeds_a.x, of_seeds.to_numpy().ravel(), rtol=1e-5)
    assert list(seeds_a.text[::2]) == [f"seed {seed}" for seed in range(NUM_SEEDS)]


def test_main_effects_do_not_mix_up_factors_that_vary_together() -> None:
    """Value 28 of b has no effect, but was run with the good optimizer only."""
    frame = make_grid({"a": 0.1}, noise=0.001)
    incomplete = frame[~((frame["a"] == "adam") & (frame["b"] == 28))]
    *_, by_b = plot_main_effects(incomplete, ["a", "b"]).data
    means = dict(zip(by_b.text, by_b.x, strict=True))
    assert means["b: 28"] == pytest.approx(means["b: 8"], abs=0.2)


def test_an_interaction_has_a_line_of_means_for_each_value() -> None:
    frame = make_grid({"a": 0.03, "a x b": 0.1})
    seeds, sgd, _, adam = plot_interaction(frame, "b", "a").data
    assert (sgd.name, adam.name) == ("SGD", "Adam")
    of_sgd = frame[frame["a"] == "sgd"]
    assert np.allclose(sgd.y, 100 * of_sgd.groupby("b")["test_accuracy"].mean(), rtol=1e-5)
    assert np.allclose(seeds.y, 100 * of_sgd.sort_values(["seed", "b"])["test_accuracy"], rtol=1e-5)
    assert (sgd.error_y.array > 0).all()
    assert (np.asarray(sgd.x) < np.asarray(adam.x)).all(), "side by side"


def test_an_interaction_is_adjusted_for_the_other_factors() -> None:
    """Value 28 of b was run with the good optimizer only; c has no effect."""
    frame = make_grid({"a": 0.1}, noise=0.001).assign(c=["x", "y"] * 12)
    incomplete = frame[~((frame["a"] == "adam") & (frame["b"] == 28))]
    for line in plot_interaction(incomplete, "b", "c", ["a"]).data:
        assert line.mode == "markers" or np.ptp(line.y) < 0.2


def test_values_are_in_the_unit_of_the_axis() -> None:
    frame = make_grid({}).rename(columns={"b": "data_fraction"})
    figure = plot_interaction(frame.replace({"data_fraction": {8: 0.1, 16: 0.25, 28: 1.0}}), "data_fraction", "a")
    assert figure.layout.xaxis.title.text == "training data used, %"
    assert list(figure.data[1].text) == list(figure.layout.xaxis.ticktext) == ["10", "25", "100"]
