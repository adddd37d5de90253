"""Answers in words, of made-up studies whose truth is known."""

import html
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import search_spaces
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.analysis.effects import study_effects
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.answer import Answer, make_answer, to_lines, to_markdown, to_records
from tests.study.made_plans import space_of
from tests.study.report.small_study import effects_of, finish

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)
QUICKSTART = search_spaces.load("quickstart")
QUICKSTART_CORRECT = (335, 304, 321, 330, 338, 307, 325, 324, 329, 310, 321, 323)
"""Correct ones of 359 images in the README's quickstart, seed by seed: sgd with both schedules, adam with both."""


def answer_of(plan: Plan) -> Answer:
    return make_answer(plan, study_effects(plan, {}, lambda run_ids, split: {}))


def made(space: SearchSpace, accuracies: Iterable[float], num_seeds: int = 3, num_test: int = 10**9) -> Plan:
    """Return a finished plan with so many test images that they are no source of variance."""
    plan = finish(space, range(num_seeds), accuracies)
    return replace(plan, trials=[replace(trial, num_test=num_test) for trial in plan.trials])


def by_seed(cells: Sequence[float], deviations: Sequence[float] = (-0.001, 0.0, 0.001)) -> list[float]:
    """Return accuracies, seed by seed: those of the cells, with deviations that differ a little between cells."""
    return [cell + each * (1 + 0.1 * (number % 3)) for each in deviations for number, cell in enumerate(cells)]


def crossed(**changes: Any) -> SearchSpace:
    axes = {"optimizer.name": ("sgd", "adam"), "schedule.name": ("cosine", "constant")}
    question = "Does the schedule matter, and does it depend on the optimizer?"
    return space_of(question=question, scientific=axes, seeds=(0, 1, 2), base=BASE, **changes)


def test_the_question_is_answered_in_its_words_where_effects_are_real() -> None:
    sentences = answer_of(made(crossed(), by_seed([0.86, 0.80, 0.80, 0.80]))).sentences
    assert len(sentences) == 3
    assert sentences[0].startswith("The schedule matters: cosine is 3.00 pp better than constant [2.")
    assert "times the standard deviation between seeds; the optimizer matters: SGD is 3.0" in sentences[0]
    assert sentences[1].startswith(
        "The effect of the schedule depends on the optimizer: cosine is 6.00 pp better than constant with SGD [5."
    )
    assert ", 0.00 pp better with Adam [" in sentences[1] or ", 0.00 pp worse with Adam [" in sentences[1]
    assert sentences[2].startswith("The best cell is SGD + cosine: 86.00 % [85.")
    assert sentences[2].endswith("; it is better than all 3 others.")


def test_what_is_not_decided_is_said_with_the_seeds_that_would_decide_it() -> None:
    answer = answer_of(made(QUICKSTART, [count / 359 for count in QUICKSTART_CORRECT]))
    assert answer.sentences[0].startswith(
        "Whether the schedule matters is not decided (cosine is 3.30 pp better than constant [0."
    )
    assert answer.sentences[0].endswith("; about 4 seeds would decide it), nor whether the optimizer does.")
    assert answer.sentences[1].startswith(
        "Whether the effect of the schedule depends on the optimizer is not decided (p 0."
    )
    assert "; about 4 seeds would decide it): cosine is 7.52 pp better than constant with SGD [" in answer.sentences[1]
    assert "], 0.93 pp worse with Adam [-" in answer.sentences[1]
    [schedule] = [line for line in answer.details if line.startswith("schedule: ")]
    assert "not decided (p 0." in schedule
    assert schedule.endswith("; about 4 seeds per cell would decide it")
    measured = "measured: test accuracy, on digits (1,000,000,000 test images): 4 cells of 3 seeds"
    assert f"{measured}, 12 of 12 trials with a result" in answer.details
    assert answer.details[-1].startswith("real: p at most 0.05 after Holm's correction over 3 comparisons")


def test_a_third_axis_is_named_and_interactions_are_those_that_are_real() -> None:
    axes = {"optimizer.name": ("sgd", "adam"), "schedule.name": ("cosine", "constant"), "resolution": (8, 12, 16)}
    space = space_of(scientific=axes, seeds=(0, 1, 2), base=BASE, question="?")
    cells = [0.5 + 0.01 * (r > 8) + 0.2 * (o and s) for o in (1, 0) for s in (1, 0) for r in axes["resolution"]]
    answer = answer_of(made(space, by_seed(cells)))
    assert len(answer.sentences) == 3
    assert "so does the resolution" in answer.sentences[0]
    assert answer.sentences[1].startswith(
        "The effect of the schedule depends on the optimizer: cosine is 20.00 pp better"
    )
    assert "resolution" not in answer.sentences[1]
    [resolution] = [line for line in answer.details if line.startswith("resolution: ")]
    assert "resolution 16 is 1.0" in resolution or "resolution 12 is 1.0" in resolution
    assert "the largest of 3 differences, of which 2 are real" in resolution
    assert any(line.startswith("interactions: 1 of 7 differences in differences") for line in answer.details)


