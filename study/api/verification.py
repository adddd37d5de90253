"""Verification of a study: its registrations, the results behind its claims, its report."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from revit.paths import expand_path
from study.api.commands import claim_verdicts

if TYPE_CHECKING:
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.plan import Plan
    from study.registration.deviations import RegistrationReport
    from study.registration.history import History


def read_history(planned: "Plan", ledger: "Ledger", records: "Mapping[str, TrialRecord]") -> "History":
    """Return what the launches of a study have registered, with the times of its results.

    Args:
        records: every trial of the ledger by identity, other studies' included.
    """
    from study.registration.plan_comparison import plan_history

    return plan_history(planned, ledger, records)


def compare_registration(planned: "Plan", history: "History") -> "RegistrationReport":
    """Return when each claim of a study was registered, and every deviation from the records of its launches.

    Args:
        history: of `read_history`.
    """
    from study.registration.plan_comparison import compare_plan

    return compare_plan(planned, history)


def verify_study(
    planned: "Plan", ledger: "Ledger", records: "Mapping[str, TrialRecord]", history: "History", reports: Path
) -> Iterator[str]:
    """Compute again what is stored of a study; yield a line for each disagreement.

    Checked are the digests of all records, the manifests, the results that predictions have, and the claims and files
    of the report, if there is one.

    Args:
        planned: as `plan_study` returns it, not measured: a value that is not logged has nothing to agree with.
        records: every trial of the ledger by identity, other studies' included.
        history: of `read_history`.
        reports: folder of all reports.
    """
    from study.analysis.measured import measure
    from study.analysis.recomputed import find_wrong_results
    from study.registration.disagreements import find_disagreements, report_files
    from study.report.report_check import find_outdated
    from study.report.report_folder import folder_name

    yield from find_disagreements(history, records)
    yield from find_wrong_results(planned, ledger.artifacts.read_predictions)
    folder = expand_path(reports) / folder_name(planned)
    if folder.is_dir():
        measured = measure(planned, ledger.artifacts.read_predictions)
        verdicts = claim_verdicts(measured, ledger, records)
        yield from find_outdated(folder, verdicts, planned.space.metric, report_files(history))
