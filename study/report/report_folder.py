"""Where a study's report lies on disk, when the one that lies there is kept, and a page that lists them all."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import pyarrow as pa

from revit.errors import InputError
from study.analysis.results import trial_table
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.caveats import stale_caveats

TRIALS, REPORT, INDEX = "trials.parquet", "report.json", "index.html"
SUMMARIZED = {"question", "num_trials", "num_finished", "claims"}
"""What a line of the index is made of."""


class ReportKeptError(InputError):
    """A report is not written, as it would take the place of one with results that it lacks."""


def folder_name(plan: Plan) -> str:
    """Return the name of its folder: of a study, recipe and scale; and of its seeds, where they are not the study's."""
    space = plan.space
    start = [] if space.base is not None else [space.recipe, space.scale]
    seeds = {trial.candidate.config.seed for trial in plan.trials}
    own = [] if seeds == set(space.seeds) else [f"seeds-{len(seeds)}"]
    return "-".join([space.name, *start, *own])


def check_loses_nothing(plan: Plan, folder: Path) -> None:
    """Raise ReportKeptError where the report in a folder has results that the study asks for and does not have."""
    path = folder / TRIALS
    if not path.is_file():
        return
    try:
        reported = pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException):  # torn: nothing can be lost
        return
    planned = trial_table(plan)
    keys = [*plan.space.scientific, *plan.space.nuisance_axes, "seed"]
    if not {*keys, "state"} <= set(reported.columns):  # of another grid
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


def write_index(reports: Path) -> Path:
    """Write the page that lists every report of a folder, with its verdicts; return its path."""
    found = {path.parent.name: summary for path in sorted(reports.glob(f"*/{REPORT}")) if (summary := _read(path))}
    index = reports / INDEX
    index.write_text(template("index.html.j2").render(reports=found), encoding="utf-8")
    return index


def _read(path: Path) -> dict[str, Any] | None:
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # torn: it has no line
        return None
    return summary if summary.keys() >= SUMMARIZED else None


def template(name: str) -> jinja2.Template:
    """Return one of the templates that lie beside this module: what is put into it is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals["style"] = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return environment.from_string(files(__package__).joinpath(name).read_text(encoding="utf-8"))
