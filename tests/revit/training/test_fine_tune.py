import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from timm.data.mixup import mixup_target
from timm.loss import SoftTargetCrossEntropy
from torch import nn

from revit.budget import evenly_spaced_steps
from revit.config import FineTuneConfig
from revit.datasets.batches import eval_batches, train_batch
from revit.datasets.image_store import ImageStore
from revit.errors import DivergedError
from revit.models.build import build_model
from revit.models.introspection import pos_embed_correlation
from revit.models.normalization import NORMALIZATIONS
from revit.models.weights import find_weights
from revit.training.evaluation import evaluate
from revit.training.fine_tune import TrialData, fine_tune, train_step
from revit.training.metrics import METRICS, Array, Metric, Predictions
from revit.training.optimizers import build_optimizer
from revit.training.train_state import Row, TrainState

CPU = torch.device("cpu")
MACHINE_METRICS = {"train_time_s", "train_images_per_s", "eval_images_per_s", "peak_memory_bytes"}


def test_it_overfits_32_images(digits: ImageStore, train: Callable) -> None:
    config = FineTuneConfig(
        dataset="digits", resolution=28, train_crop="none", hflip=False, batch_size=32, steps=60,
        val_fraction=0.0, selection="last",
    ).with_values({"optimizer.name": "adam", "optimizer.lr": 3e-3})  # fmt: skip
    indices = np.flatnonzero(~digits.is_test)[:32]
    data = TrialData.from_store(config, digits, find_weights(config.model))
    splits = replace_splits(data, train=indices, test=indices)
    result = fine_tune(config, splits, lambda rows, state: None, device=CPU)
    assert result.metrics["test_accuracy"] == 1.0


def replace_splits(data: TrialData, **parts: np.ndarray) -> TrialData:
    return replace(data, splits=data.splits._replace(**parts))


def deterministic(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "images_per_s"} for row in rows]


def test_the_same_seed_gives_the_same_bits(small: FineTuneConfig, train: Callable) -> None:
    config = small.with_values({"model.dropout": 0.2})
    (one, one_seen), (two, two_seen) = train(config), train(config)
    assert deterministic(one_seen.rows) == deterministic(two_seen.rows)
    assert (one.predictions.confidence == two.predictions.confidence).all()
    _, other_seen = train(config.with_values({"seed": 1}))
    assert deterministic(other_seen.rows) != deterministic(one_seen.rows)


REGULARIZED: dict[str, object] = {
    "mixup": 0.4, "cutmix": 1.0, "augmentation": "randaugment", "random_erasing": 0.5, "label_smoothing": 0.1,
    "loss": "binary_cross_entropy", "ema_decay": 0.8, "model.dropout": 0.2, "hflip": True, "optimizer.lr": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("variant", ["sgd", "adam", "plateau", "best_val", "regularized", "probed"])
def test_a_resumed_trial_gives_the_same_bits_as_an_uninterrupted_one(
    small: FineTuneConfig, train: Callable, tmp_path: Path, make_listener: Callable, variant: str
) -> None:
    values = {
        "sgd": {"model.dropout": 0.2},
        "adam": {"optimizer.name": "adam", "optimizer.lr": 1e-3},
        "plateau": {"schedule.name": "plateau", "schedule.plateau_patience": 0, "num_evals": 12},
        "best_val": {"selection": "best_val", "optimizer.lr": 0.5, "num_evals": 6},
        "regularized": {**REGULARIZED, "selection": "best_val", "num_evals": 6},
        "probed": {"model.head_init": "probed", "model.dropout": 0.2, "data_fraction": 0.2},
    }[variant]
    config = small.with_values(values)
    whole, whole_seen = train(config)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(InterruptedError):
        train(config, make_listener(save_at=8, path=path, stop=True))
    rest, rest_seen = train(config, resume=path)
    assert deterministic(rest_seen.rows) == deterministic(whole_seen.rows), "earlier rows are reported again"
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, rest.model.state_dict()[name]), name
    assert (whole.predictions.confidence == rest.predictions.confidence).all()
    assert deterministic_metrics(rest.metrics) == deterministic_metrics(whole.metrics)


