"""Training of one trial: one config, one seed, one device."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from revit.budget import compile_budget, count_images, evenly_spaced_steps
from revit.config import FineTuneConfig
from revit.datasets.batch_parts import evaluated_part, split_batch
from revit.datasets.batches import Batch, eval_batches, train_batches, train_input
from revit.datasets.image_store import ImageStore
from revit.datasets.splits import Splits
from revit.errors import DivergedError
from revit.models.adapters import merge_adapters
from revit.models.batch_coupling import check_is_splittable
from revit.models.build import build_model
from revit.models.introspection import pos_embed_correlation
from revit.models.normalization import normalization_of
from revit.models.shared_dropout import SharedDropout
from revit.random_streams import Stream, draw_torch_seed
from revit.training.batch_loss import summed_loss
from revit.training.built import built_digest, describe_build, state_digest
from revit.training.device import autocast, compile_network, to_device
from revit.training.evaluation import concatenate, evaluate
from revit.training.head_probe import probe_heads
from revit.training.meter import Meter
from revit.training.metrics import Predictions, name_split, values_by_name
from revit.training.optimizers import build_optimizer
from revit.training.peak_memory import measure_peak_memory
from revit.training.prediction_file import Evaluation
from revit.training.preparation import Prepared
from revit.training.schedules import Schedule
from revit.training.train_state import Row, TrainState
from revit.training.worker_group import ALONE, WorkerGroup

NUM_ROWS = 100
"""Maximum number of points of the training curve."""
NUM_REPORTS = 20
"""Number of reports per trial; each synchronizes with the device."""


@dataclass(frozen=True)
class TrialData:
    """Inputs of one trial.

    Attributes:
        store: images of its dataset.
        splits: indices of its training, validation and test images.
        weights: file or folder of pretrained weights; None for random initialization.
        num_threads: CPU threads that prepare batches; changes only the time.
        test_sets: images of further test sets by label, with the indices of their test images.
    """

    store: ImageStore
    splits: Splits
    weights: Path | None
    num_threads: int = 1
    test_sets: Mapping[str, tuple[ImageStore, npt.NDArray[np.int64]]] = field(default_factory=dict)

    def with_one_eval_batch(self, size: int) -> "TrialData":
        """Return the data with only the first images of the validation split and of every test set."""
        first = self.splits._replace(val=self.splits.val[:size], test=self.splits.test[:size])
        test_sets = {label: (store, indices[:size]) for label, (store, indices) in self.test_sets.items()}
        return replace(self, splits=first, test_sets=test_sets)

    @classmethod
    def from_store(
        cls,
        config: FineTuneConfig,
        store: ImageStore,
        weights: Path | None,
        num_threads: int = 1,
        test_sets: Mapping[str, ImageStore] | None = None,
    ) -> "TrialData":
        """Split a dataset as the config says. Raises InputError if that leaves a class empty.

        Args:
            test_sets: images of the config's further test sets, by label.
        """
        splits = store.split(config.val_fraction, config.data_fraction, config.subset_seed)
        further = {label: (each, np.flatnonzero(each.is_test)) for label, each in (test_sets or {}).items()}
        return cls(store, splits, weights, num_threads, further)


class FineTuneResult(NamedTuple):
    """Result of a finished trial.

    Attributes:
        metrics: every metric of METRICS: of the test split `test_NAME`, of the validation split `selected_val_NAME`,
            of a further test set `SET/test_NAME`; those that are measured while training by their own names.
        evaluations: of the tested weights, by split: on "test" unless the config leaves it out, where there are
            validation images, on "val", and on "NAME/test" for each further test set.
        model: the model with the tested weights.
    """

    metrics: dict[str, float]
    evaluations: dict[str, Evaluation]
    model: nn.Module

    @property
    def predictions(self) -> Predictions:
        """Predictions on the test split. Raises KeyError for a trial that was not tested."""
        return self.evaluations["test"].predictions


ReportCallback = Callable[[list[Row], TrainState], None]
"""Called with the rows since the last call and the state, which may be saved before returning."""


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
    group: WorkerGroup = ALONE,
    prepared: Prepared | None = None,
) -> FineTuneResult:
    """Train for the compiled number of optimizer steps, then test once, unless `config.test` is False.

    The same config and data give the same bits on a CPU with the same number of threads, whether or not the trial
    was interrupted and resumed.

    Args:
        report: called about NUM_REPORTS times, and at every validation.
        resume: checkpoint that `TrainState.save` wrote for the same config; its rows are reported again.
        compile_model: train with torch.compile. The numbers differ by rounding, so it is not part of the trial's
            identity. Evaluation uses the model without compilation.
        on_built: called before the first step with a description of the objects that train (see built.py).
        should_report_now: polled at each curve point; True reports at once.
        group: workers that train this trial together; each calls this function. Worker 0 alone calls `report`,
            `on_built` and `should_report_now`.
        prepared: what `prepare` made of the same config and data, while another trial trained. It is used up.

    Raises:
        DivergedError: a training, validation or test loss was not finite.
        InputError: model or weights cannot be used.
    """
    with group.sharing_errors():
        peak_memory = measure_peak_memory(device)
        budget = compile_budget(config, len(data.splits.train), data.splits.num_all)
        num_classes = len(data.store.manifest.class_names)
        model = build_model(config, num_classes, data.weights) if prepared is None else prepared.model
        model = to_device(model, device)
        if group.size > 1:
            check_is_splittable(model, config)
        if config.model.head_init == "probed":
            probe_heads(model, config, data, device, group)
        optimizer = build_optimizer(model, config.optimizer)
        schedule = Schedule(config.schedule, config.optimizer.lr, budget)
        average = ModelEmaV3(model, config.ema_decay) if config.ema_decay else None
        state = TrainState(model, optimizer, schedule, average)
        built = describe_build(config, data.splits, data.store, state)
        group.require_equal("what they train", built_digest(built))
        if group.is_first:
            on_built(built)
        if resume is not None:
            state.load(resume)
            group.require_equal("their checkpoints", state_digest(state) if group.size > 1 else "")
            if group.is_first:
                report(state.rows, state)

        validate_at = set(budget.eval_steps)
        report_at = evenly_spaced_steps(budget.num_steps, NUM_REPORTS) | validate_at
        row_at = evenly_spaced_steps(budget.num_steps, NUM_ROWS) | report_at
        num_reported = len(state.rows)
        meter = Meter(state.train_time_s, group)
        model.train()
        network = compile_network(model) if compile_model else model
        shares_dropout = group.size > 1 and bool(built["model"]["dropout"])
        steps, pin = range(state.step, budget.num_steps), device.type == "cuda"
        if prepared is not None and resume is None:
            batches = prepared.batches
        else:
            batches = train_batches(
                config, data.store, data.splits.train, steps, data.num_threads, pin=pin, group=group
            )
        for batch in batches:
            lr = schedule.lr(state.step)
            _seed_dropout(config.seed, state.step, device)
            loss, grad_norm = train_step(
                network, optimizer, batch, lr, config, device, group, shares_dropout=shares_dropout
            )
            state.finish_step()
            meter.add(loss, grad_norm, lr, batch.num_images)
            if state.step in row_at:
                state.rows.append(meter.close_row(state.step))
                state.train_time_s = meter.train_time_s
            if state.step in validate_at:
                state.rows[-1] |= _validate(config, data, state, device, group)
            if state.step in report_at or (state.step in row_at and group.ask_first(should_report_now)):
                if group.is_first:
                    report(state.rows[num_reported:], state)
                num_reported = len(state.rows)
                meter.restart_clock()

        if config.selection == "best_val" and state.best_model is not None:
            state.tested_model.load_state_dict(state.best_model)
        merge_adapters(state.tested_model)
        started_s = time.perf_counter()
        evaluations = _evaluate_tested_weights(config, data, state, device, group)
        eval_time_s = time.perf_counter() - started_s
        num_images = count_images(len(data.splits.train), config.batch_size, budget.num_steps)
        costs = {
            "num_trained": built["model"]["num_trainable"],
            "train_time_s": state.train_time_s,
            "train_images_per_s": num_images / state.train_time_s,
            "eval_images_per_s": sum(len(each.predictions.label) for each in evaluations.values()) / eval_time_s,
            **_largest(group.exchange(peak_memory())),
        }
        correlation = pos_embed_correlation(state.tested_model)
        found = {} if correlation is None else {"pos_embed_correlation": correlation}
    metrics = values_by_name({split: each.predictions for split, each in evaluations.items()})
    return FineTuneResult({**metrics, **costs, **found}, evaluations, state.tested_model)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    lr: float,
    config: FineTuneConfig,
    device: torch.device,
    group: WorkerGroup = ALONE,
    *,
    shares_dropout: bool = False,
) -> tuple[Tensor, Tensor]:
    """Take one optimizer step: accumulate the gradients of micro-batches, sum them over workers, clip, update weights.

    Does not synchronize with a GPU, unless an optimizer of timm or the user does.

    Args:
        lr: learning rate, before the factor `lr_scale` of a parameter group.
        shares_dropout: the workers have a model that drops.

    Returns:
        This worker's share of the mean loss in nats, and the global gradient norm before clipping: scalars on the
        device. The shares of all workers add up to the mean loss.
    """
    for options in optimizer.param_groups:
        options["lr"] = lr * options.get("lr_scale", 1.0)
    batch = batch.to(device)
    normalization = normalization_of(config)
    total = torch.zeros((), device=device)
    optimizer.zero_grad(set_to_none=True)
    for part in split_batch(config, batch.num_images, group):
        with autocast(device), SharedDropout(part) if shares_dropout else nullcontext():
            logits = model(train_input(batch, part.rows, normalization)).float()
            loss = summed_loss(config, logits, batch.labels, part.rows, batch.mix) / batch.num_images
        loss = loss if part.counts else 0 * loss
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total += loss.detach()
    group.sum_gradients(model.parameters())
    limit = math.inf if config.optimizer.max_grad_norm is None else config.optimizer.max_grad_norm
    grad_norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return total, grad_norm


def _largest(costs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the largest value over workers of each of their costs."""
    return {name: max(each[name] for each in costs) for name in costs[0]}


