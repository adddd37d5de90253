"""What trials ran on, and tables that mix it."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.analysis.mixed_environments import check_uniform
from study.execution.environment import describe, expected
from study.execution.resources import ResourceRequest
from study.ledger.records import TrialRecord
from study.ledger.schema import ENVIRONMENT_TAGS
from study.ledger.states import TrialState
from study.plan import Folders, Plan, make_plan
from study.report.caveats import plan_caveats

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"optimizer.lr": (0.1, 0.2)},
    seeds=(0, 1),
)


@pytest.fixture
def plan(tmp_path: Path, cache_dir: Path) -> Plan:
    """All but the last trial have run, with one thread, on this machine."""
    plan = make_plan(SPACE, SPACE.seeds, Folders(store=tmp_path, data=tmp_path, cache=cache_dir), {})
    here = describe(torch.device("cpu"), num_threads=1, compiled=False)
    done = [
        TrialRecord(
            run_id="r",
            identity=trial.identity,
            state=TrialState.FINISHED,
            last_step=5,
            metrics={},
            params={},
            tags=here,
        )
        for trial in plan.trials[:-1]
    ]
    return plan.with_records({record.identity: record for record in done})


def on_other(plan: Plan, name: str, value: str) -> Plan:
    """The same, but that its first trial ran with something else."""
    first = plan.trials[0]
    assert first.record is not None
    other = replace(first, record=replace(first.record, tags={**first.record.tags, name: value}))
    return replace(plan, trials=[other, *plan.trials[1:]])


def test_it_is_told_what_a_trial_runs_on() -> None:
    here = expected(ResourceRequest(cpus_per_trial=3, gpus_per_trial=0))
    assert tuple(here) == ENVIRONMENT_TAGS
    assert (here["device"], here["precision"], here["threads"]) == ("cpu", "fp32", "3")
    assert (here["torch"], here["timm"]) == (torch.__version__, timm.__version__)


@pytest.mark.parametrize("name", ENVIRONMENT_TAGS)
def test_a_table_that_mixes_says_so_and_can_be_refused(plan: Plan, name: str) -> None:
    check_uniform(plan)
    assert not any("its trials ran with" in line for line in plan_caveats(plan))
    mixed = on_other(plan, name, "other")
    [line] = [line for line in plan_caveats(mixed) if "its trials ran with" in line]
    assert line.startswith(f"its trials ran with different {name}: ")
    assert "other (1)" in line
    with pytest.raises(InputError, match=rf"--strict-environment: trials of example differ: {name} .*other \(1\)"):
        check_uniform(mixed)


def test_nothing_is_trained_on_what_the_done_trials_did_not_run_on(plan: Plan) -> None:
    check_uniform(plan, expected(ResourceRequest(gpus_per_trial=0)))
    with pytest.raises(InputError, match=r"this machine among them: threads 1 \(3\), 2 \(1\)"):
        check_uniform(plan, expected(ResourceRequest(cpus_per_trial=2, gpus_per_trial=0)))
