"""Folders of reports: their names, when an earlier report is kept."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from revit.errors import InputError
from search_spaces.framework.choices import slug
from study.analysis.results import trial_table
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.caveats import stale_caveats

TRIALS, REPORT, CLAIMS = "trials.parquet", "report.json", "claims.json"


class ReportKeptError(InputError):
    """A report was not written: it lacks results of the one that it would replace."""


def folder_name(plan: Plan) -> str:
    """Return the folder of a report: by study, recipe, scale; by metric, cells and seeds that are not the study's."""
    space = plan.space
    recipe = [] if space.base is not None else [space.recipe, space.scale]
    looked = plan.design is not None  # further seeds of a sequential design are of the same report
    seeds = set(plan.seeds) if looked else {trial.candidate.config.seed for trial in plan.trials}
    num_seeds = [] if seeds == set(space.seeds) else [f"seeds-{len(seeds)}"]
    cells = ["only", slug(space.cells)] if space.cells else []
    metric = [slug({"metric": space.metric})] if space.is_reread else []
    return "-".join([space.name, *recipe, *cells, *num_seeds, *metric])


def check_loses_nothing(plan: Plan, folder: Path) -> None:
    """Raise ReportKeptError if the report in a folder has results that are planned but not finished here."""
    path = folder / TRIALS
    if not path.is_file():
        return
    try:
        reported = pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException):  # a broken file has nothing to lose
        return
    planned = trial_table(plan)
    keys = [*plan.space.scientific, "seed"]
    if not {*keys, "state"} <= set(reported.columns):  # the grid has changed
        keys = ["seed"]
    lost = (_finished(reported, keys) & _rows(planned, keys)) - _finished(planned, keys)
    if lost:
        reasons = stale_caveats(plan) or [f"this store has {len(_finished(planned, keys))} of them"]
        raise ReportKeptError(
            f"{folder} keeps its report, of {len(_finished(reported, keys))} results: {'; '.join(reasons)}. "
            "Remove the folder, or give another with --reports, to have a report all the same"
        )


def _finished(trials: pd.DataFrame, keys: list[str]) -> set[tuple[str, ...]]:
    return _rows(trials[trials["state"] == TrialState.FINISHED], keys)


def _rows(trials: pd.DataFrame, keys: list[str]) -> set[tuple[str, ...]]:
    return set(trials[keys].astype(str).itertuples(index=False, name=None))
