"""Expected times of trials of a real plan; records and rehearsals are made up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from revit.training.trial_flops import image_flops
from study.forecast.devices import DEVICES
from study.forecast.speeds import OTHER_S, Speeds
from study.forecast.trial_costs import sizes_of
from study.ledger.records import Rehearsal, TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders
from study.trial import Trial
from tests.study.made_plans import BASE, plan_of

GPU = "NVIDIA H100 80GB HBM3"
H100, CPU = DEVICES["h100"], DEVICES["cpu"]


@pytest.fixture
def trials(tmp_path: Path, cache_dir: Path) -> list[Trial]:
    """A small and a large trial."""
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    return plan_of(folders, scientific={"resolution": (8, 16)}, seeds=(0,)).to_run


def record_of(trial: Trial, train_s: float, other_s: float, device: str = "cpu", **changes: Any) -> TrialRecord:
    record = TrialRecord(
        run_id="run",
        identity=trial.identity,
        state=TrialState.FINISHED,
        last_step=trial.num_steps,
        metrics={"train_time_s": train_s, "num_steps_done": float(trial.num_steps)},
        params={name: str(value) for name, value in trial.candidate.config.flat().items()},
        tags={"device": device},
        start_s=1000.0,
        end_s=1000.0 + train_s + other_s,
    )
    return replace(record, **changes)


def rehearsal_of(trial: Trial, step_s: float, device: str = "cpu") -> Rehearsal:
    params = {name: str(value) for name, value in trial.candidate.config.flat().items()}
    return Rehearsal(params=params, environment={"device": device}, step_time_s=step_s, eval_images_per_s=100.0)


def test_without_any_measurement_the_table_of_devices_counts(trials: list[Trial]) -> None:
    small, _ = trials
    time = Speeds(CPU, trials).of(small)
    config = small.candidate.config
    assert time.source == "assumption"
    assert time.step_s == CPU.assumed_step_s(image_flops(config), config.batch_size)
    assert time.train_s == pytest.approx(5 * time.step_s)
    assert time.other_s > OTHER_S


def test_a_finished_trial_of_the_shape_counts_and_corrects_the_others(trials: list[Trial]) -> None:
    small, large = trials
    plain = Speeds(CPU, trials)
    speeds = Speeds(CPU, trials, [record_of(small, 10.0, 4.0)])
    assert speeds.of(small) == (2.0, 10.0, 4.0, "ledger")
    scaled = speeds.of(large)
    assert scaled.source == "scaled"
    assert scaled.step_s / plain.of(large).step_s == pytest.approx(2.0 / plain.of(small).step_s)


def test_a_rehearsal_counts_where_no_trial_has_finished(trials: list[Trial]) -> None:
    small, large = trials
    rehearsals = [rehearsal_of(small, 0.5), rehearsal_of(small, 9.0), rehearsal_of(large, 0.7)]
    speeds = Speeds(CPU, trials, [record_of(large, 10.0, 4.0)], rehearsals)
    assert speeds.of(small)[:2] == (0.5, 2.5), "the newest"
    assert speeds.of(small).source == "rehearsal"
    images = 5 * 144 + 144 + 359
    assert speeds.of(small).other_s == pytest.approx(OTHER_S + images / 100, rel=0.02)
    assert speeds.of(large).source == "ledger"


def test_a_rehearsal_with_a_smaller_batch_counts_by_images(trials: list[Trial]) -> None:
    small, large = trials
    smaller = [
        replace(each, params=each.params | {"batch_size": str(batch)})
        for batch, each in ((4, rehearsal_of(small, 0.5)), (2, rehearsal_of(small, 9.0)))
    ]
    time = Speeds(CPU, trials, rehearsals=smaller).of(small)
    ratio = small.candidate.config.batch_size / 4
    assert (time.step_s, time.source) == (0.5 * ratio, "scaled"), "of the largest batch"
    assert time.other_s == pytest.approx(OTHER_S + (5 * 144 + 144 + 359) / 100, rel=0.02)
    plain = Speeds(CPU, trials)
    other = Speeds(CPU, trials, rehearsals=smaller).of(large)
    assert other.step_s / plain.of(large).step_s == pytest.approx(time.step_s / plain.of(small).step_s)


@pytest.mark.parametrize("changes", [{"state": TrialState.DIVERGED}, {"tags": {"device": GPU}}, {"metrics": {}}])
def test_trials_that_did_not_finish_or_on_other_devices_do_not_count(
    trials: list[Trial], changes: dict[str, Any]
) -> None:
    small, _ = trials
    assert Speeds(CPU, trials, [record_of(small, 10.0, 4.0, **changes)]).of(small).source == "assumption"


def test_a_trial_of_several_workers_says_nothing_of_one(trials: list[Trial]) -> None:
    small, _ = trials
    record = record_of(small, 10.0, 4.0, tags={"device": GPU, "workers": "4"})
    assert Speeds(H100, trials, [record]).of(small).source == "assumption"
    assert Speeds(H100, trials, [record_of(small, 10.0, 4.0, GPU)]).of(small).source == "ledger"


def test_what_a_trial_has_done_is_not_counted_again(trials: list[Trial]) -> None:
    small, _ = trials
    begun = replace(small, record=record_of(small, 1.0, 1.0, state=TrialState.INTERRUPTED, last_step=4))
    speeds = Speeds(CPU, trials, [record_of(small, 10.0, 4.0)])
    assert speeds.of(begun).train_s == pytest.approx(2.0)


def test_images_of_further_test_sets_count(tmp_path: Path, cache_dir: Path) -> None:
    """Only trials on the same sets say how long their evaluation takes."""
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    further = BASE.with_values({"test_sets": ("mnist_5k",)})
    plain, tested = (plan_of(folders, base=base, seeds=(0,)).to_run[0] for base in (BASE, further))
    assert sizes_of(tested) == sizes_of(plain)._replace(num_further=1000)
    speeds = Speeds(CPU, [plain, tested])
    assert speeds.of(tested).other_s > speeds.of(plain).other_s
    measured = Speeds(CPU, [plain, tested], [record_of(plain, 10.0, 4.0)])
    assert measured.of(plain).other_s == 4.0
    assert measured.of(tested).other_s != 4.0
    assert Speeds(CPU, [tested], [record_of(tested, 10.0, 7.0)]).of(tested).other_s == 7.0
