"""Comparison of two versions of a study, cell by cell.

Cells are the same if the study asks for the same values on its scientific axes, whatever recipe and scale make of them.
A difference is a contrast (`contrasts.py`): seeds that both versions have are paired, and test images where both were
tested on the same ones. Holm's correction is over the cells that are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from revit.errors import InputError
from revit.training.metrics import Metric, find_metric
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.claims import Claim
from study.analysis.claim_tests import UNKNOWN_SEED_VARIANCE, ClaimResult, holm
from study.analysis.contrasts import (
    MissingResultError,
    TrialResult,
    WeightedCell,
    estimate_contrast,
    group_by_point,
    seed_variances,
)
from study.analysis.intervals import LEVEL, VarianceEstimate
from study.analysis.results import cell_table, reported_trials
from study.analysis.verdicts import ClaimVerdict, ReadCorrect, pooled_variances, trial_results
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX, value_name
from study.plan import Plan
from study.staleness import Change, changes
from study.trial import Trial

SAME_TRIALS = "the same trials"


class Version(NamedTuple):
    """A version of a study.

    Attributes:
        label: its name beside the other's: `recipe authors`, `before 2026-11-01`.
        plan: of another metric than accuracy, as `measured.measure` returns it.
        records: every trial of its ledger by identity.
    """

    label: str
    plan: Plan
    records: Mapping[str, TrialRecord]
    read_correct: ReadCorrect
    verdicts: Sequence[ClaimVerdict]


@dataclass(frozen=True, kw_only=True)
class CellValue:
    """Result of a cell in one version: as in `cell_table`; NaN where there is none."""

    mean: float
    low: float
    high: float
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class CellComparison:
    """A cell in both versions.

    Attributes:
        cell: value by scientific axis, as the study names it.
        effect: now minus before, as the metric's share or in its unit; None where a version has no result.
        low, high: 95 % interval of the effect, not corrected; None where it is unknown.
        p, p_holm: two-sided, and after Holm's correction over the cells that are compared.
        test: statistical test, or why there is none.
    """

    cell: Mapping[str, Value]
    before: CellValue
    now: CellValue
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    num_seeds: int = 0
    test: str = ""


class ClaimChange(NamedTuple):
    """A claim that both versions state, with its results."""

    claim: Claim
    before: ClaimResult
    now: ClaimResult

    @property
    def has_changed(self) -> bool:
        """True if the verdict is another one."""
        return self.before.verdict != self.now.verdict


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two versions of a study, compared.

    Attributes:
        only_before, only_now: cells that one version does not have.
        settings: what differs, with the cells where it does: those of which both versions have a finished trial.
    """

    before: Version
    now: Version
    cells: Sequence[CellComparison]
    only_before: Sequence[Mapping[str, Value]]
    only_now: Sequence[Mapping[str, Value]]
    claims: Sequence[ClaimChange]
    settings: Mapping[Change, Sequence[Mapping[str, Value]]]


Key = tuple[tuple[str, Value], ...]


def compare_versions(before: Version, now: Version) -> Comparison:
    """Compare two versions of a study. Reads the predictions of their trials, and writes nothing.

    Raises:
        InputError: they have different scientific axes or metrics.
    """
    axes = [set(version.plan.space.scientific) for version in (before, now)]
    metrics = [version.plan.space.metric for version in (before, now)]
    if axes[0] != axes[1]:
        names = [", ".join(version.plan.space.scientific) for version in (before, now)]
        raise InputError(f"{before.label} has the axes {names[0]}, {now.label} {names[1]}: must be the same")
    if metrics[0] != metrics[1]:
        raise InputError(f"{before.label} is about {metrics[0]}, {now.label} about {metrics[1]}: must be the same")
    values = [cell_values(version.plan) for version in (before, now)]
    shared = [key for key in values[1] if key in values[0]]
    cells = [CellComparison(cell=dict(key), before=values[0][key], now=values[1][key]) for key in shared]
    return Comparison(
        before=before,
        now=now,
        cells=_with_tests(cells, before, now),
        only_before=[dict(key) for key in values[0] if key not in values[1]],
        only_now=[dict(key) for key in values[1] if key not in values[0]],
        claims=_claim_changes(before, now),
        settings=changed_settings(before.plan, now.plan),
    )


def _key(trial: Trial) -> Key:
    return tuple(sorted(trial.candidate.requested_values.items()))


