"""Models that studies keep: the tested weights of a trial, as an artifact of its run."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from revit.training.metrics import METRICS
from search_spaces.framework.kept_seeds import KEEP_DEFAULT
from search_spaces.framework.space import SearchSpace
from study.layout import MODEL
from study.ledger.ledger import Ledger
from study.ledger.records import is_model_kept, keep_tags
from study.ledger.schema import KEEP_PREFIX, STUDY_PREFIX, val_value_name
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

MAX_REQUESTS = 8
"""Requests at a time: a server is asked for the files of each run."""


def best_trial(trials: Iterable[Trial], metric: str) -> Trial | None:
    """Return the finished trial of a cell with the best value on validation images; None where one has no value.

    Test images have no part in it. Of equal values, the lowest seed is the best.

    Args:
        trials: of one cell, which differ in their seeds.
        metric: key of METRICS, of predictions: the `tuned_metric` of the study.
    """
    name, sign = val_value_name(metric), METRICS[metric].sign
    finished = _finished(trials)
    values = {
        each.identity: (sign * each.record.metrics[name], -each.candidate.config.seed)
        for each in finished
        if each.record is not None and name in each.record.metrics
    }
    is_known = finished and len(values) == len(finished)
    return max(finished, key=lambda each: values[each.identity]) if is_known else None


def find_missing_models(plan: Plan, ledger: Ledger) -> list[Trial]:
    """Return the finished trials of a study whose models it keeps, and the ledger does not have."""
    if plan.space.keep_models == "best":
        best = (best_trial(cell, plan.space.tuned_metric) for cell in _cells(plan.trials))
        kept = [trial for trial in best if trial is not None]
    else:
        kept = [trial for trial in _finished(plan.trials) if trial.keep_model]
    with ThreadPoolExecutor(MAX_REQUESTS) as threads:
        has_model = threads.map(lambda trial: _has_model(trial, ledger), kept)
        return [trial for trial, has in zip(kept, has_model, strict=True) if not has]


def settle_models(plan: Plan, ledger: Ledger) -> None:
    """Write which models a study keeps, and remove those that better seeds surpass. It can be repeated.

    Other models that are not kept any more stay until they are pruned.
    """
    space = plan.space
    if space.keep_models == "best":
        for cell in _cells(plan.trials):
            settle_cell(cell, space, ledger)
        return
    tag, study = f"{KEEP_PREFIX}{space.name}", f"{STUDY_PREFIX}{space.name}"
    for trial in _finished(plan.trials):
        assert trial.record is not None, "a finished trial has a record"
        is_of_earlier_version = study in trial.record.tags and tag not in trial.record.tags
        if space.keep_models != KEEP_DEFAULT or not is_of_earlier_version:
            ledger.tag_study(trial.record, keep_tags(trial.keeps))


def settle_finished(trial: Trial, known: Mapping[str, Trial], spaces: Iterable[SearchSpace], ledger: Ledger) -> None:
    """Settle the cell of a trial that has just finished, in the study that it was trained for.

    Args:
        known: trials of the launch by identity, with older records.
        spaces: of the studies of the launch.
    """
    space = next(each for each in spaces if each.name == trial.study_name)
    if space.keep_models != "best" or not trial.candidate.config.test:
        return
    cell, study = trial.candidate.requested_values, trial.study
    of_cell = [each for each in list(known.values()) if each.candidate.requested_values == cell]
    tested = [each for each in of_cell if each.study == study and each.candidate.config.test]
    settle_cell([replace(each, record=ledger.find(each.identity)) for each in tested], space, ledger)


def settle_cell(trials: Sequence[Trial], space: SearchSpace, ledger: Ledger) -> None:
    """Remove the models of a cell's trials that the best one surpasses, where the study keeps the best.

    None is removed before the ledger has that of the best, and none that another study keeps.

    Args:
        trials: of one cell, with their newest records.
    """
    best = best_trial(trials, space.tuned_metric)
    if best is None or not _has_model(best, ledger):
        return
    for trial in _finished(trials):
        assert trial.record is not None, "a finished trial has a record"
        is_best = trial.identity == best.identity
        ledger.tag_study(trial.record, keep_tags({space.name: is_best}))
        if not is_best and _has_model(trial, ledger):
            record = ledger.find(trial.identity)
            if record is not None and not is_model_kept(record.tags):
                ledger.artifacts.remove(record.run_id, MODEL)


def _finished(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.state == TrialState.FINISHED]


def _cells(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return the trials of each cell."""
    cells: dict[str, list[Trial]] = {}
    for trial in trials:
        cells.setdefault(str(trial.candidate.requested_values), []).append(trial)
    return list(cells.values())


def _has_model(trial: Trial, ledger: Ledger) -> bool:
    return trial.record is not None and ledger.artifacts.has(trial.record.run_id, MODEL)
