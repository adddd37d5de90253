"""A study with a sequential design on a ledger whose trials end as a function says: no training, no Ray."""

from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from search_spaces.framework.claims import BetterThan
from search_spaces.framework.space import SearchSpace
from study.execution.recorder import RunResult
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial
from tests.study.made_plans import BASE, Result, record_of

LOW, MIDDLE, HIGH = 0.1, 0.2, 0.3


def better(one: float, other: float) -> BetterThan:
    return BetterThan(better={"optimizer.lr": one}, worse={"optimizer.lr": other}, quote="")


SPACE = SearchSpace(
    name="example",
    question="?",
    scientific={"optimizer.lr": (LOW, MIDDLE, HIGH)},
    seeds=(0, 1, 2),
    base=BASE,
    claims=(better(HIGH, LOW), better(MIDDLE, LOW)),
)
CLEAR = {LOW: 0.5, MIDDLE: 0.5, HIGH: 0.65}
"""Accuracies by which the first claim is decided soon, and the second never."""


def accuracy_of(trial: Trial) -> float:
    """Return an accuracy that differs between seeds, in each cell differently."""
    config = trial.candidate.config
    rng = np.random.default_rng([config.seed, round(100 * config.optimizer.lr)])
    return CLEAR[config.optimizer.lr] + 0.01 * rng.standard_normal()


class MadeLedger:
    """Ledger whose trials have ended with made-up results.

    Attributes:
        rules: decision rule of each study, as its first launch has it.
        texts: registered record of each launch.
        launches_run: trials of each launch.
    """

    def __init__(self, result: Callable[[Trial], Result] = accuracy_of, num_slots: int = 1) -> None:
        self.records: dict[str, TrialRecord] = {}
        self.rules: dict[str, dict[str, str]] = {}
        self.launches_run: list[list[Trial]] = []
        self.launches = SimpleNamespace(decision_rule=lambda tags: ("launch", self.rules.get(tags["study"], {})))
        self.registrations = SimpleNamespace(text_of=lambda launch: self.texts.get(launch, ""))
        self.texts: dict[str, str] = {}
        self.artifacts = SimpleNamespace(read_predictions=None, read_correct=self._read_correct)
        self._result, self._num_slots = result, num_slots

    def trials(self) -> dict[str, TrialRecord]:
        return dict(self.records)

    def retry(self, call: Callable[[], Any], log: object = None) -> Any:
        return call()

    def run(self, plans: Sequence[Plan], *_: object, **__: object) -> RunResult:
        """End each trial that is to be run, as `run_plans` does."""
        trials = [trial for plan in plans for trial in plan.to_run]
        self.launches_run.append(trials)
        for plan in plans:
            if plan.design is not None:
                self.rules.setdefault(plan.space.name, plan.design.to_text())
        self.records |= {trial.identity: record_of(trial, self._result(trial)) for trial in trials}
        states = {trial.identity: self.records[trial.identity].state for trial in trials}
        messages = {name: "broken" for name, state in states.items() if state == TrialState.FAILED}
        return RunResult(states=states, messages=messages, interrupted=False, stop_reason="", num_slots=self._num_slots)

    def _read_correct(self, run_ids: Collection[str], split: str) -> dict[str, np.ndarray]:
        by_run_id = {each.run_id: each for each in self.records.values()}
        return {run_id: np.arange(359) < 359 * by_run_id[run_id].metrics["test_accuracy"] for run_id in run_ids}
