"""Worker processes of tests, which train one trial together over gloo, and what they do there."""

import multiprocessing as mp
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import distributed as dist

from revit.config import FineTuneConfig
from revit.datasets.batches import to_input, train_batch
from revit.datasets.image_store import ImageStore
from revit.models.build import build_model
from revit.models.weights import find_weights
from revit.training.fine_tune import FineTuneResult, TrialData, _seed_dropout, fine_tune, train_step
from revit.training.metrics import Predictions
from revit.training.optimizers import build_optimizer
from revit.training.train_state import Row, TrainState
from revit.training.worker_group import WorkerGroup

CPU = torch.device("cpu")
TIMEOUT_S = 800.0
"""Longest time of a call: a trial of a study takes a minute on a machine that does nothing else."""


class WorkerPool:
    """Processes that are given the same call, as the workers of a new group each time."""

    def __init__(self, size: int, folder: Path) -> None:
        context = mp.get_context("forkserver")
        context.set_forkserver_preload([__name__, "peft"])
        self._folder = folder
        self._num_calls = 0
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(size):
            own, its = context.Pipe()
            process = context.Process(target=_serve, args=(its,), daemon=True)
            process.start()
            its.close()
            self._pipes.append(own)
            self._processes.append(process)

    def __call__(self, num_workers: int, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Return what `function(group, *args)` returned or raised in each worker, by rank."""
        self._num_calls += 1
        rendezvous = f"file://{self._folder / str(self._num_calls)}"
        for rank, pipe in enumerate(self._pipes[:num_workers]):
            pipe.send((rendezvous, WorkerGroup(rank, num_workers), function, args))
        answers = []
        for pipe in self._pipes[:num_workers]:
            if not pipe.poll(TIMEOUT_S):
                self.kill()  # a late answer would be taken for that of the next call
                raise AssertionError("a worker waits for others that do not come")
            answers.append(_receive(pipe))
        return answers

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End all processes: what follows fails."""
        for process in self._processes:
            process.kill()
            process.join()


def _receive(pipe: Connection) -> Any:
    """Return an answer; None where the process has ended."""
    try:
        return pipe.recv()
    except EOFError:
        return None


def _serve(pipe: Connection) -> None:
    torch.set_num_threads(1)
    while True:
        rendezvous, group, function, args = pipe.recv()
        dist.init_process_group("gloo", init_method=rendezvous, rank=group.rank, world_size=group.size)
        try:
            answer = function(WorkerGroup.joined(), *args)
        except BaseException as error:
            traceback.print_exc()
            answer = error
        if dist.is_initialized():
            dist.destroy_process_group()
        pipe.send(answer)


@dataclass
class Step:
    """One training step: gradients after clipping, the loss of all workers, the norm before clipping, new weights."""

    gradients: dict[str, torch.Tensor]
    loss: float
    grad_norm: float
    weights: dict[str, torch.Tensor]


def first_step(group: WorkerGroup, config: FineTuneConfig, store: ImageStore) -> Step:
    data = TrialData.from_store(config, store, find_weights(config.model))
    model = build_model(config, 10, data.weights).train()
    optimizer = build_optimizer(model, config.optimizer)
    batch = train_batch(config, store, data.splits.train, 0, group)
    _seed_dropout(config.seed, 0, CPU)
    loss, norm = train_step(
        model, optimizer, batch, config.optimizer.lr, config, CPU, group, shares_dropout=group.size > 1
    )
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    return Step(gradients, sum(group.exchange(loss.item())), norm.item(), model.state_dict())


@dataclass
class Trial:
    """Result of a trial, without the model, and what worker 0 reported."""

    metrics: dict[str, float]
    predictions: Predictions
    weights: dict[str, torch.Tensor]
    rows: list[Row]
    num_reports: int


def trial(
    group: WorkerGroup,
    config: FineTuneConfig,
    store: ImageStore,
    save_at: int | None = None,
    path: Path | None = None,
    resume: Path | None = None,
) -> Trial:
    """Train a trial; stop it by an InterruptedError once it is saved after a step."""
    rows: list[Row] = []
    num_reports = 0

    def report(new: list[Row], state: TrainState) -> None:
        nonlocal num_reports
        num_reports += 1
        rows.extend(new)
        if state.step == save_at:
            assert path is not None
            state.save(path)
            raise InterruptedError(group.rank)

    data = TrialData.from_store(config, store, find_weights(config.model))
    result = fine_tune(config, data, report, device=CPU, resume=resume, group=group)
    return _trial(result, rows, num_reports)


def trial_in_float64(group: WorkerGroup, config: FineTuneConfig, store: ImageStore, scale: float = 1.0) -> Trial:
    """Train a trial with numbers of 64 bits from the images on: what float32 rounds away is computed.

    Args:
        scale: factor of all pixels.
    """

    def to_float64(*args: Any) -> torch.Tensor:
        return to_input(*args).double() * scale

    before = torch.get_default_dtype()
    with (
        patch("torch.Tensor.float", torch.Tensor.double),
        patch("revit.datasets.batches.to_input", to_float64),
        patch("revit.training.evaluation.to_input", to_float64),
        patch("revit.training.head_probe.to_input", to_float64),
    ):
        torch.set_default_dtype(torch.float64)
        try:
            found = trial(group, config, store)
        finally:
            torch.set_default_dtype(before)
    assert {each.dtype for each in found.weights.values() if each.is_floating_point()} == {torch.float64}
    return found


def _trial(result: FineTuneResult, rows: list[Row], num_reports: int) -> Trial:
    return Trial(result.metrics, result.predictions, result.model.state_dict(), rows, num_reports)
