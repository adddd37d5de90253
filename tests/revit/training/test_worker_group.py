"""Trials of 2 and 4 workers over gloo, against the trial of one process."""

import importlib
import os
import pickle
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore, open_store
from revit.errors import DivergedError, InputError, WorkerLostError
from revit.training.worker_group import ALONE, WorkerGroup
from study.execution.failures import classify
from tests.revit.training.worker_pool import Step, Trial, WorkerPool, first_step, trial, trial_in_float64

DROPPING = {"model.dropout": 0.2, "model.attn_dropout": 0.2, "model.head_dropout": 0.2, "model.drop_path": 0.3}
EVERYTHING = {
    "mixup": 0.4, "cutmix": 1.0, "random_erasing": 0.5, "label_smoothing": 0.1, "augmentation": "trivialaugment",
    "loss": "binary_cross_entropy", "ema_decay": 0.8, "hflip": True, **DROPPING,
}  # fmt: skip
CONFIG = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), batch_size=16, steps=6, num_evals=3
).with_values({"model.head_init": "trunc_normal"})
STEPS: dict[str, dict[str, object]] = {
    "plain": {},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "erasing, mixed": {"random_erasing": 0.5, "mixup": 0.4},
    "label smoothing": {"label_smoothing": 0.1, "train_crop": "padded"},
    "randaugment": {"augmentation": "randaugment", "mixup": 0.4},
    "dropout": {"model.dropout": 0.2},
    "attention dropout": {"model.attn_dropout": 0.2},
    "stochastic depth": {"model.drop_path": 0.3},
    "stochastic depth of bit": {"model.name": "bit_nano", "resolution": 28, "model.drop_path": 0.3},
    "lora": {"model.adapter": "lora", "model.dropout": 0.2},
    "micro-batches": {"micro_batch": 6, **DROPPING},
    "micro-batches of one": {"micro_batch": 1, "mixup": 0.4, **DROPPING},
    "clipped": {"optimizer.max_grad_norm": 0.01},
    "not clipped": {"optimizer.max_grad_norm": None},
    "odd batch": {"batch_size": 13, "mixup": 0.4, **DROPPING},
    "fewer images than workers": {"batch_size": 3, "mixup": 0.4, **DROPPING},
    "one image": {"batch_size": 1, **DROPPING},
    "everything": {"batch_size": 23, "micro_batch": 5, **EVERYTHING},
}
TRIALS: dict[str, dict[str, object]] = {
    "sgd": {"model.dropout": 0.2},
    "muon": {"optimizer.name": "muon", "optimizer.lr": 0.01},
    "plateau": {"schedule.name": "plateau", "schedule.plateau_patience": 0, "optimizer.lr": 0.3, "num_evals": 6},
    "best_val": {"selection": "best_val", "optimizer.lr": 0.5, "test_curve": True},
    "everything": {**EVERYTHING, "batch_size": 13, "micro_batch": 6, "selection": "best_val"},
    "probed": {"model.head_init": "probed", "data_fraction": 0.1, "batch_size": 50},
    "last batch": {"data_fraction": 0.02, "steps": 6, "num_evals": 1},
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    with WorkerPool(4, tmp_path_factory.mktemp("groups")) as pool:
        yield pool


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the norm of a difference, relative to the first."""
    assert one.keys() == other.keys()
    first, second = (torch.cat([each.double().flatten() for each in tensors.values()]) for tensors in (one, other))
    return float((first - second).norm() / first.norm())


def first_steps(group: WorkerGroup, configs: list[FineTuneConfig], store: ImageStore) -> list[Step]:
    return [first_step(group, each, store) for each in configs]


@pytest.fixture(scope="module")
def expected_steps(digits: ImageStore) -> list[Step]:
    return first_steps(ALONE, [CONFIG.with_values(values) for values in STEPS.values()], digits)


@pytest.mark.parametrize("num_workers", [pytest.param(2, marks=pytest.mark.long), 4])
def test_gradients_are_those_of_one_process(
    pool: WorkerPool, digits: ImageStore, expected_steps: list[Step], num_workers: int
) -> None:
    configs = [CONFIG.with_values(values) for values in STEPS.values()]
    steps_of_workers: list[list[Step]] = pool(num_workers, first_steps, configs, digits)
    for name, expected, *found in zip(STEPS, expected_steps, *steps_of_workers, strict=True):
        assert distance(expected.gradients, found[0].gradients) < 1e-6, name
        assert found[0].loss == pytest.approx(expected.loss, rel=1e-6), name
        assert found[0].grad_norm == pytest.approx(expected.grad_norm, rel=1e-6), name
        assert distance(expected.weights, found[0].weights) < 1e-6, name
        assert all(distance(found[0].weights, each.weights) == 0 for each in found), f"{name}: to the bit"


@pytest.mark.parametrize(("name", "num_workers"), list(zip(TRIALS, cycle((2, 4)))))
def test_a_trial_has_the_result_of_one_process(
    pool: WorkerPool, digits: ImageStore, name: str, num_workers: int
) -> None:
    config = CONFIG.with_values(TRIALS[name])
    expected: Trial = trial(ALONE, config, digits)
    trials: list[Trial] = pool(num_workers, trial, config, digits)
    assert_same(trials[0], expected)
    assert [each.num_reports for each in trials] == [expected.num_reports, *[0] * (num_workers - 1)]
    for other in trials[1:]:
        assert (other.predictions.confidence == trials[0].predictions.confidence).all(), "all have the result"
        assert other.metrics["peak_memory_bytes"] == trials[0].metrics["peak_memory_bytes"], "the largest"


def assert_same(found: Trial, expected: Trial) -> None:
    """Check that two trials are the same up to rounding: curves, accuracies, predictions in their order."""
    assert len(found.rows) == len(expected.rows)
    for own, its in zip(found.rows, expected.rows, strict=True):
        assert own.keys() == its.keys()
        for name in its.keys() - {"images_per_s"}:
            tolerance = 0 if name.endswith(("accuracy", "lr", "step")) else 1e-4
            assert own[name] == pytest.approx(its[name], rel=tolerance), (its["step"], name)
    for name in ("index", "label", "prediction"):
        assert (getattr(found.predictions, name) == getattr(expected.predictions, name)).all()
    np.testing.assert_allclose(found.predictions.loss, expected.predictions.loss, rtol=1e-3, atol=1e-5)
    assert found.metrics.keys() == expected.metrics.keys()
    assert found.metrics["test_accuracy"] == expected.metrics["test_accuracy"]


def test_equal_weights_are_evaluated_to_equal_bits(pool: WorkerPool, digits: ImageStore) -> None:
    """At a learning rate at which the weights stay as they are."""
    config = CONFIG.with_values({"optimizer.lr": 1e-30, "steps": 1, "batch_size": 48})
    expected: Trial = trial(ALONE, config, digits)
    for num_workers in (2, 4):
        found: Trial = pool(num_workers, trial, config, digits)[0]
        for name, column in vars(expected.predictions).items():
            assert (getattr(found.predictions, name) == column).all(), name


@pytest.mark.parametrize(("before", "after"), [(1, 2), pytest.param(2, 1, marks=pytest.mark.long), (4, 2)])
def test_checkpoints_go_from_any_number_of_workers_to_any(
    pool: WorkerPool, digits: ImageStore, tmp_path: Path, before: int, after: int
) -> None:
    config = CONFIG.with_values({**EVERYTHING, "optimizer.name": "adamw", "optimizer.lr": 1e-3})
    config = config.with_values({"schedule.name": "plateau", "selection": "best_val", "num_evals": 6})
    path = tmp_path / "checkpoint.pt"
    stopped = pool(before, trial, config, digits, 4, path)
    assert [type(each) for each in stopped] == [InterruptedError] * before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"], "one worker saved it, once"
    found: Trial = pool(after, trial, config, digits, None, None, path)[0]
    assert_same(found, trial(ALONE, config, digits))


def test_a_loss_that_is_not_finite_diverges_everywhere(pool: WorkerPool, digits: ImageStore) -> None:
    config = CONFIG.with_values({"optimizer.lr": 9e18, "optimizer.max_grad_norm": None, "schedule.name": "constant"})
    with pytest.raises(DivergedError) as alone:
        trial(ALONE, config, digits)
    for error in pool(2, trial, config, digits):
        assert isinstance(error, DivergedError)
        assert str(error) == str(alone.value)


def fail_at(group: WorkerGroup, config: FineTuneConfig, store: ImageStore, rank: int, name: str, error: Any) -> Any:
    """Train while one worker's third call of a function of `fine_tune` raises; then, once more, without it."""
    from revit.training import fine_tune as module

    original = getattr(module, name)
    num_calls = 0

    def fail(*args: Any, **kwargs: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if group.rank == rank and num_calls == 3:
            raise error
        return original(*args, **kwargs)

    setattr(module, name, fail)
    try:
        trial(group, config, store)
    except Exception as raised:
        setattr(module, name, original)
        return raised, trial(group, config, store)
    raise AssertionError("it trained to its end")


class OwnError(Exception):
    """An error that cannot be pickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(("rank", "name"), [(1, "train_input"), (0, "evaluate")])
def test_an_error_of_one_worker_is_raised_by_all_and_they_can_train_on(
    pool: WorkerPool, digits: ImageStore, rank: int, name: str
) -> None:
    """So all halve their micro-batch together when one is out of memory."""
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    answers = pool(2, fail_at, CONFIG, digits, rank, name, error)
    for raised, _ in answers:
        assert (type(raised), str(raised)) == (type(error), str(error))
        assert classify(raised) == "device out of memory"
    assert [getattr(raised, "__notes__", []) for raised, _ in answers][1 - rank] == [f"on worker {rank} of 2"]
    assert_same(answers[0][1], trial(ALONE, CONFIG, digits))


def raise_own_error(group: WorkerGroup) -> str:
    try:
        with group.sharing_errors():
            if group.rank == 1:
                raise OwnError(1, 2)
            group.exchange(None)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def test_an_error_that_cannot_be_pickled_is_shared_by_its_text(pool: WorkerPool) -> None:
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(OwnError(1, 2)))
    text = "OwnError: 1 and 2"
    assert pool(3, raise_own_error) == [f"RuntimeError: {text}", text, f"RuntimeError: {text}"]


def train_until_asked(group: WorkerGroup, config: FineTuneConfig, store: ImageStore) -> tuple[list[int], int]:
    """Train where worker 0 is asked to report after step 5; return the steps of its reports, and how often it asked."""
    from revit.training.fine_tune import TrialData, fine_tune

    steps: list[int] = []
    num_asked = 0

    def should_report_now() -> bool:
        nonlocal num_asked
        num_asked += 1
        return num_asked == 5

    data = TrialData.from_store(config, store, None)
    fine_tune(
        config, data, lambda rows, state: steps.append(state.step), device=torch.device("cpu"),
        should_report_now=should_report_now, group=group,
    )  # fmt: skip
    return steps, num_asked


def test_worker_0_alone_is_asked_whether_to_report_now(pool: WorkerPool, digits: ImageStore) -> None:
    config = CONFIG.with_values({"steps": 45, "num_evals": 1, "model.pretrained": False, "data_fraction": 0.1})
    expected = train_until_asked(ALONE, config, digits)
    assert 9 in expected[0], "after the fifth curve point that is not a report"
    assert pool(3, train_until_asked, config, digits) == [expected, ([], 0), ([], 0)]


def train_own(group: WorkerGroup, configs: list[FineTuneConfig], store: ImageStore) -> Trial:
    return trial(group, configs[group.rank], store)


@pytest.mark.parametrize("values", [{"seed": 1}, {"val_fraction": 0.2}, {"optimizer.momentum": 0.5}], ids=str)
def test_workers_that_differ_are_refused(pool: WorkerPool, digits: ImageStore, values: dict[str, object]) -> None:
    for error in pool(2, train_own, [CONFIG, CONFIG.with_values(values)], digits):
        assert isinstance(error, RuntimeError)
        assert str(error) == "the workers of the trial differ in what they train"


def test_a_model_with_batch_normalization_is_refused(pool: WorkerPool, digits: ImageStore) -> None:
    config = CONFIG.with_values({"model.name": "test_resnet", "model.pretrained": False, "resolution": 32})
    for error in pool(2, trial, config, digits):
        assert isinstance(error, InputError)
        assert "has batch normalization; a trial of it must have one worker" in str(error)


def end_process(group: WorkerGroup, config: FineTuneConfig, store: ImageStore, place: str) -> Trial:
    from revit.training import fine_tune

    if group.rank == 1:
        module = {"evaluate": fine_tune, "all_reduce": torch.distributed}[place]
        setattr(module, place, lambda *_, **__: os._exit(1))
    return trial(group, config, store)


@pytest.mark.parametrize("place", [pytest.param("evaluate", marks=pytest.mark.long), "all_reduce"])
def test_the_end_of_a_workers_process_is_a_lost_worker(digits: ImageStore, tmp_path: Path, place: str) -> None:
    """In an exchange, or while gradients are summed."""
    with WorkerPool(3, tmp_path) as pool:
        first, _, last = pool(3, end_process, CONFIG, digits, place)
    for error in (first, last):
        assert isinstance(error, WorkerLostError)
        assert classify(error) == "lost worker"


def gradients_of_some(group: WorkerGroup, ranks: list[int]) -> None:
    layers = [nn.Linear(2, 2) for _ in range(2)]
    sum(layer(torch.ones(1, 2)).sum() for layer in layers[: 1 + (group.rank in ranks)]).backward()
    group.sum_gradients([each for layer in layers for each in layer.parameters()])
    assert (layers[0].weight.grad == group.size).all()
    assert (layers[1].weight.grad is None) == (not ranks), "an unused layer stays without a gradient"


def test_gradients_of_different_parameters_are_refused(pool: WorkerPool) -> None:
    assert pool(2, gradients_of_some, []) == pool(2, gradients_of_some, [0, 1]) == [None, None]
    for error in pool(2, gradients_of_some, [1]):
        assert str(error) == "the workers of the trial differ in the parameters with a gradient"


STUDIES = (
    "quickstart",
    "optimizer_schedule",
    "resolution",
    "pos_embed",
    "data_fraction",
    "domain_shift",
    "replication",
)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("study", STUDIES)
def test_trials_of_a_study_have_the_test_accuracy_of_one_process(pool: WorkerPool, cache_dir: Path, study: str) -> None:
    """The first, the middle and the last config of each study, at the nano scale, in float64.

    Some trials amplify rounding by more than twelve orders of magnitude until they predict other classes: one process
    does, too, if its pixels differ in their last bits. Then workers must not be further from it than that.
    """
    space = importlib.import_module(f"search_spaces.{study}").SPACE
    space = space if study == "quickstart" else space.variant(scale="nano")
    candidates = space.candidates((0,))
    for config in dict.fromkeys(candidates[index].config for index in (0, len(candidates) // 2, -1)):
        store = open_store(config.dataset, data_dir=cache_dir, cache_dir=cache_dir)
        expected: Trial = pool(1, trial_in_float64, config, store)[0]
        rounded: Trial = pool(1, trial_in_float64, config, store, 1 + 2**-50)[0]
        for num_workers in (2, 4):
            found: Trial = pool(num_workers, trial_in_float64, config, store)[0]
            assert found.rows[0]["train_loss"] == pytest.approx(expected.rows[0]["train_loss"], rel=1e-10)
            if (rounded.predictions.prediction != expected.predictions.prediction).any():
                allowed = 10 * np.maximum.accumulate(loss_distances(rounded, expected)) + 1e-12
                assert (loss_distances(found, expected) < allowed).all(), config
                continue
            assert (found.predictions.prediction == expected.predictions.prediction).all(), config
            assert found.metrics["test_accuracy"] == expected.metrics["test_accuracy"]
            assert found.metrics["test_loss"] == pytest.approx(expected.metrics["test_loss"], rel=1e-4)


def loss_distances(one: Trial, other: Trial) -> npt.NDArray[np.float64]:
    """Return the relative differences of the training loss at each step that both report, (n,)."""
    losses = [[row["train_loss"] for row in each.rows if "train_loss" in row] for each in (one, other)]
    mine, its = np.array(losses)
    return abs(mine - its) / its
