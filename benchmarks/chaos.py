"""Chaos test: kills a study at random moments; no trial may be lost, duplicated or different.

    python -m benchmarks.chaos --kills 24 --seed 0

It runs quickstart twice: once as a baseline, and once with faults. A fault kills the driver, a worker, Ray's raylet or
Ray's GCS with SIGKILL; the same command then resumes the study. At the end it compares the two stores.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
from safetensors.numpy import load_file

from study.layout import BUILT, MODEL, PREDICTIONS
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState

ROOT = Path(__file__).parent.parent
NAMES = {"driver": "", "worker": "ray::", "raylet": "raylet", "gcs": "gcs_server"}
"""Start of the command line of a process, by target. The driver is the process that was started."""
MAX_KILL_INTERVAL_S, MAX_KILL_INTERVAL = 15.0, 0.6
"""Maximum time between two kills: in seconds, and as a fraction of the time of the baseline."""
ORPHAN_TIMEOUT_S = 120.0
"""Time after which a process that outlives its driver counts as an orphan."""
MAX_DRIVER_S = 1800.0
"""Time after which a driver without kills counts as hanging."""
CURVES = ("train_loss", "grad_norm", "lr", "val_loss", "val_accuracy")
ENDS = ("test_accuracy", "test_loss", "selected_val_accuracy")


@dataclass
class ChaosReport:
    """Counts of a chaos test. All but the first three have to be 0."""

    kills: Counter[str] = field(default_factory=Counter)
    launches: int = 0
    trials: int = 0
    lost: int = 0
    duplicated: int = 0
    differing: int = 0
    unfinished: int = 0
    orphans: int = 0
    left_behind: int = 0

    @property
    def is_clean(self) -> bool:
        """True if the faulted store is equal to the baseline."""
        return not any((self.lost, self.duplicated, self.differing, self.unfinished, self.orphans, self.left_behind))

    def __str__(self) -> str:
        counts = {**vars(self), "kills": ", ".join(f"{number} {name}" for name, number in sorted(self.kills.items()))}
        return "\n".join(f"{name:12} {value}" for name, value in counts.items())


class StudyCommand:
    """Study as a user runs it: a command in its own process, on a store."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.store = folder / "mlruns"
        where = ["--store", str(self.store), "--cache-dir", str(folder / "cache")]
        self.command = [sys.executable, str(ROOT / "run_study.py"), "run", "quickstart", *options, *where]
        self.log = folder / "log.txt"

    def start(self) -> psutil.Popen:
        """Start the command."""
        self.store.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            return psutil.Popen(self.command, stdout=log, stderr=log, start_new_session=True)


def chaos(
    folder: Path, num_kills: int, seed: int, options: Sequence[str] = (), kinds: Sequence[str] = tuple(NAMES)
) -> ChaosReport:
    """Run a baseline study and one with faults, and compare.

    Args:
        folder: empty folder for both stores.
        num_kills: number of processes to kill, unless the study finishes first.
        options: of `run_study.py run quickstart`.
        kinds: kinds of targets. One of each is killed before a second of any.
    """
    baseline, faulted = StudyCommand(folder / "baseline", options), StudyCommand(folder / "faulted", options)
    begun = time.monotonic()
    assert baseline.start().wait() == 0, baseline.log.read_text()
    longest = min(MAX_KILL_INTERVAL_S, MAX_KILL_INTERVAL * (time.monotonic() - begun))
    report = ChaosReport()
    rng = random.Random(seed)
    targets: list[str] = []
    code = 1
    seen: set[psutil.Process] = set()
    while code != 0 and report.launches < 3 * num_kills + 5:
        driver = faulted.start()
        report.launches += 1
        while report.kills.total() < num_kills and _survives(driver, rng.uniform(1, longest), seen):
            if not targets:
                targets = rng.sample(kinds, len(kinds))
            report.kills[targets[-1]] += _kill(driver, targets.pop(), rng)
        code = _end_of(
            driver, report, seen
        )  # the next driver starts at once, while workers of the last one may still be exiting
    _count_orphans(report, seen)
    _compare(baseline.store, faulted.store, report)
    return report


