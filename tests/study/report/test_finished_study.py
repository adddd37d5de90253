"""Data of figures: reported trials, colors, curves."""

import itertools
from pathlib import Path

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.analysis.results import reported_trials
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.finished_study import FinishedStudy
from tests.study.report.small_study import finish


def study_of(num_cells: int, tmp_path: Path) -> FinishedStudy:
    base = FineTuneConfig(dataset="digits", steps=5)
    space = SearchSpace(
        name="rates", question="?", base=base, scientific={"optimizer.lr": tuple(range(1, num_cells + 1))}
    )
    plan = finish(space, (0,), (number / 10 for number in itertools.count()))
    return FinishedStudy(plan, Ledger(tmp_path), plan.trials)


def test_few_cells_have_colors_in_the_order_of_the_study_many_the_best_first(tmp_path: Path) -> None:
    assert study_of(3, tmp_path).colors == {"learning rate 1": 0, "learning rate 2": 1, "learning rate 3": 2}
    assert study_of(8, tmp_path).colors == {f"learning rate {8 - index}": index for index in range(6)}


def test_curves_are_those_of_the_ledger(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    study = FinishedStudy(plan, ledger, reported_trials(plan))
    curves = study.curves("train_loss")
    assert len(curves.groupby(["cell", "seed"])) == len(plan.trials) == len(study.finished) == 12
    trial = plan.trials[0]
    own = curves[(curves["cell"] == "resolution 8, position embedding learned") & (curves["seed"] == 0)]
    assert list(zip(own["step"], own["train_loss"], strict=True)) == list(
        ledger.curve(trial.record.run_id, "train_loss")
    )


def test_the_first_trial_of_each_key_is_kept(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    study = FinishedStudy(plan, ledger, reported_trials(plan))
    first = study.first_trials(lambda trial: trial.candidate.config.resolution)
    assert list(first) == [8, 16, 28]
    assert {trial.candidate.config.seed for trial in first.values()} == {0}
