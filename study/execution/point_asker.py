"""The source of trials that depend on results: next points of searches, trials that a search decides."""

from collections.abc import Callable, Collection, Mapping, Sequence

from revit.errors import InputError
from study.execution.cell_pruners import CellPruners, PrunedPoint
from study.execution.recorder import Recorder
from study.forecast.queue import SearchTurn
from study.labels import label
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import SearchTag, TrialRecord
from study.ledger.schema import STATE_TAG
from study.ledger.states import TrialState
from study.plan import Plan
from study.planning import is_pruned_elsewhere
from study.search.cell_search import CellSearch, SearchPoint
from study.search.pruners import should_drop_seeds
from study.trial import Trial


class PointAsker:
    """Asks the searches of a study for trials. The ledger is their only memory.

    A point gets its number in the ledger under a lock of its cell, once all results of this launch are written: so two
    launches never ask for one point twice, and a launch that was killed goes on with the points that it would have had.

    Args:
        plan: plan of the study; the launch runs its trials anyway.
        records: the ledger's trials from which it was made. What is read later is added: the searches of a launch share
            them, as the ledger returns each change once.
        prepare: called with further trials before they are handed out.

    Attributes:
        known: identities of the trials that the launch runs anyway, or that this has returned.
        num_unknown: trials that are still to come, beside those that have been handed out.
    """

    def __init__(
        self,
        plan: Plan,
        records: dict[str, TrialRecord],
        ledger: Ledger,
        locks: Locks,
        recorder: Recorder,
        prepare: Callable[[Sequence[Trial]], None] = lambda trials: None,
    ) -> None:
        assert plan.planner is not None, "a plan with searches is made by a planner"
        self._planner = plan.planner
        self._records = records
        self._ledger = ledger
        self._locks = locks
        self._recorder = recorder
        self._prepare = prepare
        self.known = {trial.identity for trial in plan.to_run}
        self._open = {str(search.cell.values): search for search in plan.searches if search.cell.axes}
        self._tested = {str(trial.candidate.requested_values): trial for trial in plan.trials}
        self._pruners = CellPruners(plan.planner, ledger)
        self.num_unknown = plan.num_unknown

    def turns(self) -> list[SearchTurn]:
        """Return the searches that may have further trials."""
        return [self._turn(search) for search in self._open.values()]

    def _turn(self, search: CellSearch) -> SearchTurn:
        num_seeds = search.num_seeds if self._planner.space.search.pruner == "wilcoxon" else 1  # one after the other
        return SearchTurn(
            study=self._planner.space.name,
            cell=str(search.cell.values),
            tested=self._tested[str(search.cell.values)],
            num_in_row=num_seeds + 1 if search.num_left else 1,
            num_points=len(search.points),
        )

    def refresh(self) -> bool:
        """Read results; return False where some of this launch are still to be written."""
        if not self._recorder.is_drained():
            return False
        self._records |= self._ledger.changed_trials()
        return True

    def ask(self, turn: SearchTurn, busy: Collection[str]) -> list[Trial]:
        """Return trials that this launch has not run yet; none where they depend on results that are awaited.

        Args:
            busy: identities of the trials that this launch runs, or is about to.
        """
        search = self._planner.search(self._open[turn.cell].cell, self._records)
        self._open[turn.cell] = search
        trials = self._next_trials(search, busy)
        self._prepare(trials)
        self.known |= {trial.identity for trial in trials}
        self.num_unknown = sum(each.num_unknown + len(self._planner.seeds) for each in self._open.values())
        return trials

    def find_pruner(self, trial: Trial) -> PrunedPoint | None:
        """Return the pruner that may end a trial early, None for none."""
        return self._pruners.find(trial, self._records)

    def _next_trials(self, search: CellSearch, busy: Collection[str]) -> list[Trial]:
        """Return trials of one cell: of points that it has, of its next point, or those that are tested."""
        if any(self._drop_seeds(search, point) for point in search.points):
            return self._next_trials(self._planner.search(search.cell, self._records), busy)
        unknown = [trial for trial in search.to_run if trial.identity not in self.known]
        if unknown:
            return unknown
        if search.num_left:
            if trials := self._ask_cell(search):
                return trials
            search = self._planner.search(search.cell, self._records)
        if not search.is_over or any(trial.identity in busy for point in search.points for trial in point.trials):
            return []
        del self._open[str(search.cell.values)]
        tested = self._planner.tested_trials(search, self._records)
        to_run = [trial for trial in tested if not trial.awaits and not trial.state.is_terminal]
        return [trial for trial in to_run if trial.identity not in self.known]

    def _ask_cell(self, search: CellSearch) -> list[Trial]:
        """Return the trials of the next point of a cell that is to be trained; none while another launch asks."""
        lock = SearchTag.lock(self._planner.search_tag, search.cell.values)
        if not self._locks.acquire(lock):
            return []
        try:
            self._locks.confirm()
            while (point := self._next_point(search)) is not None:
                self._reserve(point)
                if point.trials[0].record is None:
                    return point.to_run
                search = self._planner.search(search.cell, self._records)  # another study has its trial
                if trials := [trial for trial in search.to_run if trial.identity not in self.known]:
                    return trials
            return []
        finally:
            self._locks.release(lock)

    def _next_point(self, search: CellSearch) -> SearchPoint | None:
        """Return the next point of a cell; None where it has all of its points, or the last ones are still running.

        Where the ledger has a point of its number by now, another launch was faster.

        Raises:
            InputError: no point could be found, though the space of the cell is not exhausted.
        """
        if not search.num_left:
            return None
        cell = search.cell
        found = self._ledger.search_trials(self._planner.search_tag, cell.values, search.next_number)
        if not found.items() <= self._records.items():
            self._records |= found
            return self._next_point(self._planner.search(cell, self._records))
        point = self._planner.ask(search, self._records)
        if point is None and not cell.is_finite:
            raise InputError(f"no further point of the cell {label(cell.values)} could be found: see `constraint`")
        return point

    def _reserve(self, point: SearchPoint) -> None:
        """Write the point's number into the ledger, with its first trial, and that this search has its trials."""
        first = point.trials[0]
        if first.record is None:
            self._recorder.reserve_trial(first)
        for trial in point.trials:
            if trial.record is not None:  # another study has trained it, or is about to
                given_up = is_pruned_elsewhere(trial, self._planner.search_tag)
                state = {STATE_TAG: TrialState.INTERRUPTED} if given_up else {}
                self._tag(trial.record, {**self._recorder.study_tags(trial), **trial.tags, **state})

    def _drop_seeds(self, search: CellSearch, point: SearchPoint) -> bool:
        """Give a point up whose first seeds are worse than the best point's, if the search compares seeds.

        Returns:
            Whether it is given up.
        """
        values, record = list(point.seed_values(search.objectives[0]).values()), point.trials[0].record
        if not point.is_sequential or point.has_ended or not values or record is None:
            return False
        others = [past for past in search.history if past.number != point.number]
        if not should_drop_seeds(others, values, search.objectives[0]):
            return False
        tag = SearchTag(cell=search.cell.values, number=point.number, point=point.values, is_given_up=True)
        self._tag(record, {self._planner.search_tag: tag.to_json()})
        return True

    def _tag(self, record: TrialRecord, tags: Mapping[str, str]) -> None:
        """Tag a trial, and read it again: `changed_trials` has none that ended long ago."""
        self._ledger.tag_study(record, tags)
        self._records |= {each.identity: each for each in [self._ledger.find(record.identity)] if each is not None}
