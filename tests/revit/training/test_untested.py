"""Trials that are not tested against the same ones that are: equal to the bit, without a read of the test split."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pytest
import torch

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.training.metrics import METRICS

MACHINE_METRICS = {"train_time_s", "train_images_per_s", "eval_images_per_s", "images_per_s", "peak_memory_bytes"}
VARIANTS: dict[str, dict[str, object]] = {
    "last": {"model.dropout": 0.2},
    "best_val": {"selection": "best_val", "optimizer.lr": 0.5, "num_evals": 6},
    "regularized": {"mixup": 0.4, "cutmix": 1.0, "random_erasing": 0.5, "ema_decay": 0.8, "hflip": True},
    "plateau": {"schedule.name": "plateau", "schedule.plateau_patience": 0, "num_evals": 12},
    "adapter": {"model.adapter": "lora", "optimizer.name": "adamw"},
}


class StoreWithoutTest(ImageStore):
    """The images of a store, of which those of the test split cannot be read."""

    def image(self, index: int) -> np.ndarray:
        assert not self.is_test[index], f"image {index} of the test split was read"
        return super().image(index)


def deterministic(rows: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in MACHINE_METRICS} for row in rows]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_untested_trial_is_the_tested_one_to_the_bit_and_reads_no_test_image(
    small: FineTuneConfig, digits: ImageStore, train: Callable, variant: str
) -> None:
    config = small.with_values(VARIANTS[variant])
    tested, tested_seen = train(config)
    untested, seen = train(config.with_values({"test": False}), store=StoreWithoutTest(digits.folder))
    assert deterministic(seen.rows) == deterministic(tested_seen.rows)
    for name, tensor in tested.model.state_dict().items():
        assert torch.equal(tensor, untested.model.state_dict()[name]), name
    for name, column in vars(tested.evaluations["val"].predictions).items():
        assert np.array_equal(vars(untested.evaluations["val"].predictions)[name], column), name
    assert np.array_equal(untested.evaluations["val"].logits, tested.evaluations["val"].logits)
    without_test = {name: value for name, value in tested.metrics.items() if not name.startswith("test_")}
    assert deterministic([untested.metrics]) == deterministic([without_test])


def test_an_untested_trial_has_results_of_the_validation_split_alone(small: FineTuneConfig, train: Callable) -> None:
    result, _ = train(small.with_values({"test": False, "steps": 2}))
    assert result.evaluations.keys() == {"val"}
    measured = {name for name, metric in METRICS.items() if metric.of_predictions is None}
    assert result.metrics.keys() == measured | {f"selected_val_{name}" for name in METRICS.keys() - measured}
    with pytest.raises(KeyError, match="test"):
        _ = result.predictions


def test_the_store_without_test_images_fails_a_tested_trial(
    small: FineTuneConfig, digits: ImageStore, train: Callable
) -> None:
    with pytest.raises(AssertionError, match="of the test split was read"):
        train(small.with_values({"steps": 1}), store=StoreWithoutTest(digits.folder))
