"""Verdicts on a study's claims."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revit.training.metrics import find_metric
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.claims import Claim, restate_claim
from search_spaces.framework.space import SearchSpace
from study.analysis.claim_tests import ASSUMED_SEED_SD, ClaimResult, evaluate_claims
from study.analysis.contrasts import TrialResult
from study.analysis.intervals import VarianceEstimate, pooled_variance
from study.analysis.results import reported_trials
from study.analysis.sequential import ClaimProgress, Evaluate, LookOptions, Point, covers, replay_looks
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX, TEST_ACCURACY, value_name
from study.ledger.states import TrialState
from study.plan import Plan

ReadCorrect = Callable[[Collection[str], str], Mapping[str, npt.NDArray[np.bool_]]]
"""Function of run ids and a split that returns which of its images the trials classified correctly, (num_test,) each.

It leaves out those without predictions.
"""


class ClaimVerdict(NamedTuple):
    """Verdicts on one claim.

    Attributes:
        ours: from the study's trials.
        published: from the paper's own accuracies, by the same rules; None where the paper has none.
    """

    ours: ClaimResult
    published: ClaimResult | None


def claim_verdicts(
    plan: Plan,
    records: Mapping[str, TrialRecord],
    read_correct: ReadCorrect,
    by_metric: Mapping[str, Plan] = MappingProxyType({}),
) -> list[ClaimVerdict]:
    """Test each claim of a study, in its order, stated in the terms of its tables.

    Args:
        plan: of another metric than accuracy, as `measured.measure` returns it.
        records: every trial of the ledger by identity, other studies' included.
        read_correct: called with all finished trials, once per metric; only if a claim is about accuracy.
        by_metric: the plan as `measured.measure` returns it, for each metric that claims name themselves.
    """
    claims = plan.space.claims
    if not claims:
        return []
    evaluate = _evaluator(plan, records, read_correct, by_metric)
    if plan.design is None:
        ours = evaluate(stated_claims(plan.space), lambda _: True, {})
    else:
        ours = [each.result for each in claim_progress(plan, records, read_correct, by_metric)]
    theirs = evaluate_claims(claims, published_results(plan.space))
    return [ClaimVerdict(own, None if their.effect is None else their) for own, their in zip(ours, theirs, strict=True)]


def claim_progress(
    plan: Plan,
    records: Mapping[str, TrialRecord],
    read_correct: ReadCorrect,
    by_metric: Mapping[str, Plan] = MappingProxyType({}),
) -> list[ClaimProgress]:
    """Return how far each claim has come in a plan's sequential design, as `claim_verdicts` takes it."""
    assert plan.design is not None, "a plan with a fixed number of seeds has one look"
    ended: dict[tuple[object, ...], tuple[Point, set[int]]] = {}
    trained_axes = plan.space.trained_values.keys()
    for trial in plan.trials:
        point = stated_point(trial.candidate, trained_axes)
        _, seeds = ended.setdefault(tuple(point.items()), (point, set()))
        if trial.state.is_terminal and not trial.awaits:
            seeds.add(trial.candidate.config.seed)

    def is_ready(claim: Claim, look: int) -> bool:
        return all(seeds.issuperset(range(look)) for point, seeds in ended.values() if covers(claim, point))

    evaluate = _evaluator(plan, records, read_correct, by_metric)
    return replay_looks(stated_claims(plan.space), plan.design, evaluate, is_ready)


def stated_claims(space: SearchSpace) -> list[Claim]:
    """Return the claims of a study in the terms of its tables: with trained values for those that it requests."""
    trained_values = space.trained_values
    return [restate_claim(claim, trained_values) for claim in space.claims]


