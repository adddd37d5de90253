"""Versions of a study, read from their stores to be compared."""

from pathlib import Path
from typing import TYPE_CHECKING

from revit.paths import expand_path
from search_spaces.framework.space import SearchSpace
from study.api import commands
from study.api.opening import open_ledger

if TYPE_CHECKING:
    from study.analysis.comparison import Comparison, Version
    from study.plan import Folders


def read_version(
    label: str, space: SearchSpace, folders: "Folders", *, num_seeds: int | None = None, before: str = ""
) -> "Version":
    """Return a version of a study with its results.

    Args:
        label: its name beside the other version's.
        before: a date or the run of a launch: each cell has its newest results from before, by whatever setup.

    Raises:
        InputError: there is no store, the study is wrong, or `before` names no time.
    """
    from study.analysis.comparison import Version
    from study.analysis.earlier_results import plan_before, time_of

    ledger = open_ledger(folders)
    records = ledger.trials()
    planned = commands.plan_study(space, folders, records, num_seeds=num_seeds, for_report=True, ledger=ledger)
    if before:
        planned = plan_before(planned, records, time_of(before, ledger.launches.infos()))
    planned = commands.measure_study(planned, ledger)
    verdicts = commands.claim_verdicts(planned, ledger, records)
    return Version(label, planned, records, ledger.artifacts.read_correct, verdicts)


def compare_versions(before: "Version", now: "Version") -> "Comparison":
    """Compare two versions cell by cell: values, differences, verdicts, settings. Nothing is written.

    Raises:
        InputError: they have different scientific axes or metrics.
    """
    from study.analysis import comparison

    return comparison.compare_versions(before, now)


def write_comparison(comparison: "Comparison", reports: Path) -> list[Path]:
    """Write a comparison as a page and as JSON; return their paths."""
    from study.report import comparison_page

    return comparison_page.write_comparison(comparison, expand_path(reports))
