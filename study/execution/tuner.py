"""The run of Ray Tune, until its trials have ended."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from study.execution.stopper import Stopper
from study.execution.trial_task import TrialTask


class NoReporter(tune.ProgressReporter):
    """Reporter that shows nothing: `StudyProgress` does. In a notebook, Tune's own would clear the cell's output."""

    def should_report(self, *_: Any, **__: Any) -> bool:
        """Return False."""
        return False


def run_tune(
    trainable: Any,
    callback: tune.Callback,
    folder: Path,
    *,
    searcher: Searcher | None = None,
    scheduler: TrialScheduler | None = None,
    stopper: Stopper | None = None,
    tasks: Any = None,
    reuses_workers: bool = True,
) -> None:
    """Run Ray Tune until its trials have ended. A failed trial raises nothing.

    Args:
        trainable: function of a worker; takes `{"task": TrialTask}`.
        folder: new folder for Tune's own files.
        searcher: suggests tasks until it is finished; None for `tasks`.
        scheduler: decides which of the suggested tasks starts; None for the first one.
        tasks: value of `task` in Tune's param space.
        reuses_workers: a worker trains several trials, one after the other.
    """
    tuner = tune.Tuner(
        tune.with_resources(trainable, placement_group),
        param_space=None if tasks is None else {"task": tasks},
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1 if searcher is not None else 1,  # as many as the searcher has
            reuse_actors=reuses_workers,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            callbacks=[callback],
            stop=stopper,
            progress_reporter=NoReporter(),
            verbose=0,
        ),
    )
    # Tune would write the state of all trials as text at its end. A study resumes from the ledger.
    with patch.object(TuneController, "_get_trial_checkpoints", return_value={}):
        tuner.fit()


def placement_group(params: dict[str, Any]) -> tune.PlacementGroupFactory:
    """Return what Ray reserves for a task."""
    task: TrialTask = params["task"]
    grant = task.grant
    return tune.PlacementGroupFactory(
        grant.bundles, strategy=grant.strategy, bundle_label_selector=grant.label_selectors
    )
