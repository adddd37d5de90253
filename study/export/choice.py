"""Choice of the trial whose model is exported, by its cell with its seed."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from revit.errors import InputError
from revit.training.metrics import METRICS
from search_spaces.framework.choices import find_axis, parse_assignments, with_cells
from study.advice import MissingModelError
from study.kept_models import best_trial
from study.labels import format_value, label
from study.layout import MODEL
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

BEST: Literal["best"] = "best"
"""Seed with the best value on validation images."""
Seed = int | Literal["best"] | None
NEXT_AXIS = re.compile(r",(?=[^,=]+=)")
"""Comma before another AXIS=VALUE: a value may have commas of its own."""


def parse_cell(text: str) -> dict[str, str]:
    """Return the values by axis of a text AXIS=VALUE,AXIS=VALUE. Raises InputError for another form."""
    return parse_assignments("--cell", NEXT_AXIS.split(text)) if text else {}


def parse_seed(text: str) -> int | Literal["best"]:
    """Return a number, or BEST. Raises InputError for another text."""
    if text == BEST:
        return BEST
    if not text.isdecimal():
        raise InputError(f"--seed = {text}: must be a number, or {BEST}")
    return int(text)


def choose_trial(plan: Plan, trials: Sequence[Trial], seed: Seed, has_weights: Callable[[Trial], bool]) -> Trial:
    """Return a finished trial of a cell whose weights were kept.

    Args:
        trials: of the cell, as `trials_of_cell` returns them.
        seed: BEST is found on validation images, never on test images. None for the first whose weights were kept.

    Raises:
        InputError: an unknown seed, it diverged, its weights were not kept, or no seed is known to be the best.
        MissingModelError: the trial has still to be run.
    """
    if trials[0].awaits:
        raise MissingModelError(f"{_name(trials[0], plan)}: {trials[0].awaits}")
    if seed is None:
        chosen = next((each for each in trials if _is_kept(each, has_weights)), trials[0])
    elif seed == BEST:
        chosen = _find_best(trials, plan)
    else:
        by_seed = {trial.candidate.config.seed: trial for trial in trials}
        if seed not in by_seed:
            known = ", ".join(map(str, by_seed))
            raise InputError(f"--seed = {seed}: {_name(trials[0], plan)} has the seeds {known}; --seeds N plans more")
        chosen = by_seed[seed]
    name = f"{_name(chosen, plan)} seed={chosen.candidate.config.seed}"
    if chosen.state != TrialState.FINISHED:
        kind = InputError if chosen.state.is_terminal else MissingModelError
        raise kind(f"{name} is {chosen.missing or chosen.state.value}: only a finished trial has a model")
    if not has_weights(chosen):
        kept = [str(each.candidate.config.seed) for each in trials if _is_kept(each, has_weights)]
        raise InputError(f"{name}: its weights were not kept; those of {_seeds(kept)} were, see `keep_models`")
    return chosen


def _is_kept(trial: Trial, has_weights: Callable[[Trial], bool]) -> bool:
    return trial.state == TrialState.FINISHED and has_weights(trial)


def _seeds(seeds: Sequence[str]) -> str:
    return f"seed {', '.join(seeds)}" if seeds else "no seed of this cell"


def keeps_weights(ledger: Ledger) -> Callable[[Trial], bool]:
    """Return a function that says whether the weights of a finished trial are among its artifacts."""

    def has_weights(trial: Trial) -> bool:
        assert trial.record is not None, "a finished trial has a record"
        return ledger.artifacts.path(trial.record.run_id, MODEL).is_file()

    return has_weights


def trials_of_cell(plan: Plan, cell: Mapping[str, object]) -> list[Trial]:
    """Return the tested trials of the one cell that has these values, by their seeds.

    Args:
        cell: value as the study names it, or its text, by what `find_axis` finds.
            Axes on which the study's cells do not differ may be left out.

    Raises:
        InputError: an unknown axis or value, several cells or none.
    """
    space = plan.space
    wanted = {find_axis(space, axis): [value] for axis, value in cell.items()}
    values = {axis: with_cells(space, {axis: each}).cells[axis] for axis, each in wanted.items()}
    cells: dict[tuple[object, ...], list[Trial]] = {}
    for trial in plan.trials:
        requested = trial.candidate.requested_values
        if all(requested[axis] in allowed for axis, allowed in values.items()):
            cells.setdefault(tuple(requested.values()), []).append(trial)
    if len(cells) == 1:
        [found] = cells.values()
        return sorted(found, key=lambda trial: trial.candidate.config.seed)
    if not cells:
        asked = ", ".join(f"{axis}={each}" for axis, each in cell.items())
        raise InputError(f"--cell {asked}: {space.name} has no such cell; its constraint leaves it out")
    open_axes = [
        f"{axis}={' or '.join(dict.fromkeys(format_value(key[number]) for key in cells))}"
        for number, axis in enumerate(space.scientific)
        if len({key[number] for key in cells}) > 1
    ]
    raise InputError(
        f"--cell must name one cell of {space.name}, and {len(cells)} are meant: add {', '.join(open_axes)}"
    )


def _find_best(trials: Sequence[Trial], plan: Plan) -> Trial:
    metric = plan.space.tuned_metric
    found = best_trial(trials, metric)
    if found is not None:
        return found
    unfinished = [trial for trial in trials if trial.state != TrialState.FINISHED]
    if len(unfinished) == len(trials):
        raise MissingModelError(f"{_name(trials[0], plan)}: no seed has finished")
    right = f"without validation images no seed has a {METRICS[metric].val_name}, and test images do not choose"
    raise InputError(f"--seed = {BEST}: must be a number, as {right}")


def _name(trial: Trial, plan: Plan) -> str:
    return f"{plan.space.name} {label(trial.candidate.requested_values)}"
