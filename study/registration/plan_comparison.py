"""Comparison of a plan with what the launches of its study have registered."""

from collections.abc import Mapping

from study.ledger.ledger import Ledger
from study.ledger.records import TrialRecord, now_ms
from study.plan import Plan
from study.registration.code_version import code_version
from study.registration.deviations import RegistrationReport, compare
from study.registration.history import History, read_history
from study.registration.record import make_registration


def compare_plan(plan: Plan, history: History) -> RegistrationReport:
    """Return when each claim of a plan was registered, and every deviation from the records of its study."""
    today = make_registration(plan, code_version({}), user="", created_ms=now_ms(), previous="")
    return compare(history, today)


def plan_history(plan: Plan, ledger: Ledger, records: Mapping[str, TrialRecord]) -> History:
    """Return the history of a plan's study in a ledger.

    Args:
        records: every trial of the ledger by identity, other studies' included.
    """
    registrations = ledger.registrations
    stored, known = registrations.read(plan.space.tags), registrations.digests()
    return read_history(plan, records, stored, known, registrations.first_result_s)
