"""Train one config, with one seed, on one device; report as it goes; test once at the end."""

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revit.config import FineTuneConfig, steps_per_epoch
from revit.datasets.augmentations import DROPOUT_STREAM
from revit.datasets.batches import Batch, eval_batches, to_input, train_batches
from revit.datasets.image_store import ImageStore
from revit.datasets.splits import Splits
from revit.errors import DivergedError
from revit.models.build import build_model
from revit.models.normalization import Normalization, normalization_of
from revit.training.built import describe
from revit.training.device import autocast, compile_network, to_device
from revit.training.optimizers import Schedule, build_optimizer
from revit.training.train_state import Row, TrainState

NUM_ROWS = 100
"""Points of the training curve that a trial reports, fewer where it has fewer steps."""
NUM_REPORTS = 20
"""Times that these points are handed over, each a moment at which the device is waited for."""


@dataclass(frozen=True)
class TrialData:
    """What one trial starts from.

    Attributes:
        store: its dataset's images.
        splits: which of them serve for what.
        weights: file or folder of pretrained weights, None to start from scratch.
        num_threads: CPU threads that prepare its batches; changes nothing but the time.
    """

    store: ImageStore
    splits: Splits
    weights: Path | None
    num_threads: int = 1

    @classmethod
    def from_store(
        cls, config: FineTuneConfig, store: ImageStore, weights: Path | None, num_threads: int = 1
    ) -> "TrialData":
        """The trial's own part of its dataset. Raises InputError where that leaves a class empty."""
        splits = store.split(config.val_fraction, config.data_fraction, config.subset_seed)
        return cls(store, splits, weights, num_threads)


@dataclass(frozen=True)
class Predictions:
    """Answers on a split, one per image, each (n,).

    Attributes:
        index: position in the image store.
        label: right class.
        prediction: class answered.
        confidence: probability given to the answer, 0 to 1.
        loss: cross-entropy in nats.
    """

    index: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    loss: npt.NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return float(np.mean(self.label == self.prediction))

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(np.mean(self.loss, dtype=np.float64))


class FineTuneResult(NamedTuple):
    """What a trial that reached its last step leaves.

    Attributes:
        metrics: `test_accuracy` and `test_loss`; `selected_val_accuracy`, of the tested weights;
            `train_time_s`, seconds of training steps since the last resume.
        predictions: on the test split.
        model: the tested model.
    """

    metrics: dict[str, float]
    predictions: Predictions
    model: nn.Module


ReportCallback = Callable[[list[Row], TrainState], None]
"""Called with the rows since the last call; the state may be saved before returning."""


