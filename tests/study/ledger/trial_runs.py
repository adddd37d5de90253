"""Helpers that write or find runs of trials."""

from mlflow.entities import Run

from study.ledger.ledger import Ledger
from study.ledger.records import Measurement

NOW = 1_700_000_000_000


def opened(ledger: Ledger, identity: str = "a", study: str = "s") -> str:
    launch = ledger.launches.open(study, {})
    tags = {f"study.{study}": "yes"}
    return ledger.open_trial(identity, ledger.find(identity), launch=launch, name="a trial", tags=tags).run_id


def rows(*measured: dict[str, float]) -> list[Measurement]:
    return [Measurement(row, NOW) for row in measured]


def runs_of(ledger: Ledger, study: str) -> list[Run]:
    """Every run of a study and its launches that is not deleted."""
    trials = ledger.runs.search(f"tags.`study.{study}` = 'yes'")
    return [*trials, *ledger.runs.search(f"tags.kind = 'launch' and tags.study = '{study}'")]
