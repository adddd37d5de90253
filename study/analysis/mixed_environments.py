"""Studies whose trials ran in different environments: other devices, precisions, threads or versions."""

from collections import Counter
from collections.abc import Mapping

from revit.errors import InputError
from study.ledger.schema import ENVIRONMENT_TAGS
from study.ledger.states import TrialState
from study.plan import Plan


def mixed_environments(plan: Plan, planned: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment tags in which a study's finished trials differ, with each value's number of trials.

    Args:
        planned: environment of its next trials, which counts as one more.
    """
    environments = [
        trial.record.environment
        for trial in plan.trials
        if trial.record is not None and trial.state == TrialState.FINISHED
    ]
    if planned:
        environments.append(dict(planned))
    counts = {
        name: Counter(environment[name] for environment in environments if name in environment)
        for name in ENVIRONMENT_TAGS
    }
    return {
        name: ", ".join(f"{value} ({number})" for value, number in count.most_common())
        for name, count in counts.items()
        if len(count) > 1
    }


def environment_caveats(plan: Plan) -> list[str]:
    """Return a line for each environment tag in which finished trials differ."""
    return [
        f"its trials ran with different {name}: {values}; numbers differ by rounding between them"
        for name, values in mixed_environments(plan).items()
    ]


def check_uniform(plan: Plan, planned: Mapping[str, str] | None = None) -> None:
    """Raise InputError if trials of a study ran, or will run (`planned`), in different environments."""
    mixed = [f"{name} {values}" for name, values in mixed_environments(plan, planned).items()]
    if mixed:
        this_machine = ", this machine among them" if planned else ""
        raise InputError(f"--strict-environment: trials of {plan.space.name} differ{this_machine}: {'; '.join(mixed)}")
