"""Expected peak memory of trials: measured, rehearsed, traced."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from revit.training.memory_shape import micro_batch_of, shape_memory
from study.forecast.devices import DEVICES
from study.forecast.trial_memory import TrialMemories
from study.ledger.records import Rehearsal, TrialRecord
from study.plan import Folders
from study.trial import Trial
from tests.study.made_plans import plan_of, record_of

CPU = DEVICES["cpu"]


@pytest.fixture
def trial(tmp_path: Path, cache_dir: Path) -> Trial:
    return plan_of(Folders(store=tmp_path, data=tmp_path, cache=cache_dir), seeds=(0,)).trials[0]


def measured(trial: Trial, peak: float, **tags: str) -> TrialRecord:
    params = {name: str(value) for name, value in trial.candidate.config.flat().items()}
    tags = {"device": "cpu", "micro_batch": "128", **tags}
    return replace(record_of(trial), metrics={"peak_memory_bytes": peak}, params=params, tags=tags)


def test_memory_is_traced_where_it_was_never_measured(trial: Trial) -> None:
    config = trial.candidate.config
    memory = TrialMemories(CPU).of(trial)
    assert memory.source == "traced"
    assert memory.peak_bytes == shape_memory(config, 10, "fp32", on_gpu=False).peak_bytes(micro_batch_of(config))
    on_gpu = TrialMemories(DEVICES["h100"]).of(trial)
    assert on_gpu.peak_bytes == shape_memory(config, 10, "bf16", on_gpu=True).peak_bytes(128)


def test_memory_of_a_function_that_cannot_be_traced_is_unknown(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("study.forecast.trial_memory.shape_memory", fail)
    assert TrialMemories(CPU).of(trial) == (0, None, "unknown")
    assert TrialMemories(CPU, [measured(trial, 5e8)]).of(trial) == (500_000_000, None, "ledger")


def test_the_largest_peak_that_was_measured_counts(trial: Trial) -> None:
    memories = TrialMemories(CPU, [measured(trial, 3e8), measured(trial, 5e8), measured(trial, 4e8)])
    assert memories.of(trial)[::2] == (500_000_000, "ledger")


@pytest.mark.parametrize("tags", [{"device": "NVIDIA H100"}, {"micro_batch": "64"}])
def test_memory_on_another_device_or_with_a_smaller_micro_batch_does_not_count(trial: Trial, tags: Any) -> None:
    assert TrialMemories(CPU, [measured(trial, 5e8, **tags)]).of(trial).source == "traced"


def test_a_rehearsal_counts_where_no_trial_has_finished(trial: Trial) -> None:
    params = {name: str(value) for name, value in trial.candidate.config.flat().items()}
    rehearsal = Rehearsal(
        params=params, environment={"device": "cpu"}, step_time_s=1, eval_images_per_s=1, peak_memory_bytes=7e8
    )
    assert TrialMemories(CPU, [], [rehearsal]).of(trial)[::2] == (700_000_000, "rehearsal")
    assert TrialMemories(CPU, [measured(trial, 5e8)], [rehearsal]).of(trial).source == "ledger"
