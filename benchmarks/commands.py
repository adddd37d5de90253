"""Run time of commands that train nothing, relative to the import of MLflow or torch.

    python -m benchmarks commands

They run on quickstart, finished with made-up results. Each is timed from the start of the interpreter to its end. One
more run shows which of the large libraries it imports.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import search_spaces
from benchmarks.ratios import BenchmarkResult, format_spread, ratios, time_call, time_interleaved
from study.execution.recorder import Recorder
from study.layout import ARTIFACTS, LOCKS, NEEDED_FILES, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan

ROOT = Path(__file__).parent.parent
ROUNDS = 7
STUDY = "quickstart"
MAX_OF_MLFLOW, MAX_OF_TORCH = 1.5, 0.25
COMMAND = "import run_study; run_study.main()"
HEAVY = ("torch", "ray", "mlflow")
IMPORTED = f"""
import atexit, sys
atexit.register(lambda: print(*[name for name in {HEAVY} if name in sys.modules], sep=", ", file=sys.stderr))
{COMMAND}
"""
"""A command that ends with a line on stderr: the libraries of HEAVY that it imported."""


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Time commands and imports in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        _finish(folders)
        where = ["--store", str(folders.store), "--data-dir", str(folders.data), "--cache-dir", str(folders.cache)]
        commands = {
            "run of a finished study": (["run", STUDY, *where], "mlflow", MAX_OF_MLFLOW),
            "plan": (["plan", STUDY, *where], "mlflow", MAX_OF_MLFLOW),
            "list": (["list"], "torch", MAX_OF_TORCH),
            "--help": (["--help"], "torch", MAX_OF_TORCH),
        }
        timed = [partial(_seconds, COMMAND, words) for words, _, _ in commands.values()]
        imports = [partial(_seconds, f"import {library}") for library in ("mlflow", "torch")]
        *seconds, mlflow, torch = time_interleaved(1 if tiny else ROUNDS, *timed, *imports)
        imported = [_imported(words) for words, _, _ in commands.values()]
    against = {"mlflow": mlflow, "torch": torch}
    return [
        BenchmarkResult(
            what=what,
            against=f"python -c 'import {library}'",
            ratio=median(ratios(own, against[library])),
            target=target,
            at_least=False,
            details=f"{format_spread(ratios(own, against[library]))}; {median(own):.2f} s against "
            f"{median(against[library]):.2f} s; of {', '.join(HEAVY)} it imports {loaded or 'none'}",
        )
        for (what, (_, library, target)), own, loaded in zip(commands.items(), seconds, imported, strict=True)
    ]


def _finish(folders: Folders) -> None:
    """Write the study as a finished launch, with empty artifacts, which these commands do not read."""
    ledger = Ledger(folders.store)
    space = search_spaces.load(STUDY)
    trials = make_plan(space, space.seeds, folders, {}).to_run
    launch = ledger.launches.open(STUDY, {})
    locks = Locks(folders.store / LOCKS)
    recorder = Recorder(
        ledger,
        launches={STUDY: launch},
        trials={trial.identity: trial for trial in trials},
        locks=locks,
        log=print,
    )
    results = {"test_accuracy": 0.9, "test_loss": 0.3, "selected_val_accuracy": 0.9, "train_time_s": 1.0}
    for trial in trials:
        artifacts = folders.store / WORK / trial.identity / ARTIFACTS
        artifacts.mkdir(parents=True)
        for name in NEEDED_FILES:
            (artifacts / name).touch()
        recorder.start_trial(trial.identity)
        recorder.add_rows(trial.identity, [{"step": trial.num_steps, **results}])
        recorder.end_trial(trial.identity, TrialState.FINISHED)
    recorder.close(interrupted=False)


def _seconds(code: str, arguments: Sequence[str] = ()) -> float:
    """Return the run time of Python, from start to end."""
    command = [sys.executable, "-c", code, *arguments]
    return time_call(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True))


def _imported(arguments: Sequence[str]) -> str:
    """Return the libraries of HEAVY that a command imports."""
    command = [sys.executable, "-c", IMPORTED, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr.splitlines()[-1]