def test_no_interaction_of_three_axes_is_said() -> None:
    axes = {"optimizer.name": ("sgd", "adam"), "schedule.name": ("cosine", "constant"), "resolution": (8, 12)}
    space = space_of(scientific=axes, seeds=(0, 1, 2), base=BASE)
    answer = answer_of(made(space, by_seed([0.5] * 8)))
    assert answer.sentences[0] == "Whether the resolution, the schedule and the optimizer matter is not decided."
    assert answer.sentences[1] == "No effect of one axis is shown to depend on another axis."
    assert "none of the 7 others is distinguishable from it" in answer.sentences[2]


def test_nothing_finished_is_no_answer() -> None:
    plan = made(crossed(), by_seed([0.8] * 4))
    nothing = replace(plan, trials=[replace(trial, record=None) for trial in plan.trials])
    answer = answer_of(nothing)
    assert answer.sentences == ["No trial has a result yet: there is no answer."]
    assert answer.details[0].endswith("4 cells of 3 seeds, 0 of 12 trials with a result")


def test_one_cell_is_not_compared() -> None:
    [sentence] = answer_of(made(space_of(scientific={"optimizer.lr": (0.1,)}, base=BASE), [0.8, 0.81, 0.79])).sentences
    assert sentence.startswith("One cell has results: test accuracy 80.00 % [")
    assert sentence.endswith("there is no other to compare it with.")


def test_one_seed_says_what_it_does_not_show() -> None:
    answer = answer_of(made(crossed(), [0.86, 0.80, 0.80, 0.80], num_seeds=1, num_test=1000))
    assert "is not decided (cosine is 3.00 pp better than constant, 1 seed)" in answer.sentences[0]
    assert "over test images alone" in answer.sentences[2]
    assert "not decided: 1 seed per cell does not show the spread between seeds; run 3" in answer.details[0]
    assert not any(line.startswith("real: ") for line in answer.details)


def test_two_seeds_need_a_third_for_a_forecast() -> None:
    answer = answer_of(made(crossed(), by_seed([0.81, 0.80, 0.80, 0.80], (-0.01, 0.01)), num_seeds=2))
    assert "; 3 seeds per cell are needed to estimate how many would decide it" in answer.details[0]


def test_missing_cells_limit_a_mean_and_are_named() -> None:
    axes = {"schedule.name": ("cosine", "constant"), "resolution": (8, 12, 16)}
    plan = made(space_of(scientific=axes, seeds=(0, 1, 2), base=BASE), by_seed([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]))
    trials = [
        replace(trial, record=None) if (cell["schedule.name"], cell["resolution"]) == ("constant", 8) else trial
        for trial, cell in ((trial, trial.candidate.cell) for trial in plan.trials)
    ]
    answer = answer_of(replace(plan, trials=trials))
    [schedule] = [line for line in answer.details if line.startswith("schedule: ")]
    assert schedule.endswith("over 2 of 3 settings of the other axes, which have results")
    absent = [replace(each, record=None) if each.candidate.config.resolution == 16 else each for each in plan.trials]
    answer = answer_of(replace(plan, trials=absent))
    assert "resolution: too few results to compare: resolution 16" in answer.details
    one = [replace(each, record=None) if each.candidate.config.resolution > 8 else each for each in plan.trials]
    answer = answer_of(replace(plan, trials=one))
    assert "hether the resolution matters is not decided (too few results)" in answer.sentences[0]
    assert answer.sentences[1].endswith("is not decided: too few cells have results.")


def test_diverged_trials_are_counted() -> None:
    plan = made(crossed(), by_seed([0.86, 0.80, 0.80, 0.80]))
    last = plan.trials[-1]
    diverged = replace(last, record=replace(last.record, state=TrialState.DIVERGED, metrics={}))
    answer = answer_of(replace(plan, trials=[*plan.trials[:-1], diverged]))
    assert "diverged, and in no mean: 1 trial" in answer.details


def test_many_cells_are_counted_and_the_first_listed() -> None:
    rates = tuple(round(0.001 * n, 3) for n in range(1, 21))
    space = space_of(scientific={"optimizer.lr": rates}, seeds=(0, 1, 2), base=BASE)
    answer = answer_of(made(space, by_seed([0.8] * 20)))
    assert answer.sentences[-1].endswith("; none of the 19 others is distinguishable from it.")
    [line] = [
        line for line in answer.details if line.startswith("not distinguishable from the best cell: learning rate 0.0")
    ]
    assert line.endswith(", 11 more")
    assert "; the largest of 190 differences, of which 0 are real" in answer.details[0]


