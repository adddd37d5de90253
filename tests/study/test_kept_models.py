"""Models that a study keeps."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count, permutations
from pathlib import Path
from typing import Any

import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.execution.recorder import Recorder
from study.kept_models import best_trial, find_missing_models, settle_finished, settle_models
from study.layout import ARTIFACTS, LOCKS, MODEL, NEEDED_FILES, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import TrialRecord, is_model_kept
from study.ledger.schema import KEEP_PREFIX
from study.ledger.states import TrialState
from study.plan import Folders, Plan, first_of_each
from study.planning import make_plan
from tests.command_line import ROOT, call, write_study
from tests.study.made_plans import plan_of, record_of, space_of
from tests.study.object_store import ObjectStore
from tests.study.servers import Server

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5, val_fraction=0.1)


def one_cell(folders: Folders, *values: float | TrialState | None, metric: str = "accuracy") -> Plan:
    """A cell whose seeds have these values on validation images, and the better ones the worse test results."""
    plan = plan_of(
        folders, base=BASE, scientific={"optimizer.lr": (0.1,)}, seeds=tuple(range(len(values))), metric=metric
    )
    ended = [record_of(trial, value) for trial, value in zip(plan.trials, values, strict=True) if value is not None]
    return plan.with_records({each.identity: with_opposite_test(each) for each in ended})


def with_opposite_test(record: TrialRecord) -> TrialRecord:
    metrics = {name: -value if name.startswith("test_") else value for name, value in record.metrics.items()}
    return replace(record, metrics=metrics)


@pytest.mark.parametrize(
    ("values", "metric", "best"),
    [
        ((0.5, 0.7, 0.6), "accuracy", 1),
        ((0.5, 0.7, 0.6), "loss", 0),
        ((0.5, 0.7, 0.7), "accuracy", 1),  # of equal ones the lowest seed
        ((0.5, 0.5, 0.5), "loss", 0),
        ((0.5, TrialState.DIVERGED, 0.6, TrialState.FAILED, None), "accuracy", 2),
        ((TrialState.DIVERGED, None), "accuracy", None),
    ],
)
def test_the_best_seed_of_a_cell_has_the_best_value_on_validation_images(
    folders: Folders, values: tuple[float | TrialState | None, ...], metric: str, best: int | None
) -> None:
    trials = one_cell(folders, *values, metric=metric).trials
    for order in (trials, trials[::-1]):
        found = best_trial(order, metric)
        assert (found and found.candidate.config.seed) == best


def test_no_seed_is_the_best_while_one_lacks_the_value(folders: Folders) -> None:
    plan = one_cell(folders, 0.5, 0.7)
    first = plan.trials[0].record
    assert first is not None
    without = replace(first, metrics={"test_accuracy": 0.9})
    trials = [replace(plan.trials[0], record=without), plan.trials[1]]
    assert best_trial(trials, "accuracy") is None


class Store:
    """A store with one cell of three seeds, whose trials finish by a recorder as in a launch.

    Args:
        ledger: of an empty store.
        **changes: of the space.
    """

    def __init__(self, ledger: Ledger, folders: Folders, **changes: Any) -> None:
        self.ledger, self.folders = ledger, folders
        self.space = space_of(**{**CELL, **changes})
        self.plan = self.newest(self.space)

    def newest(self, space: SearchSpace) -> Plan:
        return make_plan(space, space.seeds, self.folders, self.ledger.trials())

    def launch(self, *values: tuple[int, float], settles: bool = True) -> None:
        """Finish seeds with these values in a launch of its own, which is killed before it settles if that is said."""
        known = first_of_each(self.newest(self.space).trials)
        settle = partial(settle_finished, known=known, spaces=[self.space], ledger=self.ledger)
        recorder = Recorder(
            self.ledger,
            launches={self.space.name: self.ledger.launches.open(self.space.name, {})},
            trials=known,
            locks=Locks(self.ledger.root / LOCKS),
            log=print,
            **({"on_finished": settle} if settles else {}),
        )
        for seed, value in values:
            [trial] = [each for each in known.values() if each.candidate.config.seed == seed]
            files = self.ledger.root / WORK / trial.identity / ARTIFACTS
            files.mkdir(parents=True)
            for name in (*NEEDED_FILES, *([MODEL] if trial.keep_model else [])):
                (files / name).write_bytes(str(seed).encode())
            recorder.start_trial(trial.identity)
            recorder.add_rows(trial.identity, [{"step": 5, "selected_val_accuracy": value, "train_time_s": 1.0}])
            recorder.end_trial(trial.identity, TrialState.FINISHED)
            if settles and self.space.keep_models == "best":
                while not recorder.is_drained():
                    pass
                self.check_best_so_far()
        recorder.close(interrupted=False)
        assert set(recorder.states.values()) <= {TrialState.FINISHED}

    def check_best_so_far(self) -> None:
        """The cell's best trial by now has its model, whatever happens next."""
        best = best_trial(self.newest(self.space).trials, "accuracy")
        assert best is not None and best.candidate.config.seed in self.kept()

    def settle(self) -> None:
        settle_models(self.newest(self.space), self.ledger)

    def kept(self) -> list[int]:
        """Seeds whose models are in the store."""
        trials = [each for each in self.newest(self.space).trials if each.record is not None]
        return [
            each.candidate.config.seed
            for each in trials
            if each.record is not None and self.ledger.artifacts.has(each.record.run_id, MODEL)
        ]

    def missing(self) -> list[int]:
        missing = find_missing_models(self.newest(self.space), self.ledger)
        return [trial.candidate.config.seed for trial in missing]