def _validate(
    config: FineTuneConfig, data: TrialData, state: TrainState, device: torch.device, group: WorkerGroup
) -> Row:
    """Evaluate on the validation split, if there is one, and with `test_curve` on the test split.

    The validation updates the plateau schedule and the best weights.
    """
    row: Row = {}
    if len(data.splits.val):
        val = _evaluate(config, data, data.store, data.splits.val, state, device, group).predictions
        state.schedule.update_plateau(val.mean_loss)
        if val.accuracy > state.best_val_accuracy:
            state.best_val_accuracy = val.accuracy
            if config.selection == "best_val":
                weights = state.tested_model.state_dict()
                state.best_model = {name: tensor.cpu().clone() for name, tensor in weights.items()}
        row |= {"val_loss": val.mean_loss, "val_accuracy": val.accuracy}
    if config.test_curve:
        test = _evaluate(config, data, data.store, data.splits.test, state, device, group).predictions
        row |= {"test_curve_loss": test.mean_loss, "test_curve_accuracy": test.accuracy}
    return row


def _evaluate_tested_weights(
    config: FineTuneConfig, data: TrialData, state: TrainState, device: torch.device, group: WorkerGroup
) -> dict[str, Evaluation]:
    own = {"test": data.splits.test, "val": data.splits.val} if config.test else {"val": data.splits.val}
    splits = {name: (data.store, indices) for name, indices in own.items() if len(indices)}
    splits |= {name_split(label): each for label, each in data.test_sets.items()}
    return {
        name: _evaluate(config, data, store, indices, state, device, group) for name, (store, indices) in splits.items()
    }


def _evaluate(
    config: FineTuneConfig,
    data: TrialData,
    store: ImageStore,
    indices: npt.NDArray[np.int64],
    state: TrainState,
    device: torch.device,
    group: WorkerGroup,
) -> Evaluation:
    """Evaluate on a split. Raises DivergedError if the loss is not finite."""
    size = config.micro_batch or config.batch_size
    own, pin = evaluated_part(indices, size, group), device.type == "cuda"
    evaluation = None
    if len(own):
        batches = eval_batches(store, own, config.resolution, size, data.num_threads, pin=pin)
        evaluation = evaluate(state.tested_model, batches, own, normalization_of(config), device)
    parts = [each for each in group.exchange(evaluation) if each is not None]
    evaluation = concatenate(parts)
    if not math.isfinite(evaluation.predictions.mean_loss):
        raise DivergedError(state.step, evaluation.predictions.mean_loss)
    return evaluation


def _seed_dropout(seed: int, step: int, device: torch.device) -> None:
    """Seed the default generators; `torch.manual_seed` takes a hundred times as long, as it seeds every backend."""
    drawn = draw_torch_seed(seed, Stream.DROPOUT, step)
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(drawn)