def deterministic_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Return metrics without those that depend on the machine."""
    return {name: value for name, value in metrics.items() if name not in MACHINE_METRICS}


def test_the_number_of_threads_does_not_change_the_bits(small: FineTuneConfig, digits: ImageStore) -> None:
    config = small.with_values(REGULARIZED)
    data = TrialData.from_store(config, digits, find_weights(config.model))
    one, three = (
        fine_tune(config, replace(data, num_threads=count), lambda rows, state: None, device=CPU) for count in (1, 3)
    )
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, three.model.state_dict()[name]), name


def test_a_checkpoint_is_written_atomically(
    small: FineTuneConfig, train: Callable, tmp_path: Path, make_listener: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn_save(record: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", torn_save)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(OSError, match="disk full"):
        train(small, make_listener(save_at=8, path=path))
    assert not path.exists()


def first_step(config: FineTuneConfig, store: ImageStore) -> tuple[dict[str, torch.Tensor], float, float]:
    """Return weights, loss, gradient norm after one step without dropout."""
    data = TrialData.from_store(config, store, find_weights(config.model))
    model = build_model(config, 10, find_weights(config.model))
    optimizer = build_optimizer(model, config.optimizer)
    batch = train_batch(config, store, data.splits.train, 0)
    loss, norm = train_step(model, optimizer, batch, config.optimizer.lr, config, CPU)
    return model.state_dict(), loss.item(), norm.item()


CUT_AND_ERASED = {"cutmix": 1.0, "random_erasing": 0.5, "label_smoothing": 0.1, "augmentation": "trivialaugment"}


@pytest.mark.parametrize("values", [{}, {"mixup": 0.4}, {**CUT_AND_ERASED, "loss": "binary_cross_entropy"}], ids=str)
@pytest.mark.parametrize("micro_batch", [16, 24, 1])
def test_micro_batches_accumulate_to_the_batch(digits: ImageStore, micro_batch: int, values: dict[str, object]) -> None:
    config = FineTuneConfig(dataset="digits", batch_size=64, steps=1).with_values(
        {"model.head_init": "normal", **values}
    )
    whole, loss, norm = first_step(config, digits)
    parts, part_loss, part_norm = first_step(config.with_values({"micro_batch": micro_batch}), digits)
    assert part_loss == pytest.approx(loss, abs=1e-5)
    assert part_norm == pytest.approx(norm, abs=1e-5)
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=1e-5, rtol=1e-5)


def test_a_step_is_what_plain_pytorch_computes(digits: ImageStore) -> None:
    """The oracle: torch's own loss, clipping and SGD, written out for one batch."""
    config = FineTuneConfig(dataset="digits", batch_size=32, steps=1).with_values(
        {"model.head_init": "normal", "optimizer.max_grad_norm": 0.1, "optimizer.lr": 0.5}
    )
    ours, loss, norm = first_step(config, digits)
    data = TrialData.from_store(config, digits, find_weights(config.model))
    model = build_model(config, 10, find_weights(config.model)).train()
    batch = train_batch(config, digits, data.splits.train, 0)
    images = (batch.images.float() / 127.5 - 1).expand(-1, 3, -1, -1)
    expected_loss = nn.functional.cross_entropy(model(images), batch.labels)
    expected_loss.backward()
    gradients = [p.grad for p in model.parameters()]
    expected_norm = math.sqrt(sum(float(g.pow(2).sum()) for g in gradients))
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.5 * p.grad * min(1, 0.1 / expected_norm)
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    assert norm == pytest.approx(expected_norm, rel=1e-5)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=1e-5)


def test_mixup_is_the_cross_entropy_of_mixed_images_with_mixed_labels(digits: ImageStore) -> None:
    config = FineTuneConfig(dataset="digits", batch_size=32, steps=1, mixup=0.4).with_values(
        {"model.head_init": "normal"}
    )
    _, loss, _ = first_step(config, digits)
    model = build_model(config, 10, find_weights(config.model)).train()
    batch = train_batch(config, digits, TrialData.from_store(config, digits, None).splits.train, 0)
    assert batch.mix is not None
    assert 0.01 < batch.mix.lam < 0.99, "the test needs such a case"
    images = (batch.images.float() / 127.5 - 1).expand(-1, 3, -1, -1)
    targets = nn.functional.one_hot(batch.labels, 10).float()
    lam, partner = batch.mix.lam, batch.mix.partner
    images, targets = (lam * each + (1 - lam) * each[partner] for each in (images, targets))
    assert loss == pytest.approx(nn.functional.cross_entropy(model(images), targets).item(), rel=1e-5)


