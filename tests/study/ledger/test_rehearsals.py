"""study.ledger.rehearsals."""

from dataclasses import replace

from revit.config import FineTuneConfig
from study.ledger.ledger import Ledger
from study.ledger.records import Rehearsal
from study.ledger.schema import ENVIRONMENT_TAGS

CONFIG = FineTuneConfig(dataset="digits", resolution=8, steps=100)
REHEARSAL = Rehearsal(
    params={name: str(value) for name, value in CONFIG.flat().items()},
    environment={name: f"some {name}" for name in ENVIRONMENT_TAGS},
    step_time_s=0.25,
    eval_images_per_s=1200.0,
    peak_memory_bytes=3e9,
)
STUDY = {"study": "s", "recipe": "paper", "scale": "paper"}


def test_a_rehearsal_is_read_as_it_was_written_the_newest_first(ledger: Ledger) -> None:
    newer = replace(REHEARSAL, step_time_s=0.125, peak_memory_bytes=None)
    for each in (REHEARSAL, newer):
        ledger.rehearsals.add(each, name="rehearsal of digits", tags=STUDY)
    assert ledger.rehearsals.read() == [newer, REHEARSAL]


def test_a_rehearsal_is_neither_a_trial_nor_a_launch(ledger: Ledger) -> None:
    ledger.rehearsals.add(REHEARSAL, name="rehearsal of digits", tags=STUDY)
    assert ledger.trials() == ledger.changed_trials() == ledger.launches.running() == {}
    [run] = ledger.run_infos()
    assert (run.status, run.identity, run.is_launch) == ("FINISHED", "", False)
    assert run.studies == {"s"}