def _survives(driver: psutil.Popen, seconds: float, seen: set[psutil.Process]) -> bool:
    """Wait, collecting the driver's processes; return whether it still runs."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and driver.poll() is None:
        with suppress(psutil.NoSuchProcess):
            seen.update(driver.children(recursive=True))
        time.sleep(0.1)
    return driver.poll() is None


def _kill(driver: psutil.Popen, target: str, rng: random.Random) -> bool:
    """Kill one process of a study; return whether there was one of this kind."""
    found = [driver] if target == "driver" else []
    with suppress(psutil.NoSuchProcess):
        for child in driver.children(recursive=True) if target != "driver" else []:
            words = child.cmdline() or [""]
            if Path(words[0]).name.startswith(NAMES[target]) and "IDLE" not in words[0]:
                found.append(child)
    if not found:
        return False
    with suppress(psutil.NoSuchProcess):
        rng.choice(found).send_signal(signal.SIGKILL)
        return True
    return False


def _end_of(driver: psutil.Popen, report: ChaosReport, seen: set[psutil.Process]) -> int:
    """Wait until the driver exits; return its exit code."""
    if _survives(driver, MAX_DRIVER_S, seen):
        report.orphans += 1
        driver.kill()
    code: int = driver.wait()
    return code


def _count_orphans(report: ChaosReport, seen: set[psutil.Process]) -> None:
    """Wait for the drivers' processes to exit; count and kill those that do not."""
    _, alive = psutil.wait_procs(list(seen), timeout=ORPHAN_TIMEOUT_S)
    report.orphans += len(alive)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _compare(baseline: Path, faulted: Path, report: ChaosReport) -> None:
    expected, found = Ledger(baseline), Ledger(faulted)
    wanted, there = expected.trials(), found.trials()
    runs = found.run_infos()
    identities = Counter(run.identity for run in runs if run.identity)
    report.trials = len(wanted)
    report.lost = len(wanted.keys() - there.keys())
    report.duplicated = sum(number - 1 for number in identities.values())
    report.unfinished = sum(run.status == "RUNNING" for run in runs)
    report.unfinished += sum(record.state != TrialState.FINISHED for record in there.values())
    report.left_behind = sum(len(list((faulted / name).glob("*"))) for name in ("work", "tune", "locks"))
    for identity in wanted.keys() & there.keys():
        one, other = wanted[identity], there[identity]
        curves = [expected.curve(one.run_id, name) != found.curve(other.run_id, name) for name in CURVES]
        ends = [one.metrics.get(name) != other.metrics.get(name) for name in ENDS]
        twice = [len(found.curve(other.run_id, name)) > 1 for name in ENDS]
        files = [expected.artifacts.path(one.run_id, ""), found.artifacts.path(other.run_id, "")]
        report.differing += any((*curves, *ends, *twice, not _same_files(*files)))


def _same_files(one: Path, other: Path) -> bool:
    """Return whether the artifacts of two trials are equal to the bit."""
    if {path.name for path in one.iterdir()} != {path.name for path in other.iterdir()}:
        return False
    answers = [pd.read_parquet(folder / PREDICTIONS) for folder in (one, other)]
    built = [json.loads((folder / BUILT).read_text()) for folder in (one, other)]
    models = [load_file(path) for folder in (one, other) if (path := folder / MODEL).exists()]
    same_models = not models or all((models[0][name] == models[1][name]).all() for name in models[0])
    return answers[0].equals(answers[1]) and built[0] == built[1] and same_models


def main() -> None:
    """Print the report; exit with code 1 if it is not clean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10, help="seeds of the study, with 4 trials each")
    parser.add_argument("--folder", type=Path, help="keep both stores in this folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = chaos(
            arguments.folder or Path(scratch), arguments.kills, arguments.seed, ["--seeds", str(arguments.seeds)]
        )
    print(report)
    sys.exit(not report.is_clean)


if __name__ == "__main__":
    main()
