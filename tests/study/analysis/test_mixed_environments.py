"""Studies whose trials ran in different environments."""

from dataclasses import replace
from pathlib import Path

import pytest

from revit.errors import InputError
from study.analysis.mixed_environments import check_uniform, environment_caveats, mixed_environments
from study.ledger.schema import ENVIRONMENT_TAGS
from study.ledger.states import TrialState
from study.plan import Plan
from tests.study.example_plan import make_example, with_all_but_last_finished

ENVIRONMENT = {**dict.fromkeys(ENVIRONMENT_TAGS, "same"), "threads": "1"}


@pytest.fixture
def plan(tmp_path: Path, cache_dir: Path) -> Plan:
    """A plan of which all trials but the last ran in one environment."""
    return with_all_but_last_finished(make_example(tmp_path, cache_dir), ENVIRONMENT)


def with_first_trial(plan: Plan, **changes: object) -> Plan:
    """Return the plan with another record of its first trial."""
    first = plan.trials[0]
    assert first.record is not None
    return replace(plan, trials=[replace(first, record=replace(first.record, **changes)), *plan.trials[1:]])


def test_one_environment_has_no_caveat(plan: Plan) -> None:
    check_uniform(plan)
    check_uniform(plan, ENVIRONMENT)
    assert environment_caveats(plan) == []


@pytest.mark.parametrize("name", ENVIRONMENT_TAGS)
def test_a_mixed_table_has_a_caveat_and_can_be_refused(plan: Plan, name: str) -> None:
    mixed = with_first_trial(plan, tags={**ENVIRONMENT, name: "other"})
    assert mixed_environments(mixed) == {name: f"{ENVIRONMENT[name]} (2), other (1)"}
    [line] = environment_caveats(mixed)
    assert line.startswith(f"its trials ran with different {name}: {ENVIRONMENT[name]} (2), other (1)")
    with pytest.raises(InputError, match=rf"--strict-environment: trials of example differ: {name} .*other \(1\)"):
        check_uniform(mixed)


def test_trials_that_did_not_finish_do_not_count(plan: Plan) -> None:
    stopped = with_first_trial(plan, tags={**ENVIRONMENT, "threads": "2"}, state=TrialState.INTERRUPTED)
    assert mixed_environments(stopped) == {}


def test_a_planned_mixed_environments_as_one_trial_more(plan: Plan) -> None:
    with pytest.raises(InputError, match=r"this machine among them: threads 1 \(3\), 2 \(1\)"):
        check_uniform(plan, {**ENVIRONMENT, "threads": "2"})