def test_a_cut_erased_smoothed_batch_has_the_loss_that_timm_computes(digits: ImageStore) -> None:
    """In timm's order: normalized, erased, mixed."""
    config = FineTuneConfig(dataset="digits", batch_size=32, steps=1).with_values(
        {"model.head_init": "normal", **CUT_AND_ERASED}
    )
    _, loss, _ = first_step(config, digits)
    model = build_model(config, 10, find_weights(config.model)).train()
    batch = train_batch(config, digits, TrialData.from_store(config, digits, None).splits.train, 0)
    assert batch.mix is not None and batch.mix.box is not None and batch.erased is not None
    images = (batch.images.float() / 127.5 - 1).repeat(1, 3, 1, 1)
    for image, (top, left, height, width) in zip(images, batch.erased.tolist(), strict=True):
        image[:, top : top + height, left : left + width] = 0
    top, left, height, width = batch.mix.box
    assert 0 < height * width < 28 * 28 and batch.erased.any(), "the test needs such a case"
    mixed, partner = images.clone(), batch.mix.partner
    mixed[..., top : top + height, left : left + width] = images[partner][..., top : top + height, left : left + width]
    own, other = (mixup_target(labels, 10, smoothing=0.1) for labels in (batch.labels, batch.labels[partner]))
    targets = batch.mix.lam * own + (1 - batch.mix.lam) * other
    assert loss == pytest.approx(SoftTargetCrossEntropy()(model(mixed), targets).item(), rel=1e-5)


def test_the_average_of_the_weights_is_validated_and_tested(
    small: FineTuneConfig, digits: ImageStore, train: Callable, make_listener: Callable
) -> None:
    """The oracle is the closed form: d^n w_0 + (1 - d) * sum of d^(n - k) w_k."""
    decay, num_steps = 0.7, 4
    config = small.with_values(
        {"ema_decay": decay, "steps": num_steps, "num_evals": num_steps, "optimizer.lr": 0.5, "model.pos_embed": "none"}
    )
    start = build_model(config, 10, find_weights(config.model)).state_dict()
    weights = [start]

    class Recorder(make_listener):
        def __call__(self, rows: list[Row], state: TrainState) -> None:
            super().__call__(rows, state)
            weights.append({name: tensor.clone() for name, tensor in state.model.state_dict().items()})

    result, seen = train(config, Recorder())
    assert len(weights) == num_steps + 1
    shares = [decay**num_steps, *((1 - decay) * decay ** (num_steps - k) for k in range(1, num_steps + 1))]
    for name, tensor in result.model.state_dict().items():
        average = sum(share * each[name].double() for share, each in zip(shares, weights, strict=True))
        torch.testing.assert_close(tensor, average.float())
        assert not name.startswith("pos_embed") or torch.equal(tensor, start[name]), "frozen"
    splits = digits.split(config.val_fraction, config.data_fraction, config.subset_seed)
    batches = eval_batches(digits, splits.val, config.resolution, 64)
    again = evaluate(result.model, batches, splits.val, NORMALIZATIONS["inception"], CPU).predictions
    assert seen.curve("val_loss")[-1][1] == pytest.approx(again.mean_loss, rel=1e-6)
    _, plain = train(config.with_values({"ema_decay": 0.0}))
    assert seen.curve("train_loss") == plain.curve("train_loss"), "the average trains nothing"
    assert seen.curve("val_loss") != plain.curve("val_loss")


def test_validation_and_test_use_plain_cross_entropy(small: FineTuneConfig, train: Callable) -> None:
    """At a learning rate at which the weights stay as they are."""
    still = small.with_values({"optimizer.lr": 1e-30, "model.head_init": "normal"})
    (plain, plain_seen), (other, other_seen) = (
        train(still.with_values(values))
        for values in ({}, {"loss": "binary_cross_entropy", "label_smoothing": 0.3, "cutmix": 1.0})
    )
    assert plain.metrics["test_loss"] == other.metrics["test_loss"]
    assert plain_seen.curve("val_loss") == other_seen.curve("val_loss")
    assert plain_seen.curve("train_loss")[0] != other_seen.curve("train_loss")[0]


