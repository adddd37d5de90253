"""Helpers for tests of reports: a small study, plans whose results are made up."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from revit.config import FineTuneConfig
from search_spaces.framework.claims import BetterThan, Trend
from search_spaces.framework.space import SearchSpace
from study.analysis.effects import StudyEffects, study_effects
from study.analysis.results import reported_trials
from study.analysis.verdicts import ClaimVerdict, claim_verdicts
from study.ledger.ledger import Ledger
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Plan
from study.registration.plan_comparison import plan_history
from study.report.finished_study import FinishedStudy
from study.report.writer import write_report
from study.trial import Trial

NASTY = "<script>alert('x')</script> & <b>bold</b>"
SPACE = SearchSpace(
    name="looks",
    question=f"Is {NASTY} escaped?",
    base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=10),
    scientific={"resolution": (8, 16, 28), "model.pos_embed": ("learned", "none")},
    columns=("resolution",),
    seeds=(0, 1),
    claims=(
        BetterThan(
            better={"resolution": 28, "model.pos_embed": "learned"},
            worse={"resolution": 28, "model.pos_embed": "none"},
            quote=NASTY,
        ),
        Trend(axis="resolution", direction="increasing", values=(8, 16, 28), quote="More is more."),
    ),
)
COMMAND = "python run_study.py run looks"


def verdicts_of(plan: Plan, ledger: Ledger) -> list[ClaimVerdict]:
    return claim_verdicts(plan, ledger.trials(), ledger.artifacts.read_correct)


def study_of(plan: Plan, ledger: Ledger | None = None) -> FinishedStudy:
    """Return a study with its results; without a ledger, without verdicts or effects."""
    trials = reported_trials(plan)
    if ledger is None:
        return FinishedStudy(plan, ledger, trials)
    return FinishedStudy(plan, ledger, trials, verdicts_of(plan, ledger), effects_of(plan, ledger))


def effects_of(plan: Plan, ledger: Ledger) -> StudyEffects:
    return study_effects(plan, ledger.trials(), ledger.artifacts.read_correct)


def write(plan: Plan, ledger: Ledger, folder: Path) -> None:
    history = plan_history(plan, ledger, ledger.trials())
    write_report(plan, ledger, folder, COMMAND, verdicts_of(plan, ledger), effects_of(plan, ledger), history)


def finish(space: SearchSpace, seeds: Sequence[int], accuracies: Iterable[float]) -> Plan:
    """Return a plan of a space whose trials have finished with these accuracies."""
    trials = []
    for number, (candidate, accuracy) in enumerate(zip(space.candidates(tuple(seeds)), accuracies, strict=False)):
        name = f"{number:016x}"
        record = TrialRecord(
            run_id=2 * name, identity=name, state=TrialState.FINISHED, last_step=1, params={}, tags={},
            metrics={"test_accuracy": accuracy, "selected_val_accuracy": accuracy},
        )  # fmt: skip
        trials.append(
            Trial(
                candidate=candidate, identity=name, images=None, weights=None, num_steps=2500, num_test=1000,
                record=record, input_digests={},
            )
        )  # fmt: skip
    return Plan(space=space, trials=trials)
