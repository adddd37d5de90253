"""A trial that is prepared while another one trains: both have the bits that they have alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.models import build
from revit.models.weights import find_weights
from revit.training import fine_tune as training
from revit.training.fine_tune import FineTuneResult, TrialData, fine_tune
from revit.training.preparation import prepare

CPU = torch.device("cpu")


def equal(one: FineTuneResult, other: FineTuneResult) -> bool:
    tensors = other.model.state_dict()
    return all(torch.equal(tensor, tensors[name]) for name, tensor in one.model.state_dict().items())


def test_a_trial_and_the_one_prepared_meanwhile_have_the_bits_that_they_have_alone(
    small: FineTuneConfig, digits: ImageStore, train: Callable
) -> None:
    config = small.with_values({"model.dropout": 0.2, "mixup": 0.4, "augmentation": "randaugment"})
    following = config.with_values({"seed": 1, "model.adapter": "lora"})
    alone, following_alone = (train(each)[0] for each in (config, following))
    data = TrialData.from_store(following, digits, find_weights(following.model))
    with ThreadPoolExecutor(1) as thread:
        again = [thread.submit(prepare, following, replace(data, num_threads=2)) for _ in range(8)]
        meanwhile = fine_tune(config, data, lambda rows, state: None, device=CPU)
        prepared = again[-1].result()
    assert equal(meanwhile, alone)
    result = fine_tune(following, data, lambda rows, state: None, device=CPU, prepared=prepared)
    assert equal(result, following_alone)


def test_a_prepared_trial_builds_nothing_and_makes_no_batch_before_its_first_step(
    small: FineTuneConfig, digits: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = TrialData.from_store(small, digits, find_weights(small.model))
    prepared = prepare(small, data)

    def too_late(*_: object, **__: object) -> None:
        raise AssertionError("made while the device is idle")

    class FirstStepError(Exception):
        pass

    def first_step(*_: object, **__: object) -> None:
        raise FirstStepError

    for name in ("build_model", "train_batches"):
        monkeypatch.setattr(training, name, too_late)
    monkeypatch.setattr(build, "read_checkpoint", too_late)
    monkeypatch.setattr(training, "train_step", first_step)
    with pytest.raises(FirstStepError):
        fine_tune(small, data, lambda rows, state: None, device=CPU, prepared=prepared)


def test_a_prepared_trial_that_resumes_reads_the_batches_of_its_steps(
    small: FineTuneConfig, digits: ImageStore, train: Callable, make_listener: Callable, tmp_path: object
) -> None:
    path = tmp_path / "checkpoint.pt"
    whole, _ = train(small)
    with pytest.raises(InterruptedError):
        train(small, make_listener(save_at=8, path=path, stop=True))
    data = TrialData.from_store(small, digits, find_weights(small.model))
    rest = fine_tune(small, data, lambda rows, state: None, device=CPU, resume=path, prepared=prepare(small, data))
    assert equal(rest, whole)
