"""Kill a study at random moments, again and again, and see that nothing is lost, doubled or different.

    python -m benchmarks.chaos --kills 24 --seed 0

It runs quickstart twice: as a baseline, and while its driver, one of its workers, Ray's raylet or Ray's GCS is
killed with SIGKILL, the same command being given again each time. Then it holds the two stores against each other.
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
"""By target, how the command lines of its processes begin; a driver is the process that was started."""
MAX_KILL_INTERVAL_S, MAX_KILL_INTERVAL = 15.0, 0.6
"""Maximum time between two kills: in seconds, and as a fraction of the time of the baseline."""
PATIENCE_S = 120.0
"""After which a process that should have died with its driver counts as an orphan."""
LONGEST_S = 1800.0
"""After which a driver without kills counts as hanging."""
CURVES = ("train_loss", "grad_norm", "lr", "val_loss", "val_accuracy")
ENDS = ("test_accuracy", "test_loss", "selected_val_accuracy")


@dataclass
class Report:
    """What came of it: counts, each but the first three to be 0."""

    kills: Counter[str] = field(default_factory=Counter)
    launches: int = 0
    trials: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    unfinished: int = 0
    orphans: int = 0
    left_behind: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether all is as if nobody had been killed."""
        return not any((self.lost, self.doubled, self.differing, self.unfinished, self.orphans, self.left_behind))

    def __str__(self) -> str:
        counts = {**vars(self), "kills": ", ".join(f"{number} {name}" for name, number in sorted(self.kills.items()))}
        return "\n".join(f"{name:12} {value}" for name, value in counts.items())


class Study:
    """A study as a user runs it: a command, in a process of its own, on a store."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.store = folder / "mlruns"
        where = ["--store", str(self.store), "--cache-dir", str(folder / "cache")]
        self.command = [sys.executable, str(ROOT / "run_study.py"), "run", "quickstart", *options, *where]
        self.log = folder / "log.txt"

    def start(self) -> psutil.Popen:
        """Give the command."""
        self.store.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            return psutil.Popen(self.command, stdout=log, stderr=log, start_new_session=True)


def chaos(
    folder: Path, num_kills: int, seed: int, options: Sequence[str] = (), kinds: Sequence[str] = tuple(NAMES)
) -> Report:
    """Run a baseline study and one with faults, and compare.

    Args:
        folder: empty, for both stores.
        num_kills: how many processes to kill, unless the study is finished before.
        options: of `run_study.py run quickstart`.
        kinds: kinds of targets: one of each is killed before the next of any.
    """
    baseline, faulted = Study(folder / "baseline", options), Study(folder / "faulted", options)
    begun = time.monotonic()
    assert baseline.start().wait() == 0, baseline.log.read_text()
    longest = min(MAX_KILL_INTERVAL_S, MAX_KILL_INTERVAL * (time.monotonic() - begun))
    report = Report()
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
        code = _end_of(driver, report, seen)  # the next comes at once: what a dead one left may be dying still
    _count_orphans(report, seen)
    _compare(baseline.store, faulted.store, report)
    return report


def _survives(driver: psutil.Popen, seconds: float, seen: set[psutil.Process]) -> bool:
    """Wait; note its processes on the way; whether it still runs."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and driver.poll() is None:
        with suppress(psutil.NoSuchProcess):
            seen.update(driver.children(recursive=True))
        time.sleep(0.1)
    return driver.poll() is None


def _kill(driver: psutil.Popen, target: str, rng: random.Random) -> bool:
    """Kill one process of a study; whether there was one of the kind."""
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


def _end_of(driver: psutil.Popen, report: Report, seen: set[psutil.Process]) -> int:
    """Wait until the driver is gone; returns its exit code."""
    if _survives(driver, LONGEST_S, seen):
        report.orphans += 1
        driver.kill()
    code: int = driver.wait()
    return code


def _count_orphans(report: Report, seen: set[psutil.Process]) -> None:
    """Give what the drivers have left its time to die, and count and kill what has not."""
    _, alive = psutil.wait_procs(list(seen), timeout=PATIENCE_S)
    report.orphans += len(alive)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _compare(baseline: Path, faulted: Path, report: Report) -> None:
    expected, found = Ledger(baseline), Ledger(faulted)
    wanted, there = expected.trials(), found.trials()
    runs = found.run_infos()
    identities = Counter(run.identity for run in runs if run.identity)
    report.trials = len(wanted)
    report.lost = len(wanted.keys() - there.keys())
    report.doubled = sum(number - 1 for number in identities.values())
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
    """Whether the artifacts of two trials are equal to the bit."""
    if {path.name for path in one.iterdir()} != {path.name for path in other.iterdir()}:
        return False
    answers = [pd.read_parquet(folder / PREDICTIONS) for folder in (one, other)]
    built = [json.loads((folder / BUILT).read_text()) for folder in (one, other)]
    models = [load_file(path) for folder in (one, other) if (path := folder / MODEL).exists()]
    same_models = not models or all((models[0][name] == models[1][name]).all() for name in models[0])
    return answers[0].equals(answers[1]) and built[0] == built[1] and same_models


def main() -> None:
    """Print the report; exit code 1 where it is not clean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10, help="of the study: 4 trials each")
    parser.add_argument("--folder", type=Path, help="to keep both stores in; else they are thrown away")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        report = chaos(given.folder or Path(scratch), given.kills, given.seed, ["--seeds", str(given.seeds)])
    print(report)
    sys.exit(not report.is_clean)


if __name__ == "__main__":
    main()