def fine_tune(
    config: FineTuneConfig,
    data: TrialData,
    report: ReportCallback,
    *,
    device: torch.device,
    resume: Path | None = None,
    compile_model: bool = False,
    on_built: Callable[[dict[str, Any]], None] = lambda built: None,
    should_report_now: Callable[[], bool] = lambda: False,
) -> FineTuneResult:
    """Train for the compiled number of optimizer steps, then test once.

    The same config and data give the same bits on a CPU with the same number of threads, whether or
    not the trial was interrupted and resumed.

    Args:
        report: told about progress, about NUM_REPORTS times and at every validation.
        resume: a checkpoint that `TrainState.save` wrote for this very config; what was reported up to
            it is reported again.
        compile_model: train in kernels that torch.compile makes; no part of the trial, as its numbers differ by
            rounding only. What validates and tests is the model as it is.
        on_built: told, before the first step, what was really built (see built.py).
        should_report_now: polled at each curve point; True reports at once.

    Raises:
        DivergedError: a loss of training, validation or test was not finite.
        InputError: model or weights cannot be used.
    """
    num_train = len(data.splits.train)
    num_steps = config.num_steps(num_train, data.splits.num_all)
    model = to_device(build_model(config, len(data.store.manifest.class_names), data.weights), device)
    optimizer = build_optimizer(model, config.optimizer)
    epoch = steps_per_epoch(num_train, config.batch_size)
    schedule = Schedule(config.schedule, config.optimizer.lr, num_steps, epoch)
    on_built(describe(config, data.splits, data.store, model, optimizer, schedule))
    state = TrainState(model, optimizer, schedule)
    if resume is not None:
        state.load(resume)
        report(state.rows, state)

    validate_at = evenly_spaced_steps(num_steps, config.num_evals)
    report_at = evenly_spaced_steps(num_steps, NUM_REPORTS) | validate_at
    row_at = evenly_spaced_steps(num_steps, NUM_ROWS) | report_at
    num_reported = len(state.rows)
    meter = Meter()
    model.train()
    network = compile_network(model) if compile_model else model
    steps = range(state.step, num_steps)
    for batch in train_batches(config, data.store, data.splits.train, steps, data.num_threads, pin=_pins(device)):
        lr = schedule.lr(state.step)
        _seed_dropout(config.seed, state.step, device)
        loss, grad_norm = train_step(network, optimizer, batch, lr, config, device)
        state.step += 1
        meter.add(loss, grad_norm, lr, len(batch.labels))
        if state.step in row_at:
            state.rows.append(meter.close_row(state.step))
        if state.step in validate_at:
            state.rows[-1] |= _validate(config, data, state, device)
        if state.step in report_at or (state.step in row_at and should_report_now()):
            report(state.rows[num_reported:], state)
            num_reported = len(state.rows)
            meter.restart_clock()

    if config.selection == "best_val" and state.best_model is not None:
        model.load_state_dict(state.best_model)
    return _test(config, data, state, device, meter.trained_s)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    lr: float,
    config: FineTuneConfig,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """One optimizer step: accumulate micro-batches to the batch's gradient, clip it, move the weights.

    Nothing in it waits for a GPU.

    Returns:
        Mean loss in nats and global gradient norm before clipping, scalars left on the device.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    batch = batch.to(device)
    num_images = len(batch.labels)
    micro = config.micro_batch or num_images
    total = torch.zeros((), device=device)
    optimizer.zero_grad(set_to_none=True)
    for start in range(0, num_images, micro):
        with autocast(device):
            loss = _loss(model, batch, slice(start, start + micro), config, device) / num_images
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total += loss.detach()
    limit = math.inf if config.optimizer.max_grad_norm is None else config.optimizer.max_grad_norm
    grad_norm = nn.utils.clip_grad_norm_(trainable(model), limit)
    optimizer.step()
    return total, grad_norm


def _loss(model: nn.Module, batch: Batch, part: slice, config: FineTuneConfig, device: torch.device) -> Tensor:
    """Cross-entropy in nats, summed over a part of the batch; of a mixed image, that with both its labels."""
    normalization = normalization_of(config)
    images = to_input(batch.images[part], normalization, device)
    labels = batch.labels[part]
    if batch.mixup is None:
        return nn.functional.cross_entropy(model(images).float(), labels, reduction="sum")
    partner, lam = batch.mixup.partner[part], batch.mixup.lam
    others = to_input(batch.images[partner], normalization, device)
    logits = model(lam * images + (1 - lam) * others).float()
    of_own = nn.functional.cross_entropy(logits, labels, reduction="sum")
    of_other = nn.functional.cross_entropy(logits, batch.labels[partner], reduction="sum")
    return lam * of_own + (1 - lam) * of_other


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    indices: npt.NDArray[np.int64],
    normalization: Normalization,
    device: torch.device,
) -> Predictions:
    """Answers of the model, in evaluation mode, for the images of `indices`; leaves it in training mode."""
    model.eval()
    answers: list[Tensor] = []
    labels: list[Tensor] = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch.to(device)
            images = to_input(moved.images, normalization, device)
            log_probability = _logits(model, images, device).log_softmax(dim=1)
            confidence, prediction = log_probability.exp().max(dim=1)
            loss = -log_probability.gather(1, moved.labels[:, None])[:, 0]
            answers.append(torch.stack([prediction.float(), confidence, loss]))
            labels.append(batch.labels)
    model.train()
    prediction, confidence, loss = torch.cat(answers, dim=1).cpu().numpy()
    return Predictions(indices, torch.cat(labels).numpy(), prediction.astype(np.int64), confidence, loss)


def _logits(model: Any, images: Tensor, device: torch.device) -> Tensor:
    """Return logits (B, K), in float32 from the head on: bf16 would round those that are close to one number."""
    with autocast(device):
        features = model.forward_features(images)
    with torch.autocast(device.type, enabled=False):
        logits: Tensor = model.forward_head(features.float())
    return logits


def evenly_spaced_steps(num_steps: int, count: int) -> set[int]:
    """At most `count` evenly spaced steps of 1 to `num_steps`, the last always among them."""
    return {math.ceil(num_steps * i / count) for i in range(1, count + 1)}


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


class Meter:
    """Collects what steps measure, on the device, and closes it into rows.

    Attributes:
        trained_s: seconds spent in training steps, validations and reports excluded.
    """

    def __init__(self) -> None:
        self.trained_s = 0.0
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._lr = 0.0
        self._num_images = 0
        self._started = time.perf_counter()

    def add(self, loss: Tensor, grad_norm: Tensor, lr: float, num_images: int) -> None:
        """Note one step. Does not wait for the device."""
        self._losses.append(loss)
        self._norms.append(grad_norm)
        self._lr = lr
        self._num_images += num_images

    def close_row(self, step: int) -> Row:
        """Means over the steps since the last row; waits for the device.

        Raises:
            DivergedError: one of the losses is not finite.
        """
        losses = torch.stack(self._losses).tolist()
        for offset, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise DivergedError(step - len(losses) + 1 + offset, loss)
        norms = torch.stack(self._norms).tolist()
        seconds = time.perf_counter() - self._started
        self.trained_s += seconds
        row = {
            "step": step,
            "train_loss": sum(losses) / len(losses),
            "grad_norm": sum(norms) / len(norms),
            "lr": self._lr,
            "images_per_s": self._num_images / seconds,
        }
        self._losses, self._norms, self._num_images = [], [], 0
        self.restart_clock()
        return row

    def restart_clock(self) -> None:
        """What came before now is not training time."""
        self._started = time.perf_counter()


def _validate(config: FineTuneConfig, data: TrialData, state: TrainState, device: torch.device) -> Row:
    """Score the validation split, where there is one, and the test split, where its curve is wanted."""
    row: Row = {}
    if len(data.splits.val):
        answers = _answers(config, data, data.splits.val, state, device)
        _choose(config, state, answers)
        row |= {"val_loss": answers.mean_loss, "val_accuracy": answers.accuracy}
    if config.test_curve:
        answers = _answers(config, data, data.splits.test, state, device)
        row |= {"test_curve_loss": answers.mean_loss, "test_curve_accuracy": answers.accuracy}
    return row


def _choose(config: FineTuneConfig, state: TrainState, val: Predictions) -> None:
    """Let validation move the plateau schedule, and keep the best weights."""
    state.schedule.observe(val.mean_loss)
    if val.accuracy > state.best_val_accuracy:
        state.best_val_accuracy = val.accuracy
        if config.selection == "best_val":
            state.best_model = copy.deepcopy({name: tensor.cpu() for name, tensor in state.model.state_dict().items()})


def _test(
    config: FineTuneConfig, data: TrialData, state: TrainState, device: torch.device, train_time_s: float
) -> FineTuneResult:
    test = _answers(config, data, data.splits.test, state, device)
    metrics = {"test_accuracy": test.accuracy, "test_loss": test.mean_loss, "train_time_s": train_time_s}
    if len(data.splits.val):
        is_best = config.selection == "best_val"
        metrics["selected_val_accuracy"] = state.best_val_accuracy if is_best else state.rows[-1]["val_accuracy"]
    return FineTuneResult(metrics, test, state.model)


def _answers(
    config: FineTuneConfig, data: TrialData, indices: npt.NDArray[np.int64], state: TrainState, device: torch.device
) -> Predictions:
    """Return the model's answers for a split. Raises DivergedError where their loss is not finite."""
    micro = config.micro_batch or config.batch_size
    batches = eval_batches(data.store, indices, config.resolution, micro, data.num_threads, pin=_pins(device))
    answers = evaluate(state.model, batches, indices, normalization_of(config), device)
    if not math.isfinite(answers.mean_loss):
        raise DivergedError(state.step, answers.mean_loss)
    return answers


def _pins(device: torch.device) -> bool:
    """Whether batches for a device are to lie in pinned memory."""
    return device.type == "cuda"


def _seed_dropout(seed: int, step: int, device: torch.device) -> None:
    """As `torch.manual_seed`, which takes a hundred times as long: it also prepares for devices that are not used."""
    drawn = int(np.random.SeedSequence([seed, DROPOUT_STREAM, step]).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(drawn)
