"""Choice of a trial: which words name which one, and what is said where there is none."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from study.advice import MissingModelError
from study.export.choice import choose_trial, keeps_weights, parse_cell, parse_seed, trials_of_cell
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.trial import Trial
from tests.study.made_plans import plan_of, record_of
from tests.study.trained_study import TrainedKinds

AXES = {
    "optimizer": {"sgd": {"optimizer.name": "sgd"}, "a,b": {"optimizer.name": "adam"}},
    "schedule.name": ("cosine", "constant"),
    "optimizer.lr": (0.1, 0.001),
}


def plan_with(folders: Folders, results: Mapping[int, float | TrialState], **changes: Any) -> Plan:
    """Return a plan of one cell whose seeds have these results."""
    plan = plan_of(folders, **{"scientific": {"optimizer.lr": (0.1,)}, "seeds": (0, 1, 2), **changes})
    by_seed = {trial.candidate.config.seed: trial for trial in plan.trials}
    records: dict[str, TrialRecord] = {
        by_seed[seed].identity: record_of(by_seed[seed], result) for seed, result in results.items()
    }
    return plan.with_records(records)


def kept(*seeds: int) -> Callable[[Trial], bool]:
    return lambda trial: trial.candidate.config.seed in seeds


def choose(plan: Plan, seed: Any, *seeds: int) -> int:
    trial = choose_trial(plan, trials_of_cell(plan, {}), seed, kept(*seeds))
    return trial.candidate.config.seed


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("optimizer=sgd,schedule=cosine,lr=0.1", ("sgd", "cosine", 0.1)),
        ("optimizer=a,b,schedule.name=constant,optimizer.lr=1e-3", ("a,b", "constant", 0.001)),
    ],
)
def test_a_cell_is_named_by_its_values(text: str, cell: tuple[object, ...], folders: Folders) -> None:
    """By whole names of axes or short ones, by numbers in any form; a value may have commas."""
    plan = plan_of(folders, scientific=AXES)
    trials = trials_of_cell(plan, parse_cell(text))
    assert [trial.candidate.config.seed for trial in trials] == [0, 1]
    assert {tuple(trial.candidate.requested_values.values()) for trial in trials} == {cell}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer=sgd", "example, and 4 are meant: add schedule.name=cosine or constant, optimizer.lr=0.1 or 0.001"),
        ("optimizer=sgd,lr=0.1", "example, and 2 are meant: add schedule.name=cosine or constant$"),
        ("optimizer=sdg", "axis optimizer of example has no value 'sdg': sgd, a,b"),
        ("model=vit", "example has no scientific axis 'model': optimizer, schedule.name, optimizer.lr"),
        ("sgd", "--cell 'sgd': must be NAME=VALUE"),
    ],
)
def test_what_names_no_cell_or_several_is_one_line(text: str, message: str, folders: Folders) -> None:
    with pytest.raises(InputError, match=message):
        trials_of_cell(plan_of(folders, scientific=AXES), parse_cell(text))


def test_a_cell_that_the_study_leaves_out_is_said(folders: Folders) -> None:
    def leaves_out(config: FineTuneConfig) -> bool:
        return (config.optimizer.name, config.schedule.name) != ("sgd", "cosine")

    plan = plan_of(folders, scientific=AXES, constraint=leaves_out)
    with pytest.raises(InputError, match="optimizer=sgd, schedule=cosine: example has no such cell; its constraint"):
        trials_of_cell(plan, parse_cell("optimizer=sgd,schedule=cosine"))


def test_the_first_seed_whose_weights_were_kept_is_the_default(folders: Folders) -> None:
    plan = plan_with(folders, {0: TrialState.FAILED, 1: 0.5, 2: 0.6})
    assert choose(plan, None, 0, 1, 2) == 1, "a failed trial has no model"
    assert choose(plan, None, 2) == 2
    assert choose(plan, 2, 1, 2) == 2


def test_the_best_seed_is_by_validation_images(folders: Folders) -> None:
    plan = plan_with(folders, {0: 0.5, 1: 0.7, 2: 0.7})
    for trial in plan.trials:
        trial.record.metrics["test_accuracy"] = 1 - trial.record.metrics["test_accuracy"]
    assert choose(plan, "best", 0, 1, 2) == 1, "of equal values, the lowest seed"


@pytest.mark.parametrize(
    ("results", "seed", "kept_seeds", "kind", "message"),
    [
        ({}, None, (), MissingModelError, "example lr=0.1 seed=0 is not run: only a finished trial has a model"),
        ({0: TrialState.DIVERGED}, 0, (), InputError, "seed=0 is diverged"),
        ({0: 0.5}, 1, (0,), MissingModelError, "seed=1 is not run"),
        ({}, "best", (), MissingModelError, "example lr=0.1: no seed has finished"),
        ({0: 0.5}, 3, (0,), InputError, "--seed = 3: example lr=0.1 has the seeds 0, 1, 2; --seeds N plans more"),
        ({0: 0.5, 1: 0.6}, 1, (0,), InputError, "seed=1: its weights were not kept; those of seed 0 were"),
        ({0: 0.5, 1: 0.6}, "best", (0,), InputError, "seed=1: its weights were not kept; those of seed 0 were"),
        ({0: 0.5}, None, (), InputError, "seed=0: its weights were not kept; those of no seed of this cell were"),
    ],
)  # fmt: skip
def test_a_trial_without_a_model_is_one_line(
    results: dict[int, float | TrialState], seed: Any, kept_seeds: tuple[int, ...], kind: type[InputError],
    message: str, folders: Folders,
) -> None:  # fmt: skip
    with pytest.raises(InputError, match=message) as error:
        choose(plan_with(folders, results), seed, *kept_seeds)
    assert type(error.value) is kind, "only what has still to be run is advised to be run"


def test_test_images_never_choose(folders: Folders) -> None:
    plan = plan_with(folders, {0: 0.5, 1: 0.6})
    for trial in plan.trials:
        if trial.record is not None:
            del trial.record.metrics["selected_val_accuracy"]
    with pytest.raises(InputError, match="--seed = best: must be a number, as without validation images no"):
        choose(plan, "best", 0, 1)


def test_a_seed_is_a_number_or_best() -> None:
    assert (parse_seed("7"), parse_seed("best")) == (7, "best")
    with pytest.raises(InputError, match="--seed = first: must be a number, or best"):
        parse_seed("first")


def test_weights_are_looked_for_among_the_artifacts(trained_kinds: TrainedKinds) -> None:
    trial = trained_kinds.trials["ViT"]
    has_weights = keeps_weights(trained_kinds.ledger)
    assert has_weights(trial)
    assert not has_weights(replace(trial, record=replace(trial.record, run_id="another")))
