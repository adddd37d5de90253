"""How long commands take that train nothing, held against what Python takes to import MLflow, or torch.

    python -m benchmarks commands
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.ratios import Measured, in_turns, ratios, seconds_of, spread
from benchmarks.report import COMMAND, SPACE, write_study
from study.plan import Folders

ROOT = Path(__file__).parent.parent
ROUNDS = 7
SEEDS = (0,)
HEAVY = ("torch", "ray", "mlflow")
IMPORTED = f"""
import atexit, sys
atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr))
"""
"""Runs before a command; its last line on stderr tells what of HEAVY it has imported."""


def measure(*, tiny: bool) -> list[Measured]:
    """Commands and imports in turns, on a finished study of made-up results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        write_study(SEEDS, folders)
        where = ["--store", str(folders.store), "--cache-dir", str(folders.cache), "--seeds", str(len(SEEDS))]
        commands = {
            "run, of a finished study": ["run", SPACE.name, *where],
            "plan": ["plan", SPACE.name, *where],
            "list": ["list"],
            "--help": ["--help"],
        }
        timed: list[Callable[[], float]] = [partial(_seconds, COMMAND, words) for words in commands.values()]
        imports = [partial(_seconds, f"import {library}", []) for library in ("mlflow", "torch")]
        *seconds, mlflow, torch = in_turns(1 if tiny else ROUNDS, *timed, *imports)
        imported = [_imported(words) for words in commands.values()]
    against = {"mlflow": (mlflow, 1.5), "torch": (torch, 0.25)}
    lines = []
    for command, own, loaded, library in zip(commands, seconds, imported, ("mlflow", "mlflow", "torch", "torch"), strict=True):
        other, target = against[library]
        shares = ratios(own, other)
        lines.append(
            Measured(
                what=command,
                against=f"python -c 'import {library}'",
                ratio=median(shares),
                target=target,
                at_least=False,
                remarks=f"{spread(shares)}; {median(own):.2f} s against {median(other):.2f} s; of {', '.join(HEAVY)} it imports {loaded}",
            )
        )
    return lines


def _seconds(code: str, arguments: Sequence[str]) -> float:
    """How long Python takes for it, from start to end."""
    command = [sys.executable, "-c", code, *arguments]
    return seconds_of(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True))


def _imported(arguments: Sequence[str]) -> str:
    """Which of HEAVY a command imports."""
    command = [sys.executable, "-c", IMPORTED + COMMAND, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1]
