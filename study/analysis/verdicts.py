"""The verdicts on a study's claims: from its finished trials, and beside them from the paper's own numbers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from search_spaces.framework.claims import translated
from search_spaces.framework.published import PAPER, published
from study.analysis.claim_tests import ClaimResult, evaluate_claims, evaluate_published
from study.analysis.results import reported_trials
from study.analysis.seed_spread import known_spreads
from study.layout import PREDICTIONS
from study.ledger.ledger import Ledger
from study.plan import Plan, Trial


class ClaimVerdict(NamedTuple):
    """What became of a claim.

    Attributes:
        ours: judged from the study's trials.
        published: from the paper's own numbers, by the same rules; None where the paper has none.
    """

    ours: ClaimResult
    published: ClaimResult | None


def verdicts(plan: Plan, ledger: Ledger) -> list[ClaimVerdict]:
    """Judge each claim of a study, in its order, said in the terms of its tables: of what was trained."""
    claims = plan.space.claims
    if not claims:
        return []
    terms = plan.space.terms
    trials = reported_trials(plan)
    frame = claim_frame(trials, ledger)
    for axis in terms:
        frame[axis] = [trial.candidate.cell[axis] for trial in trials]
    said = [translated(claim, terms) for claim in claims]
    ours = evaluate_claims(said, frame, comparable=plan.space.scale == "paper")
    rows = [row for row in published() if row.table == plan.space.table and row.source == PAPER]
    theirs = evaluate_published(claims, rows)
    pairs = zip(ours, theirs, strict=True)
    return [ClaimVerdict(own, None if published.effect is None else published) for own, published in pairs]


def claim_frame(trials: Sequence[Trial], ledger: Ledger) -> pd.DataFrame:
    """Return what claims are judged by: a row per finished trial; see `study.analysis.claim_tests.judge`.

    What other trials tell of the spread between seeds is looked up where a cell has one seed.
    """
    num_seeds = Counter(tuple(trial.candidate.asked.items()) for trial in trials)
    spreads = known_spreads(ledger.trials().values()) if 1 in num_seeds.values() else {}
    rows = []
    for trial in trials:
        assert trial.record is not None, "a finished trial has its record"
        config = trial.candidate.config
        rows.append(
            {
                **trial.candidate.asked,
                "seed": config.seed,
                "test_accuracy": trial.record.metrics["test_accuracy"],
                "num_test": trial.num_test,
                "right": _right(ledger.artifact(trial.record.run_id, PREDICTIONS)),
                "spread": spreads.get((config.dataset, config.model.name)),
            }
        )
    return pd.DataFrame(rows)


def _right(predictions: Path) -> npt.NDArray[np.bool_]:
    """Which test images were classified right, (n,), in the order of the image store.

    Not by pandas, which takes seven times as long for a file of this size, and there is one per trial.
    """
    with pq.ParquetFile(predictions) as file:
        columns = file.read(columns=["index", "label", "prediction"], use_threads=False)
    index, label, prediction = (column.to_numpy() for column in columns.itercolumns())
    right: npt.NDArray[np.bool_] = (label == prediction)[np.argsort(index)]
    return right