def _evaluator(
    plan: Plan, records: Mapping[str, TrialRecord], read_correct: ReadCorrect, by_metric: Mapping[str, Plan]
) -> Evaluate:
    """Return the function that tests claims on some of a plan's trials."""
    results, metric = trial_results(plan, records, read_correct), find_metric(plan.space.metric)
    others = {name: trial_results(each, records, read_correct, name) for name, each in by_metric.items()}

    def evaluate(
        claims: Sequence[Claim], is_read: Callable[[TrialResult], bool], options: LookOptions
    ) -> list[ClaimResult]:
        return evaluate_claims(
            claims,
            [each for each in results if is_read(each)],
            metric=metric,
            by_metric={name: [each for each in found if is_read(each)] for name, found in others.items()},
            comparable=plan.space.scale == "paper",
            **options,
        )

    return evaluate


def published_results(space: SearchSpace) -> list[TrialResult]:
    """Return the paper's own numbers as results of its cells: of one run each, with a variance that is assumed."""
    if space.paper is None:
        return []
    assumed = VarianceEstimate(ASSUMED_SEED_SD**2, math.inf)
    cells = {str(each.requested_values): each for each in space.candidates(space.seeds[:1])}
    return [
        TrialResult(
            point=cell.requested_values,
            seed=0,
            value=row.value / 100,
            num_test=row.num_test,
            correct=None,
            prior_variance=assumed,
        )
        for cell in cells.values()
        for row in space.published(cell)
        if not row.source
    ]


def trial_results(
    plan: Plan, records: Mapping[str, TrialRecord], read_correct: ReadCorrect, metric: str | None = None
) -> list[TrialResult]:
    """Return the results that `evaluate_claims` takes, with trained values for those that a study requests.

    Where a cell has one seed, the variance between seeds comes from other records of the same dataset and model.

    Args:
        metric: a key of METRICS, of which the plan is measured; None for the study's.
    """
    trials, trained_axes = reported_trials(plan), plan.space.trained_values
    metric = plan.space.metric if metric is None else metric
    found = find_metric(metric)
    num_seeds = Counter(tuple(trial.candidate.requested_values.items()) for trial in trials)
    run_ids = [trial.record.run_id for trial in trials if trial.record is not None]
    correct = read_correct(run_ids, found.split) if run_ids and found.is_accuracy else {}
    variances = pooled_variances(records.values(), value_name(metric)) if 1 in num_seeds.values() else {}
    results = []
    for trial in trials:
        assert trial.record is not None, "a finished trial has its record"
        config = trial.candidate.config
        results.append(
            TrialResult(
                point=stated_point(trial.candidate, trained_axes),
                seed=config.seed,
                value=trial.record.metrics[value_name(metric)],
                num_test=trial.num_test,
                correct=correct.get(trial.record.run_id),
                replicates=trial.replicates,
                prior_variance=variances.get((config.dataset, config.model.name)),
                run_id=trial.record.run_id,
            )
        )
    return results


def stated_point(candidate: Candidate, trained_axes: Iterable[str]) -> dict[str, Value]:
    """Return a cell's values in the terms of claims: as trained, on these axes; else as requested."""
    return {**candidate.requested_values, **{axis: candidate.cell[axis] for axis in trained_axes}}


def pooled_variances(
    records: Iterable[TrialRecord], metric: str = TEST_ACCURACY
) -> dict[tuple[str, str], VarianceEstimate]:
    """Return the variance of test accuracy, or another logged metric, between seeds by dataset and model.

    It is pooled over groups of finished trials that differ only by seed. A pair without two such trials is left out.
    """
    cells: dict[frozenset[tuple[str, str]], list[TrialRecord]] = {}
    for record in records:
        if record.state == TrialState.FINISHED and metric in record.metrics:
            params = {name: value for name, value in record.params.items() if name != "seed"}
            digests = {name: value for name, value in record.tags.items() if name.startswith(DIGEST_PREFIX)}
            cells.setdefault(frozenset({**params, **digests}.items()), []).append(record)
    by_pair: dict[tuple[str, str], list[list[float]]] = {}
    for cell in cells.values():
        pair = cell[0].params["dataset"], cell[0].params["model.name"]
        by_pair.setdefault(pair, []).append([record.metrics[metric] for record in cell])
    pooled = {pair: pooled_variance(values) for pair, values in by_pair.items()}
    return {pair: variance for pair, variance in pooled.items() if variance is not None}
