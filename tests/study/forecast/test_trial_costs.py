"""Expected times of trials of a real plan; records are made up."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.forecast.trial_costs import TrialCosts, shape_of
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from study.trial import Trial

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=100)
GPU = "NVIDIA H100"


@pytest.fixture
def trials(tmp_path: Path, cache_dir: Path) -> Callable[..., list[Trial]]:
    """Trials of a study with one axis."""

    def make(axis: str, *values: object) -> list[Trial]:
        space = SearchSpace(name="example", question="?", base=BASE, scientific={axis: values}, seeds=(0,))
        return make_plan(space, space.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {}).to_run

    return make


def record_of(trial: Trial, train_time_s: float, device: str, **changes: object) -> TrialRecord:
    record = TrialRecord(
        run_id="run",
        identity=trial.identity,
        state=TrialState.FINISHED,
        last_step=trial.num_steps,
        metrics={"train_time_s": train_time_s, "num_steps_done": float(trial.num_steps)},
        params={name: str(value) for name, value in trial.candidate.config.flat().items()},
        tags={"device": device},
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def test_the_time_of_trials_is_in_proportion_to_their_flops(trials: Callable[..., list[Trial]]) -> None:
    short, long = trials("steps", 1000, 10_000)
    costs = TrialCosts([short, long])
    images = 5 * 144 + 144 + 359  # validated five times while training and once at the end, and tested
    assert costs.seconds(long) / costs.seconds(short) == pytest.approx(
        (128 * 10_000 + images / 3) / (128 * 1000 + images / 3), rel=0.02
    ), "the last batch of an epoch is smaller"
    small, large = trials("resolution", 8, 32)
    costs = TrialCosts([small, large])
    assert costs.seconds(large) / costs.seconds(small) > 12


def test_trials_of_one_shape_compare_without_torch(
    trials: Callable[..., list[Trial]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.forecast.trial_costs.image_flops", None)
    short, long = trials("steps", 10, 20)
    assert shape_of(short) == shape_of(long)
    assert TrialCosts([short, long]).seconds(short) < TrialCosts([short, long]).seconds(long)


def test_a_trial_that_has_begun_costs_what_is_left(trials: Callable[..., list[Trial]]) -> None:
    [trial] = trials("steps", 100)
    costs = TrialCosts([trial])
    begun = replace(trial, record=record_of(trial, 1.0, "cpu", state=TrialState.INTERRUPTED, last_step=75))
    assert costs.seconds(begun) == pytest.approx(0.25 * costs.seconds(trial))
    assert costs.flops(begun) == costs.flops(trial)
    done = replace(begun, record=record_of(trial, 1.0, "cpu"))
    assert costs.seconds(done) == costs.seconds(trial), "such a trial is trained anew"


def test_finished_trials_of_the_same_shape_on_such_a_device_replace_the_estimate(
    trials: Callable[..., list[Trial]],
) -> None:
    small, large, other = trials("resolution", 8, 16, 24)
    records = [record_of(small, 80.0, GPU), record_of(large, 20.0, GPU), record_of(large, 999.0, "cpu")]
    costs = TrialCosts([small, large, other], records, device="cuda")
    share = costs.flops(small) / (costs._image_flops(small).step * 12_800)
    assert costs.seconds(small) == pytest.approx(80 * share, rel=0.02)
    assert costs.seconds(large) == pytest.approx(20 * share, rel=0.02)
    mean = (80 + 20) / sum(costs._image_flops(each).step * 12_800 for each in (small, large))
    assert costs.s_per_flop(shape_of(other)) == pytest.approx(mean), "of the other shapes, where it has none"


def test_trials_of_the_launch_correct_the_others_of_their_shape(trials: Callable[..., list[Trial]]) -> None:
    small, large = trials("resolution", 8, 16)
    costs = TrialCosts([small, large], [record_of(small, 1.0, GPU), record_of(large, 1.0, GPU)], device="cuda")
    was = costs.seconds(large)
    costs.measure(large, 50, 5.0, GPU)
    assert costs.seconds(large) == pytest.approx(was * 4), "6 s of 150 steps, after 1 s of 100"


def test_only_devices_of_the_launch_count_once_they_are_known(trials: Callable[..., list[Trial]]) -> None:
    small, large = trials("resolution", 8, 16)
    costs = TrialCosts([small, large], [record_of(small, 1.0, GPU)], device="cuda")
    costs.measure(small, 100, 7.0, "NVIDIA A100")
    assert costs.s_per_flop(shape_of(small)) == pytest.approx(7 / (costs._image_flops(small).step * 12_800))


def test_a_record_of_an_earlier_version_or_of_another_shape_is_left_out(trials: Callable[..., list[Trial]]) -> None:
    small, large = trials("resolution", 8, 16)
    without_time = record_of(small, 1.0, "cpu", metrics={})
    without_steps = record_of(small, 1.0, "cpu", metrics={"train_time_s": 1.0})
    [other] = trials("resolution", 24)
    costs = TrialCosts([small, large], [without_time, without_steps, record_of(other, 1.0, "cpu")])
    assert costs.s_per_flop(shape_of(small)) == TrialCosts([small, large]).s_per_flop(shape_of(small))
