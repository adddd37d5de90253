"""A study whose launches are made up in memory, in the time that a suite has."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from revit.config import FineTuneConfig
from search_spaces.framework.claims import BetterThan, Claim, NoDifference, Trend
from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.execution import launch_registration
from study.layout import REGISTRATION
from study.ledger.records import TrialRecord, config_tags, study_tags
from study.ledger.registrations import StoredRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from study.registration.deviations import RegistrationReport
from study.registration.history import History
from study.registration.plan_comparison import compare_plan, plan_history
from study.registration.record import digest_of
from study.trial import Trial

T = TypeVar("T")
FASTER = BetterThan(better={"optimizer.lr": 0.2}, worse={"optimizer.lr": 0.1}, quote="Faster is better.")
WIDE = NoDifference(axis="model.pos_embed", among=("learned", "none"), margin=1.0, quote="Positions do not matter.")
LARGE = BetterThan(
    better={"optimizer.lr": 0.2},
    worse={"optimizer.lr": 0.1},
    where={"model.pos_embed": "none"},
    at_least=2.0,
    quote="Much better without.",
)
RISING = Trend(axis="optimizer.lr", direction="increasing", values=(0.1, 0.2), quote="The more, the better.")
SPACE = SearchSpace(
    name="example",
    question="Does the learning rate matter?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"optimizer.lr": (0.1, 0.2), "model.pos_embed": ("learned", "none")},
    seeds=(0, 1),
    claims=(FASTER, WIDE, LARGE),
)
"""Eight trials: four cells with two seeds. FASTER and WIDE are about all of them, LARGE about four."""


def with_claims(*claims: Claim, **changes: Any) -> SearchSpace:
    return replace(SPACE, claims=claims, **changes)


class MadeLedger:
    """The part of a ledger that registration uses. Its clock advances by a second whenever it is read."""

    def __init__(self) -> None:
        self.records: dict[str, TrialRecord] = {}
        self.stored: dict[str, StoredRecord] = {}
        self.tags: dict[str, Mapping[str, str]] = {}
        self.first_s: dict[str, float] = {}
        self.registrations = self
        self.now_s = 1_000.0

    def tick(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def trials(self) -> dict[str, TrialRecord]:
        return self.records

    def retry(self, call: Callable[[], T], log: object) -> T:
        return call()

    def write(self, launch: str, digest: str, files: Mapping[str, str]) -> None:
        self.stored[launch] = replace(self.stored[launch], digest=digest, files=files)

    def newest_digest(self, tags: Mapping[str, str]) -> str:
        return "".join([each.digest for each in self.read(tags) if each.digest][-1:])

    def read(self, tags: Mapping[str, str]) -> list[StoredRecord]:
        return [each for each in self.stored.values() if tags.items() <= self.tags[each.launch].items()]

    def digests(self) -> frozenset[str]:
        return frozenset(each.digest for each in self.stored.values() if each.digest)

    def first_result_s(self, run_id: str, metric: str) -> float:
        return self.first_s[run_id]


class MadeStudy:
    """A store with launches that begin, and end or are killed, but train nothing."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        self.folders = Folders(store=folder, data=folder, cache=cache_dir)
        self.ledger = MadeLedger()

    def plan(self, space: SearchSpace = SPACE, seeds: tuple[int, ...] | None = None) -> Plan:
        return make_plan(space, seeds or space.seeds, self.folders, self.ledger.trials())

    def history(self, space: SearchSpace = SPACE, seeds: tuple[int, ...] | None = None) -> History:
        return plan_history(self.plan(space, seeds), self.ledger, self.ledger.trials())

    def compare(self, space: SearchSpace = SPACE, seeds: tuple[int, ...] | None = None) -> RegistrationReport:
        plan = self.plan(space, seeds)
        return compare_plan(plan, plan_history(plan, self.ledger, self.ledger.trials()))

    def launch(
        self,
        space: SearchSpace = SPACE,
        seeds: tuple[int, ...] | None = None,
        *,
        num_finished: int | None = None,
        num_begun: int = 0,
        num_steps: int = 2,
        registers: bool = True,
        code: Mapping[str, str] | None = None,
        design: SequentialDesign | None = None,
    ) -> str:
        """Make a launch that finishes the first trials to run, and interrupts the next after a few steps.

        Args:
            num_finished: None for all.
            num_steps: of the trials that are interrupted.
            registers: False for a launch of an earlier version.
            code: digests of code that differ.
        """
        plan, launch = replace(self.plan(space, seeds), design=design), self.open_launch(space)
        digests: dict[str, str] = defaultdict(str)
        if registers:
            with self.other_code(code or {}):
                registered = launch_registration.register_plans([plan], {space.name: launch}, self.ledger, {}, print)
            digests.update(registered)
        last = len(plan.to_run) if num_finished is None else num_finished
        begun = plan.to_run[last : last + num_begun]
        self.train(plan, launch, digests[space.name], plan.to_run[:last], begun, num_steps)
        return launch

    @contextmanager
    def other_code(self, changes: Mapping[str, str]) -> Iterator[None]:
        real = launch_registration.code_version
        with mock.patch.object(launch_registration, "code_version", lambda tags: {**real(tags), **changes}):
            if isinstance(self.ledger, MadeLedger):
                now_ms = round(1000 * self.ledger.tick())
                with mock.patch.object(launch_registration, "now_ms", lambda: now_ms):
                    yield
            else:
                yield

    def open_launch(self, space: SearchSpace) -> str:
        launch = f"launch {len(self.ledger.tags)}"
        self.ledger.tags[launch] = space.tags
        self.ledger.stored[launch] = StoredRecord(
            launch=launch, start_s=self.ledger.tick(), digest="", files={}, deleted=False
        )
        return launch

    def train(
        self, plan: Plan, launch: str, digest: str, finished: list[Trial], begun: list[Trial], num_steps: int
    ) -> None:
        for trial in begun:
            self._write(plan, trial, digest, TrialState.INTERRUPTED, num_steps)
        for trial in finished:
            self._write(plan, trial, digest, TrialState.FINISHED, 5)

    def _write(self, plan: Plan, trial: Trial, digest: str, state: TrialState, num_steps: int) -> None:
        before = self.ledger.records.get(trial.identity)
        run_id, start_s = f"run {trial.identity}", self.ledger.tick()
        candidate = trial.candidate
        tags = {
            **trial.study,
            **study_tags(plan.space.name, cell=candidate.cell, point=candidate.point),
            **config_tags(candidate.config),
            **({"registration": digest} if digest else {}),
        }
        if before is not None:  # `Ledger.open_trial` keeps the record under which a trial began
            tags = {**before.tags, **{name: value for name, value in tags.items() if name != "registration"}}
        if num_steps:
            self.ledger.first_s.setdefault(run_id, self.ledger.tick())
        self.ledger.records[trial.identity] = TrialRecord(
            run_id=run_id,
            identity=trial.identity,
            state=state,
            last_step=num_steps,
            metrics={"test_accuracy": 0.5},
            params={},
            tags=tags,
            start_s=start_s if before is None else before.start_s,
            end_s=self.ledger.tick(),
        )

    def begin_together(self) -> None:
        """Begin two launches at once, so that the record of neither cites the other's."""
        plan = self.plan()
        launches = [self.open_launch(SPACE), self.open_launch(SPACE)]
        with self.other_code({}), mock.patch.object(self.ledger, "newest_digest", lambda tags: ""):
            for launch in launches:
                launch_registration.register_plans([plan], {SPACE.name: launch}, self.ledger, {}, print)

    def edit_record(self, old: str, new: str, *, with_digest: bool = False) -> None:
        """Change the text of the first record.

        Args:
            with_digest: give its launch the digest of the new text.
        """
        launch, stored = next(iter(self.ledger.stored.items()))
        text = stored.text.replace(old, new)
        assert text != stored.text
        digest = digest_of(text) if with_digest else stored.digest
        self.ledger.stored[launch] = replace(stored, digest=digest, files={**stored.files, REGISTRATION: text})

    def remove_record(self) -> None:
        """Remove the text of the first record."""
        launch, stored = next(iter(self.ledger.stored.items()))
        self.ledger.stored[launch] = replace(stored, files={})

    def remove_launch(self) -> None:
        """Remove the first launch with all that the store has of it."""
        del self.ledger.stored[next(iter(self.ledger.stored))]

    def delete_launch(self) -> None:
        """Delete the first launch in MLflow, where it can be restored."""
        launch, stored = next(iter(self.ledger.stored.items()))
        self.ledger.stored[launch] = replace(stored, deleted=True)

    def move(self) -> None:
        """Move the store to another folder, and let doctor mend it."""
