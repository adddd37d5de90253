"""The source of trials that depend on results: next points of searches, trials that a search decides."""

import hashlib
from collections.abc import Collection, Mapping

from revit.errors import InputError
from search_spaces.framework.cells import StudyCell
from study.execution.cell_pruners import CellPruners, PrunedPoint
from study.execution.recorder import Recorder
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
        records: the ledger's trials from which it was made.

    Attributes:
        num_unknown: trials that are still to come, beside those that have been handed out.
    """

    def __init__(
        self,
        plan: Plan,
        records: Mapping[str, TrialRecord],
        ledger: Ledger,
        locks: Locks,
        recorder: Recorder,
    ) -> None:
        assert plan.planner is not None, "a plan with searches is made by a planner"
        self._planner = plan.planner
        self._records = dict(records)
        self._ledger = ledger
        self._locks = locks
        self._recorder = recorder
        self._known = {trial.identity for trial in plan.to_run}
        self._open = [search.cell for search in plan.searches if search.cell.axes]
        self._pruners = CellPruners(plan.planner, ledger)
        self.num_unknown = plan.num_unknown

    def ask(self, busy: Collection[str]) -> list[Trial]:
        """Return trials that this launch has not run yet; none where they depend on results that are awaited.

        Args:
            busy: identities of the trials that this launch runs, or is about to.
        """
        if not self._open or not self._recorder.is_drained():
            return []
        self._refresh()
        searches = [self._planner.search(cell, self._records) for cell in self._open]
        in_turn = sorted(searches, key=lambda search: len(search.points))
        trials = next(filter(None, (self._next_trials(search, busy) for search in in_turn)), [])
        self._known |= {trial.identity for trial in trials}
        still_open = [search for search in searches if search.cell in self._open]
        self.num_unknown = sum(search.num_unknown + len(self._planner.seeds) for search in still_open)
        return trials

    def find_pruner(self, trial: Trial) -> PrunedPoint | None:
        """Return the pruner that may end a trial early, None for none."""
        return self._pruners.find(trial, self._records)

    def _refresh(self) -> None:
        self._records |= self._ledger.changed_trials()

    def _next_trials(self, search: CellSearch, busy: Collection[str]) -> list[Trial]:
        """Return trials of one cell: of points that it has, of its next point, or those that are tested."""
        dropped = [self._drop_seeds(search, point) for point in search.points]
        if any(dropped):
            search = self._planner.search(search.cell, self._records)
        unknown = [trial for trial in search.to_run if trial.identity not in self._known]
        if unknown:
            return unknown
        if search.num_left:
            return self._ask_cell(search.cell)
        if not search.is_over or any(trial.identity in busy for point in search.points for trial in point.trials):
            return []
        self._open.remove(search.cell)
        tested = self._planner.tested_trials(search, self._records)
        return [trial for trial in tested if not trial.awaits and not trial.state.is_terminal]

    def _ask_cell(self, cell: StudyCell) -> list[Trial]:
        """Return the trials of the next point of a cell; none while another launch asks.

        Raises:
            InputError: no point could be found, though the space of the cell is not exhausted.
        """
        lock = f"search-{hashlib.sha256(f'{self._planner.search_tag} {cell.values}'.encode()).hexdigest()[:16]}"
        if not self._locks.acquire(lock):
            return []
        try:
            self._refresh()
            search = self._planner.search(cell, self._records)
            if not search.num_left:
                return []
            point = self._planner.ask(search, self._records)
            if point is None:
                raise InputError(f"no further point of the cell {label(cell.values)} could be found: see `constraint`")
            self._reserve(point)
            return point.to_run
        finally:
            self._locks.release(lock)

    def _reserve(self, point: SearchPoint) -> None:
        """Write the point's number into the ledger, with its first trial."""
        trial = point.trials[0]
        if trial.record is None:
            self._recorder.reserve_trial(trial)
        else:  # another study has trained it, or is about to
            tags = {**self._recorder.study_tags(trial), **trial.tags}
            if is_pruned_elsewhere(trial, self._planner.search_tag):
                tags[STATE_TAG] = TrialState.INTERRUPTED
            self._tag(trial.record, tags)

    def _tag(self, record: TrialRecord, tags: Mapping[str, str]) -> None:
        """Tag a trial, and read it again: one that ended long ago is not among those that have changed."""
        self._ledger.tag_study(record, tags)
        self._records |= {each.identity: each for each in [self._ledger.find(record.identity)] if each is not None}

    def _drop_seeds(self, search: CellSearch, point: SearchPoint) -> bool:
        """Give a point up whose first seeds are worse than the best point's, if the search compares seeds.

        Returns:
            Whether it was given up now.
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
