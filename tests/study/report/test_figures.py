"""Figures that a study's axes allow."""

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Plan, Trial
from study.report.figures import MAX_INTERACTIONS, draw_grid
from study.report.finished_study import FinishedStudy


def test_a_grid_is_drawn_whatever_the_names_of_its_axes() -> None:
    """Interactions are found by their axes, not by the text between their names."""
    space = SearchSpace(
        name="asks", question="?", base=FineTuneConfig(dataset="digits", steps=1), seeds=(0, 1, 2),
        scientific={
            "crops x flips": {"a": {"hflip": True}, "b": {}}, "steps": (1, 2), "x": {"1": {}, "2": {"mixup": 0.1}},
        },
    )  # fmt: skip
    trials = [
        Trial(
            candidate=each, identity=str(number), images=None, weights=None, num_steps=1, num_test=1000,
            input_digests={},
            record=TrialRecord(
                run_id=str(number), identity=str(number), state=TrialState.FINISHED, last_step=1, params={}, tags={},
                metrics={"test_accuracy": (37 * number % 10) / 10, "selected_val_accuracy": 0.5},
            ),
        )
        for number, each in enumerate(space.candidates(space.seeds))
    ]  # fmt: skip
    drawn = draw_grid(FinishedStudy(Plan(space=space, trials=trials), None, trials))
    assert len(drawn) == 2 + MAX_INTERACTIONS
