"""Studies that are trained in this process, without Ray, and recorded as a launch records them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.training.fine_tune import FineTuneResult, TrialData, fine_tune
from revit.training.prediction_file import write_predictions
from search_spaces.framework.space import SearchSpace
from study.execution.environment import describe
from study.execution.recorder import Recorder
from study.execution.trainable import write_model
from study.layout import ARTIFACTS, BUILT, CONFIG, LOCKS, MODEL, PREDICTIONS, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from study.trial import Trial

CPU = torch.device("cpu")
BASE = FineTuneConfig(dataset="digits", resolution=8, batch_size=64, steps=3, num_evals=1)
BASE = BASE.with_values({"optimizer.lr": 0.05})
SCRATCH = {"model.pretrained": False}
KINDS: dict[str, dict[str, object]] = {
    "ViT": {"resolution": 16},
    "best weights": {"selection": "best_val", "steps": 6, "num_evals": 3, "optimizer.lr": 1.0},
    "LoRA": {"model.adapter": "lora"},
    "DoRA, averaged weights": {"model.adapter": "dora", "ema_decay": 0.5},
    "IA3": {"model.adapter": "ia3"},
    "no position embedding": {"model.pos_embed": "none"},
    "no projection": {**SCRATCH, "model.attn_out_proj": False, "model.embed_std": 0.02},
    "BiT": {"model.name": "bit_nano"},
    "CNN of timm": {**SCRATCH, "model.name": "test_resnet.r160_in1k", "resolution": 32},
    "ViT of timm": {**SCRATCH, "model.name": "test_vit.r160_in1k", "resolution": 32},
    "function": {**SCRATCH, "model.name": "models_of_a_user:plain", "normalization": "cifar10"},
}
"""Changes of a config, for each way in which a model is built or its weights are tested."""
MODULE = """
import timm

def plain(num_classes, resolution):
    return timm.create_model("test_byobnet", num_classes=num_classes)
"""
"""The module `models_of_a_user`."""


class TrainedKinds(NamedTuple):
    """Trials of every kind, the ledger that has them, the models that were tested."""

    trials: Mapping[str, Trial]
    ledger: Ledger
    tested: Mapping[str, nn.Module]


def train_kinds(folders: Folders) -> TrainedKinds:
    """Train a trial of every kind. The module `models_of_a_user` must be on the path."""
    tested: dict[str, nn.Module] = {}
    plan, ledger = train_study(
        space_of(KINDS), folders, lambda trial, result: tested.update({_kind_of(trial): result.model.eval()})
    )
    return TrainedKinds({_kind_of(trial): trial for trial in plan.trials}, ledger, tested)


def _kind_of(trial: Trial) -> str:
    return str(trial.candidate.cell["kind"])


def space_of(kinds: Mapping[str, Mapping[str, object]], seeds: tuple[int, ...] = (0,)) -> SearchSpace:
    """Return a study of these kinds, a cell each."""
    return SearchSpace(name="kinds", question="?", base=BASE, scientific={"kind": kinds}, seeds=seeds)


def train_study(
    space: SearchSpace, folders: Folders, see: Callable[[Trial, FineTuneResult], None] = lambda *_: None
) -> tuple[Plan, Ledger]:
    """Train the trials of a space in a new store; return its plan with their records.

    Args:
        see: called with each trial and its result, the tested model among it.
    """
    ledger = Ledger(folders.store)
    plan = make_plan(space, space.seeds, folders, {})
    recorder = Recorder(
        ledger,
        launches={space.name: ledger.launches.open(space.name, space.tags)},
        trials={trial.identity: trial for trial in plan.to_run},
        locks=Locks(folders.store / LOCKS),
        log=print,
    )
    for trial in plan.to_run:
        see(trial, _train(trial, recorder, folders.store / WORK / trial.identity / ARTIFACTS))
    recorder.close(interrupted=False)
    return plan.with_records(ledger.trials()), ledger


def _train(trial: Trial, recorder: Recorder, artifacts: Path) -> FineTuneResult:
    assert trial.images is not None, "a plan to run has its images"
    config = trial.candidate.config
    artifacts.mkdir(parents=True)
    recorder.start_trial(trial.identity)
    environment = describe(CPU, num_threads=1, compiled=False, num_workers=1)
    recorder.add_tags(trial.identity, environment)
    result = fine_tune(
        config,
        TrialData.from_store(config, ImageStore(trial.images), trial.weights),
        lambda rows, state: recorder.add_rows(trial.identity, rows),
        device=CPU,
        on_built=partial(_write_json, artifacts / BUILT),
    )
    _write_json(artifacts / CONFIG, asdict(config))
    write_predictions(artifacts / PREDICTIONS, result.evaluations)
    if trial.keep_model:
        write_model(artifacts / MODEL, result.model)
    recorder.add_rows(trial.identity, [{**result.metrics, "step": trial.num_steps}])
    recorder.end_trial(trial.identity, TrialState.FINISHED)
    return result


def _write_json(path: Path, record: Any) -> None:
    path.write_text(json.dumps(record))