def cell_values(plan: Plan) -> dict[Key, CellValue]:
    """Return the result of each cell, in the order of its table."""
    keys = {tuple(trial.candidate.cell.values()): _key(trial) for trial in plan.trials}
    rows = cell_table(plan).to_dict("records")
    return {
        keys[tuple(row[axis] for axis in plan.space.scientific)]: CellValue(
            mean=row["mean"], low=row["low"], high=row["high"], num_seeds=row["n"]
        )
        for row in rows
    }


def _with_tests(cells: Sequence[CellComparison], before: Version, now: Version) -> list[CellComparison]:
    """Return cells with effect, interval and p, corrected over those that have a test."""
    records = {**before.records, **now.records}.values()
    priors = pooled_variances(records, value_name(now.plan.space.metric))
    results = [*_results(before, "before", priors), *_results(now, "now", priors)]
    variances = seed_variances(group_by_point(results))
    tested = [_test(each, results, variances, find_metric(now.plan.space.metric)) for each in cells]
    corrected = iter(holm([each.p for each in tested if each.p is not None]))
    return [each if each.p is None else replace(each, p_holm=next(corrected)) for each in tested]


def _results(version: Version, name: str, priors: Mapping[tuple[str, str], VarianceEstimate]) -> list[TrialResult]:
    """Return the results of a version; `dataset` in their points says on which images they were tested.

    Args:
        priors: of `pooled_variances`.
    """
    plan = version.plan
    found = zip(reported_trials(plan), trial_results(plan, version.records, version.read_correct), strict=True)
    return [
        replace(
            result,
            point={"cell": _key(trial), "version": name, "dataset": _images(trial, name)},
            prior_variance=priors.get((trial.candidate.config.dataset, trial.candidate.config.model.name)),
        )
        for trial, result in found
    ]


def _images(trial: Trial, name: str) -> str:
    """Return the name of the images that a trial was tested on; if it is not known, another in each version."""
    assert trial.record is not None, "a finished trial has its record"
    return trial.record.tags.get(f"{DIGEST_PREFIX}data", name)


def _test(
    each: CellComparison, results: Sequence[TrialResult], variances: Mapping[object, VarianceEstimate], metric: Metric
) -> CellComparison:
    """Return a cell with its effect, and interval and p where the variance between seeds is known."""
    key = tuple(sorted(each.cell.items()))
    of_cell = {
        name: {
            result.seed: result for result in results if result.point["cell"] == key and result.point["version"] == name
        }
        for name in ("before", "now")
    }
    if not all(of_cell.values()):
        return replace(each, test="no result")
    before, now = ({seed: result.run_id for seed, result in found.items()} for found in of_cell.values())
    if before == now:
        return replace(each, effect=0.0, test=SAME_TRIALS)
    if before.keys() & now.keys() and all(before[seed] == now[seed] for seed in before.keys() & now.keys()):
        return replace(each, test=f"{SAME_TRIALS}, and further seeds")
    contrast: list[WeightedCell] = [(1.0, of_cell["now"]), (-1.0, of_cell["before"])]
    try:
        estimate = estimate_contrast(contrast, variances, metric)
    except MissingResultError as error:
        return replace(each, test=str(error))
    found = replace(each, effect=estimate.effect, num_seeds=estimate.num_seeds, test=estimate.test)
    if estimate.prior is None:
        return replace(found, test=UNKNOWN_SEED_VARIANCE)
    return replace(
        found,
        low=estimate.effect - estimate.half_width(LEVEL / 2, -1),
        high=estimate.effect + estimate.half_width(LEVEL / 2, 1),
        p=min(1.0, 2 * min(estimate.p_value(0.0, 1), estimate.p_value(0.0, -1))),
    )


def _claim_changes(before: Version, now: Version) -> list[ClaimChange]:
    """Return the claims that both versions state."""
    former = [*zip(before.plan.space.claims, before.verdicts, strict=True)]
    return [
        ClaimChange(claim, old.ours, new.ours)
        for claim, new in zip(now.plan.space.claims, now.verdicts, strict=True)
        for stated, old in former
        if stated == claim
    ]


def changed_settings(before: Plan, now: Plan) -> dict[Change, list[Mapping[str, Value]]]:
    """Return what differs between the trials of the same cells, with these cells."""
    former = {_key(trial): trial.record for trial in reversed(reported_trials(before))}
    first = {_key(trial): trial for trial in reversed(now.trials)}
    found: dict[Change, list[Mapping[str, Value]]] = {}
    for key, trial in reversed(first.items()):
        record = former.get(key)
        if record is None or trial.awaits:
            continue
        for change in changes(record, trial.candidate.config, trial.input_digests):
            if change.name != "seed":
                found.setdefault(change, []).append(dict(key))
    return found
