"""The time that is left of some trials: from expected times, corrected by reports."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from study.forecast.trial_costs import Shape, TrialCosts, shape_of
from study.plan import Plan
from study.trial import Trial


class RemainingTime:
    """Work of the trials that are to be run, and how much of it is done.

    Work is counted in FLOPs by shape, and weighed by the seconds that a FLOP takes in that shape, so that whatever
    `costs` learns corrects the work that is done as well as the work that is left.

    Args:
        trials: known trials, each identity once.
        plans: of their studies. The trials that a search has still to choose have the mean work of their study.
        num_slots: trials that may run at a time.
    """

    def __init__(self, trials: Iterable[Trial], plans: Iterable[Plan], costs: TrialCosts, num_slots: int) -> None:
        self._costs = costs
        self._num_slots = num_slots
        self._total: defaultdict[Shape, float] = defaultdict(float)
        self._done: defaultdict[Shape, float] = defaultdict(float)
        self._done_before: defaultdict[Shape, float] = defaultdict(float)
        self._of_trial: dict[str, float] = {}
        for trial in trials:
            self._total[shape_of(trial)] += costs.flops(trial)
        for plan in plans:
            for trial in plan.trials if plan.num_unknown else ():
                self._total[shape_of(trial)] += costs.flops(trial) * plan.num_unknown / len(plan.trials)

    def reach(self, trial: Trial, step: int, *, is_earlier: bool = False) -> None:
        """Take note of the steps that a trial has done.

        Args:
            is_earlier: they were done before this launch, and took none of its time.
        """
        flops = self._costs.flops(trial) * min(1.0, step / trial.num_steps)
        new, shape = flops - self._of_trial.get(trial.identity, 0.0), shape_of(trial)
        self._of_trial[trial.identity] = flops
        self._done[shape] += new
        if is_earlier:
            self._done_before[shape] += new

    @property
    def share_done(self) -> float:
        """Share of the work that is done, from 0 to 1."""
        total = self._seconds(self._total)
        return min(1.0, self._seconds(self._done) / total) if total else 1.0

    def eta_s(self, elapsed_s: float, running: Collection[Trial] = ()) -> float | None:
        """Return the seconds that are left; None where nothing is known about speed yet.

        The longest of the trials that run is a lower bound: the last ones leave slots empty.

        Args:
            elapsed_s: seconds since the first trial of this launch began to train.
        """
        done_here = self._seconds(self._done) - self._seconds(self._done_before)
        left = max(0.0, self._seconds(self._total) - self._seconds(self._done))
        longest = max(map(self._seconds_left, running), default=0.0)
        per_slot = max(left / self._num_slots, longest)
        if done_here > 0 and elapsed_s > 0:
            return per_slot * elapsed_s * self._num_slots / done_here
        return per_slot if self._costs.is_measured else None

    def _seconds_left(self, trial: Trial) -> float:
        left = self._costs.flops(trial) - self._of_trial.get(trial.identity, 0.0)
        return left * self._costs.s_per_flop(shape_of(trial))

    def _seconds(self, flops: Mapping[Shape, float]) -> float:
        return sum(each * self._costs.s_per_flop(shape) for shape, each in flops.items())