@pytest.fixture
def store(tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]) -> Callable[..., Store]:
    """Opens the store of a space in a folder of this test; the second space shares its trials with the first."""
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    ledger = new_ledger(tmp_path)
    return lambda **changes: Store(ledger, folders, **changes)


CELL: dict[str, Any] = {"base": BASE, "scientific": {"optimizer.lr": (0.1,)}, "seeds": (0, 1, 2), "keep_models": "best"}
VALUES = {0: 0.5, 1: 0.7, 2: 0.7}


def test_the_best_model_is_left_in_any_order_of_seeds_across_launches_that_die(store: Callable[..., Store]) -> None:
    """The last launch of three dies after its trial has finished, and before it removes a model."""
    for number, order in enumerate(permutations(VALUES), 1):
        cell = store(scientific={"optimizer.lr": (number / 10,)})
        first, second, last = ((seed, VALUES[seed]) for seed in order)
        cell.launch(first)
        cell.launch(second)
        assert cell.kept() == [best_of(first, second)]
        cell.launch(last, settles=False)
        assert cell.kept() == sorted({best_of(first, second), last[0]})
        for _ in range(2):
            cell.settle()
            assert cell.kept() == [1]
        assert cell.missing() == []


class Killed(BaseException):
    """End of a process that nothing in it survives."""


