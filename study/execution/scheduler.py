"""The order in which Tune starts the trials that it has. Plugs into Ray Tune."""

from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler

from study.execution.searcher import TrialSearcher
from study.execution.stopper import Stateless


class TrialOrder(Stateless, FIFOScheduler):
    """Starts trials in the order in which the searcher suggests them.

    One that waits for a node that has died, and that no other node is large enough for, goes back to the searcher:
    Tune would wait for such a node forever.
    """

    def __init__(self, searcher: TrialSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it so
        self._searcher = searcher

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """Return the trial that has waited longest."""
        for trial in list(tune_controller.get_live_trials()):
            if trial.status == TuneTrial.PENDING and self._searcher.is_too_large(trial.config["task"]):
                tune_controller.stop_trial(trial)
                self._searcher.requeue(trial.config["task"].identity)
        return super().choose_trial_to_run(tune_controller)
