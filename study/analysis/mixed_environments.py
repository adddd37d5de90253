"""Studies whose trials ran in different environments: on other devices, with other precisions, threads or versions."""

from collections import Counter
from collections.abc import Mapping

from revit.errors import InputError
from study.ledger.records import ENVIRONMENT_TAGS
from study.ledger.states import TrialState
from study.plan import Plan


def mixture(plan: Plan, here: Mapping[str, str] | None = None) -> dict[str, Counter[str]]:
    """Return of what a study's finished trials differ in how many ran on each.

    Args:
        here: what its next trials would run on, which counts as one more.
    """
    ran_on = [
        trial.record.environment
        for trial in plan.trials
        if trial.record is not None and trial.state == TrialState.FINISHED
    ]
    counts = {
        name: Counter(each[name] for each in (*ran_on, *([here] if here else [])) if name in each)
        for name in ENVIRONMENT_TAGS
    }
    return {name: count for name, count in counts.items() if len(count) > 1}


def environment_caveats(plan: Plan) -> list[str]:
    """Return a line for each way in which the environments of finished trials differ."""
    return [
        f"its trials ran with different {name}: {_listed(count)}; numbers differ by rounding between them"
        for name, count in mixture(plan).items()
    ]


def check_uniform(plan: Plan, here: Mapping[str, str] | None = None) -> None:
    """Raise InputError where the table of a study mixes environments, or would.

    Args:
        here: as for `mixture`.
    """
    mixed = [f"{name} {_listed(count)}" for name, count in mixture(plan, here).items()]
    if mixed:
        here_too = ", this machine among them" if here else ""
        raise InputError(f"--strict-environment: trials of {plan.space.name} differ{here_too}: {'; '.join(mixed)}")


def _listed(count: Counter[str]) -> str:
    return ", ".join(f"{value} ({number})" for value, number in count.most_common())