def test_too_many_values_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.analysis.effects.MAX_COMPARISONS", 2)
    space = space_of(scientific={"optimizer.lr": (0.1, 0.2, 0.3)}, seeds=(0, 1, 2), base=BASE)
    answer = answer_of(made(space, by_seed([0.8, 0.7, 0.6])))
    too_many = "3 values, too many to compare in pairs"
    assert answer.sentences[0] == f"Whether the learning rate matters is not decided ({too_many})."
    assert answer.details[0] == f"learning rate: {too_many}"
    assert answer.sentences[1].startswith("The best cell is learning rate 0.1: 80.00 %")


def test_axes_with_too_many_values_have_no_interaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.analysis.effects.MAX_COMPARISONS", 2)
    sentence = answer_of(made(QUICKSTART, [count / 359 for count in QUICKSTART_CORRECT])).sentences[1]
    assert sentence.endswith("depends on the optimizer is not decided: too many values to compare in pairs.")


def test_another_metric_has_its_unit_and_direction() -> None:
    plan = made(crossed(metric="train_time_s"), [0.9] * 12)
    seconds = by_seed([10.0, 20.0, 20.0, 20.0], (-0.1, 0.0, 0.1))
    trials = [
        replace(trial, record=replace(trial.record, metrics={"train_time_s": value}))
        for trial, value in zip(plan.trials, seconds, strict=True)
    ]
    answer = answer_of(replace(plan, trials=trials))
    assert "cosine is 5.00 s better than constant [" in answer.sentences[0]
    assert answer.sentences[2].startswith("The best cell is SGD + cosine: 10.00 s [")
    assert any(line.startswith("measured: training time, lower is better, on digits") for line in answer.details)
    assert any("intervals of 95 %, over seeds, are not corrected" in line for line in answer.details)


def test_a_searched_study_at_the_nano_scale_says_so() -> None:
    space = search_spaces.load("resolution").variant(scale="nano")
    details = answer_of(finish(space, (0, 1, 2), itertools.cycle([0.8, 0.7]))).details
    assert "nano scale: not evidence for or against published claims" in details
    searched = search_spaces.load("fair_optimizers")
    details = answer_of(finish(searched, (0, 1, 2), itertools.cycle([0.8, 0.7]))).details
    assert "each cell has its own best learning rate and weight decay, tuned on validation images" in details


def test_all_files_have_the_same_answer(finished: tuple[Plan, Ledger], folder: Path) -> None:
    plan, ledger = finished
    answer = make_answer(plan, effects_of(plan, ledger))
    claims, summary = (json.loads((folder / name).read_text()) for name in ("claims.json", "report.json"))
    assert summary["answer"] == claims["answer"] == {"sentences": answer.sentences, "details": answer.details}
    assert to_markdown(answer) in (folder / "tables.md").read_text()
    page = html.unescape((folder / "report.html").read_text())
    assert [line for line in to_lines(answer) if line.removeprefix("- ") not in page] == []
    assert page.index(answer.sentences[0]) < page.index("<table"), "before all tables"


def test_claims_json_has_the_numbers_and_runs_of_every_verdict(finished: tuple[Plan, Ledger], folder: Path) -> None:
    plan, ledger = finished
    claims = json.loads((folder / "claims.json").read_text())
    runs = {trial.record.run_id: trial for trial in plan.trials}
    for claim in claims["claims"]:
        assert {"verdict", "effect", "low", "high", "p", "p_holm", "num_seeds", "test"} <= claim.keys()
        assert set(claim["run_ids"]) <= runs.keys()
    better = [runs[run_id].candidate.cell for run_id in claims["claims"][0]["run_ids"]]
    assert {(cell["resolution"], cell["model.pos_embed"]) for cell in better} == {(28, "learned"), (28, "none")}
    assert len(claims["claims"][1]["run_ids"]) == 12
    found = effects_of(plan, ledger)
    assert claims["effects"] == json.loads(json.dumps(to_records(found)["effects"]))
    [main] = [each for each in claims["effects"] if (each["kind"], each["axis"]) == ("effect", "model.pos_embed")]
    values = [(trial.candidate.cell["model.pos_embed"], trial.record.metrics["test_accuracy"]) for trial in plan.trials]
    means = {value: np.mean([number for each, number in values if each == value]) for value in ("learned", "none")}
    assert main["effect"] == pytest.approx(100 * abs(means["learned"] - means["none"]))
    assert len(main["run_ids"]) == 12
    assert claims["best"]["num_others"] == 5