def die_after(num_writes: int, ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    """Let the process of a ledger die after so many tags and removals."""
    writes = count(1)

    def then_die(write: Callable[..., None]) -> Callable[..., None]:
        def write_then_die(*arguments: Any) -> None:
            write(*arguments)
            if next(writes) == num_writes:
                raise Killed

        return write_then_die

    patch.setattr(ledger.runs, "tag", then_die(ledger.runs.tag))
    patch.setattr(ledger.artifacts, "remove", then_die(ledger.artifacts.remove))


@pytest.mark.parametrize("place", ["folder", pytest.param("server", marks=pytest.mark.long)])
def test_a_launch_that_dies_after_any_write_while_it_settles_loses_nothing_and_the_next_removes_the_rest(
    place: str, request: pytest.FixtureRequest, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = request.getfixturevalue("server").address if place == "server" else ""
    ledger = Ledger(folders.store, address)
    for num_writes in (1, 2, 3, 4):
        cell = Store(ledger, folders, scientific={"optimizer.lr": (num_writes / 10,)})
        cell.launch(*VALUES.items(), settles=False)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_after(num_writes, ledger, patch)
            cell.settle()
        assert 1 in cell.kept()
        assert cell.missing() == []
        cell.settle()
        assert cell.kept() == [1]
    with monkeypatch.context() as patch:
        die_after(1, ledger, patch)
        cell.settle()  # has nothing to write


RUN = """
import os, signal, sys
import run_study
from study.ledger.artifacts import Artifacts

remove, moment = Artifacts.remove, sys.argv.pop(1)

def die(*arguments):
    if moment == "after":
        remove(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

if moment:
    Artifacts.remove = die
run_study.main()
"""


@pytest.mark.long
def test_a_run_that_is_killed_while_it_settles_on_a_server_with_an_object_store_is_continued(
    tmp_path: Path, cache_dir: Path, object_store: ObjectStore, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before a model is removed, then after, then left alone: files of server and workers are in S3."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", object_store.endpoint)
    study = write_study(
        tmp_path / "kept.py",
        base="dataset='digits', resolution=8, steps=20, val_fraction=0.1",
        scientific={"optimizer.name": ("sgd",)},
        seeds=(0, 1, 2),
        keep_models="best",
    )
    server = Server(tmp_path, free_port, artifacts=object_store.new_address().partition("?")[0])
    storage = object_store.new_address()
    where = ["--store", server.address, "--cache-dir", str(cache_dir)]
    ledger = Ledger(tmp_path / "here", server.address)

    def run(moment: str) -> int:
        command = [sys.executable, "-c", RUN, moment, "run", study, *where, "--storage", storage]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as process:
            code = process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what its Ray left
        return code

    def kept() -> list[TrialRecord]:
        return [each for each in ledger.trials().values() if ledger.artifacts.has(each.run_id, MODEL)]

    def best() -> TrialRecord:
        ended = [each for each in ledger.trials().values() if each.state == TrialState.FINISHED]
        return max(ended, key=lambda each: (each.metrics["selected_val_accuracy"], -int(each.tags["seed"])))

    try:
        for moment in ("before", "after"):
            assert run(moment) == -signal.SIGKILL
            assert best() in kept()
        assert run("") == 0
        assert kept() == [best()]
        exported = call("export", study, *where, "--seed", "best", "--to", str(tmp_path / "model"))
        assert f"seed={best().tags['seed']} to" in exported.stdout, exported.stderr
        assert call("doctor", *where).returncode == 0
    finally:
        server.kill()


def best_of(*results: tuple[int, float]) -> int:
    """The seed of the largest value, of equal ones the lowest."""
    return min(results, key=lambda each: (-each[1], each[0]))[0]


@pytest.mark.parametrize(("choice", "kept"), [("none", []), ("first_seed", [0]), ("all", [0, 1, 2]), ("best", [1])])
def test_each_choice_keeps_its_models(store: Callable[..., Store], choice: str, kept: list[int]) -> None:
    cell = store(keep_models=choice)
    cell.launch(*VALUES.items())
    cell.settle()
    assert (cell.kept(), cell.missing()) == (kept, [])


@pytest.mark.parametrize("other", ["all", "first_seed"])
def test_a_model_that_another_study_keeps_stays(store: Callable[..., Store], other: str) -> None:
    theirs = store(name="theirs", keep_models=other)
    theirs.launch(*VALUES.items())
    ours = store()
    ours.settle()
    kept = theirs.kept()
    assert kept == ([0, 1, 2] if other == "all" else [0])
    assert ours.missing() == ([] if other == "all" else [1]), "nothing is removed before the best is there"
    both = [store(name="theirs", keep_models="none"), ours]
    for each in both:
        each.settle()
    assert ours.kept() == ([1] if other == "all" else [0])


def test_a_model_of_an_earlier_version_is_kept_and_none_of_it_is_tagged_by_a_study_that_keeps_first_seeds(
    store: Callable[..., Store],
) -> None:
    cell = store(keep_models="first_seed")
    cell.launch(*VALUES.items())
    for record in cell.ledger.trials().values():
        cell.ledger.runs.client.delete_tag(record.run_id, f"{KEEP_PREFIX}example")
    records = cell.ledger.trials()
    assert all(is_model_kept(record.tags) for record in records.values())
    cell.settle()
    assert cell.ledger.trials() == records
    store(keep_models="none").settle()
    assert not any(is_model_kept(record.tags) for record in cell.ledger.trials().values())
    assert cell.kept() == [0], "only `prune` removes what a study does not keep any more"


def test_a_model_is_missing_where_the_trial_finished_before_its_study_kept_it(store: Callable[..., Store]) -> None:
    store(keep_models="first_seed").launch(*VALUES.items())
    assert store(keep_models="all").missing() == [1, 2]
    assert store(keep_models="none").missing() == []
    best = store()
    assert best.missing() == [1]
    best.settle()
    assert best.kept() == [0], "that of another seed is better than none"
    [trial] = find_missing_models(best.plan, best.ledger)
    assert trial.record is not None
    path = best.ledger.artifacts.path(trial.record.run_id, MODEL)
    path.write_bytes(b"1")
    best.settle()
    assert best.kept() == [1]


def test_of_a_trial_of_two_studies_in_a_launch_both_say_whether_they_keep_it(folders: Folders) -> None:
    one, two = plan_of(folders, keep_models="none"), plan_of(folders, name="two", keep_models="all")
    known = first_of_each([*one.trials, *two.trials])
    assert [trial.keeps for trial in known.values()] == [{"example": False, "two": True}] * 4
    assert all(trial.keep_model and trial.study_name == "example" for trial in known.values())
