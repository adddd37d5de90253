"""The order in which Tune starts the trials that it has. Plugs into Ray Tune."""

from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler

from study.execution.searcher import TrialSearcher
from study.execution.stopper import Stateless, Stopper


class TrialOrder(Stateless, FIFOScheduler):
    """Starts trials in the order in which the searcher suggests them.

    One that waits for a node that has died, and that no other node is large enough for, goes back to the searcher:
    Tune would wait for such a node forever.

    Once the study stops, none starts: Tune would give the trials that it has to the workers of those that stop.

    A trial whose worker starts is left to it. Tune gives the chosen trial to a worker that has just ended another one,
    and stops the worker that starts for it (ray-project/ray 42951). Where trials end more often than a worker takes to
    start, as on the nodes of a large cluster, none would start any more.

    Tune's default looks at every trial of the launch at each event, those that have ended included.
    """

    def __init__(self, searcher: TrialSearcher, stopper: Stopper) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it so
        self._searcher = searcher
        self._stopper = stopper
        self._waiting: list[TuneTrial] = []

    def on_trial_add(self, _: Any, trial: TuneTrial) -> None:
        """Let a new trial wait."""
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """Return the trial that has waited longest, if possible one without a worker; None where none waits."""
        for trial in self._pending():
            if self._stopper.stopping:
                tune_controller.stop_trial(trial)
            elif self._searcher.is_too_large(trial.config["task"]):
                tune_controller.stop_trial(trial)
                self._searcher.requeue(trial.config["task"].identity)
        self._waiting = self._pending()
        controller = tune_controller._tune_controller  # what Tune shows to schedulers has no workers
        workers, actors = controller._trial_to_actor, controller._actor_manager
        without_worker = (trial for trial in self._waiting if not actors.is_actor_started(workers.get(trial)))
        return next(without_worker, self._waiting[0] if self._waiting else None)

    def _pending(self) -> list[TuneTrial]:
        return [trial for trial in self._waiting if trial.status == TuneTrial.PENDING]