def test_without_clipping_the_gradient_is_unchanged(digits: ImageStore) -> None:
    config = FineTuneConfig(dataset="digits", batch_size=32, steps=1).with_values({"model.head_init": "normal"})
    loose, *_ = first_step(config.with_values({"optimizer.max_grad_norm": None}), digits)
    tight, *_ = first_step(config.with_values({"optimizer.max_grad_norm": 1e-3}), digits)
    huge, *_ = first_step(config.with_values({"optimizer.max_grad_norm": 1e6}), digits)
    assert torch.equal(loose["head.weight"], huge["head.weight"])
    assert not torch.equal(loose["head.weight"], tight["head.weight"])


def test_the_reported_learning_rate_is_the_schedules(small: FineTuneConfig, train: Callable) -> None:
    config = small.with_values({"schedule.warmup": 4, "schedule.name": "linear"})
    _, seen = train(config)
    expected = [0.03 * (step + 1) / 4 if step < 4 else 0.03 * (1 - (step - 4) / 8) for step in range(12)]
    assert [value for _, value in seen.curve("lr")] == pytest.approx(expected)
    assert [step for step, _ in seen.curve("lr")] == list(range(1, 13))


def test_a_training_loss_that_is_not_finite_raises_diverged_error_with_its_step(
    small: FineTuneConfig, train: Callable
) -> None:
    config = small.with_values(
        {"optimizer.lr": 9e18, "optimizer.max_grad_norm": None, "steps": 300, "schedule.name": "constant"}
    )
    with pytest.raises(DivergedError) as raised:
        train(config)
    assert not math.isfinite(raised.value.loss)
    assert 2 <= raised.value.step <= 10
    assert f"step {raised.value.step}" in str(raised.value)


def test_validation_is_evenly_spaced_and_test_happens_once_at_the_end(small: FineTuneConfig, train: Callable) -> None:
    result, seen = train(small)
    assert [step for step, _ in seen.curve("val_accuracy")] == [4, 8, 12]
    assert not any(name.startswith("test") for row in seen.rows for name in row)
    right = result.predictions.label == result.predictions.prediction
    assert result.metrics["test_accuracy"] == pytest.approx(right.mean())
    assert len(result.predictions.label) == 359
    assert ((result.predictions.confidence >= 0.1) & (result.predictions.confidence <= 1)).all()


def test_without_validation_nothing_is_validated(small: FineTuneConfig, train: Callable) -> None:
    result, seen = train(small.with_values({"val_fraction": 0.0}))
    assert seen.curve("val_loss") == []
    assert result.evaluations.keys() == {"test"}
    assert "test_accuracy" in result.metrics
    assert not any(name.startswith("selected_val") for name in result.metrics)


