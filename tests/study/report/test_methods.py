"""Facts on what was done in a study."""

import json
from dataclasses import replace

from revit.datasets.registry import DATASETS
from study.ledger.records import RunInfo
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.methods import describe_datasets, describe_models, format_span
from tests.study.made_plans import record_of
from tests.study.report.methods_plans import BASE, SPACE, methods_of, plan_of_configs

COMMIT = "0123456789abcdef"


def launch(run_id: str, start_s: int, **tags: str) -> RunInfo:
    return RunInfo(run_id=run_id, status="FINISHED", deleted=False, metrics={}, tags=tags, start_ms=1000 * start_s)


def ran(plan: Plan, *launches: str) -> Plan:
    """Return a plan whose trials were trained by these launches."""
    trials = [
        replace(trial, record=record_of(replace(trial, study=SPACE.tags), **{"mlflow.parentRunId": run_id}))
        for trial, run_id in zip(plan.trials, launches, strict=True)
    ]
    return replace(plan, trials=trials)


def test_datasets_have_their_splits_and_what_the_registry_knows() -> None:
    [digits] = describe_datasets(plan_of_configs({"a": BASE}))
    spec = DATASETS["digits"]
    assert (digits.num_train, digits.num_val, digits.num_test) == ((1294, 1294), (144, 144), 359)
    assert (digits.license, digits.caveat, digits.num_classes) == (spec.license, spec.caveat, 10)


def test_a_dataset_of_the_user_has_no_facts_of_a_registry() -> None:
    [own] = describe_datasets(plan_of_configs({"a": BASE.with_values({"dataset": "folder:/mine"})}))
    assert (own.name, own.license, own.num_val, own.num_classes) == ("folder:/mine", "not recorded", None, None)


def test_models_say_how_many_parameters_were_trained() -> None:
    plan = plan_of_configs({"a": BASE, "b": BASE.with_values({"model.trained": "head"})})
    [before] = describe_models(plan)
    assert (before.num_trained, before.num_params, before.is_pretrained) == (None, 141_066, True)
    counts = iter((141_066, 650))
    trials = [
        replace(each, record=replace(record_of(each), metrics={"num_trained": next(counts)})) for each in plan.trials
    ]
    [after] = describe_models(replace(plan, trials=trials))
    assert after.num_trained == (650, 141_066)
    assert format_span(after.num_trained) == "650 to 141,066"


def test_launches_whose_trials_are_shown_have_commit_date_and_link() -> None:
    configs = {"a": BASE, "b": BASE.with_values({"mixup": 0.1}), "c": BASE.with_values({"mixup": 0.2})}
    plan = ran(plan_of_configs(configs), "late", "early", "late")
    infos = [
        launch("late", 86_400, **{"mlflow.source.git.commit": COMMIT, "git_dirty": "true"}),
        launch("early", 0, **{"mlflow.runName": "made 1970"}),
        launch("of another study", 0),
    ]
    early, late = methods_of(plan, infos).launches
    assert (early.name, early.date, early.commit, early.is_changed) == ("made 1970", "1970-01-01", "", None)
    assert (late.date, late.commit, late.is_changed, late.num_trials) == ("1970-01-02", COMMIT, True, 2)
    assert late.address == "http://host:5000/#/runs/late"


def test_the_facts_are_plain_values() -> None:
    methods = methods_of(ran(plan_of_configs({"a": BASE}), "l"), [launch("l", 0)])
    facts = json.loads(json.dumps(methods.to_json()))
    assert {"field": "optimizer.lr", "title": "learning rate", "value": "0.03", "tuned": False} in facts["settings"]
    assert facts["launches"][0]["run_id"] == "l"
    assert methods.num_finished == 1
    assert plan_of_configs({"a": BASE}).trials[0].state == TrialState.NEW