def test_a_new_metric_is_a_result_of_every_trial(
    small: FineTuneConfig, train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metric of CONTRIBUTING.md, which needs its function and a line of METRICS."""

    def mean_confidence(predictions: Predictions, weights: Array) -> Array:
        return weights @ predictions.confidence / weights.sum(1)

    entry = Metric(title="mean confidence", unit="%", direction="maximize", of_predictions=mean_confidence)
    monkeypatch.setitem(METRICS, "mean_confidence", entry)
    result, _ = train(small)
    for split, name in (("test", "test_mean_confidence"), ("val", "selected_val_mean_confidence")):
        expected = result.evaluations[split].predictions.confidence.mean()
        assert result.metrics[name] == pytest.approx(expected, rel=1e-6)


def test_learned_position_embeddings_are_measured(small: FineTuneConfig, train: Callable) -> None:
    learned, _ = train(small)
    assert learned.metrics["pos_embed_correlation"] == pos_embed_correlation(learned.model)
    removed, _ = train(small.with_values({"model.pos_embed": "none"}))
    assert "pos_embed_correlation" not in removed.metrics


def test_costs_are_those_of_the_whole_trial(
    small: FineTuneConfig, train: Callable, tmp_path: Path, make_listener: Callable
) -> None:
    """The steps before the checkpoint of a resumed trial count, too."""
    path = tmp_path / "checkpoint.pt"
    before = make_listener(save_at=8, path=path, stop=True)
    with pytest.raises(InterruptedError):
        train(small, before)
    result, seen = train(small, resume=path)
    seconds = sum(small.batch_size / rate for _, rate in seen.curve("images_per_s"))
    assert result.metrics["train_time_s"] == pytest.approx(seconds)
    assert result.metrics["train_images_per_s"] == pytest.approx(12 * small.batch_size / seconds)
    assert result.metrics["num_trained"] == sum(p.numel() for p in result.model.parameters())
    assert 0 < result.metrics["peak_memory_bytes"] < 2**30


def test_the_test_curve_does_not_affect_the_result(small: FineTuneConfig, train: Callable) -> None:
    plain, without = train(small)
    marked, seen = train(small.with_values({"test_curve": True}))
    assert [step for step, _ in seen.curve("test_curve_accuracy")] == [4, 8, 12]
    assert seen.curve("test_curve_accuracy")[-1][1] == marked.metrics["test_accuracy"]
    assert seen.curve("test_curve_loss")[-1][1] == pytest.approx(marked.metrics["test_loss"])
    assert seen.curve("val_accuracy") == without.curve("val_accuracy")
    assert (plain.predictions.confidence == marked.predictions.confidence).all()
    _, alone = train(small.with_values({"test_curve": True, "val_fraction": 0.0}))
    assert len(alone.curve("test_curve_accuracy")) == 3
    assert alone.curve("val_accuracy") == []


def test_best_val_tests_the_best_weights(small: FineTuneConfig, digits: ImageStore, train: Callable) -> None:
    """With a learning rate that ruins the model late, the last weights are worse than the best."""
    values = {"steps": 30, "num_evals": 10, "schedule.name": "constant"}
    values |= {"optimizer.lr": 0.8, "optimizer.max_grad_norm": 5.0}
    for selection, choose in (("last", lambda curve: curve[-1]), ("best_val", max)):
        config = small.with_values({**values, "selection": selection})
        result, seen = train(config)
        accuracy = [value for _, value in seen.curve("val_accuracy")]
        assert accuracy[-1] < max(accuracy), "the test needs such a case"
        splits = digits.split(config.val_fraction, config.data_fraction, config.subset_seed)
        batches = eval_batches(digits, splits.val, config.resolution, 64)
        tested = evaluate(result.model, batches, splits.val, NORMALIZATIONS["inception"], CPU).predictions
        assert tested.accuracy == choose(accuracy) == result.metrics["selected_val_accuracy"]


@pytest.mark.parametrize(
    "values",
    [
        {"val_fraction": 0.0, "steps": 1},
        {"val_fraction": 0.0, "test_curve": True},
        {"schedule.name": "plateau"},
        {"selection": "best_val"},
    ],
    ids=["test", "test curve", "validation moves the schedule", "validation selects"],
)
def test_an_evaluation_loss_that_is_not_finite_raises_diverged_error(
    small: FineTuneConfig, train: Callable, make_listener: Callable, values: dict[str, object]
) -> None:
    """One step makes the weights useless before any training loss shows it. No row has the loss."""
    diverging = {"optimizer.lr": 9e18, "optimizer.max_grad_norm": None, "model.head_init": "normal", "num_evals": 12}
    listener = make_listener()
    with pytest.raises(DivergedError, match=r"the loss became nan at step 1$"):
        train(small.with_values({**diverging, **values}), listener)
    assert not any(math.isnan(value) for row in listener.rows for value in row.values())


@pytest.mark.parametrize(("steps", "count"), [(1, 5), (7, 3), (100, 20), (2500, 100)])
def test_steps_are_evenly_spaced_and_end_at_the_last_step(steps: int, count: int) -> None:
    chosen = sorted(evenly_spaced_steps(steps, count))
    assert chosen[-1] == steps
    assert len(chosen) == min(steps, count)
    gaps = np.diff([0, *chosen])
    assert gaps.max() - gaps.min() <= 1
